//! A kernel that was started directly, by its PVH entry, outside Xen.

use crate::clock;
use kdk_harness::{Stop, TestResult, kdk_test};
use kdk_sys::suite::must;
use kdk_sys::{Errno, kenv, sysctl};

kdk_test!("boot/pvh", pvh);

fn pvh() -> TestResult {
    // The kernel says which of its functions read the boot's data
    // (native_parse_preload_data() or xen_pvh_parse_preload_data()), and the
    // loader leaves the kernel's name (stand/common/load_elf.c).
    let method = must("machdep.bootmethod", sysctl::text("machdep.bootmethod"));
    let loaded = kenv::get("kernelname");
    match (method.as_str(), &loaded) {
        ("PVH", Err(Errno::ENOENT)) => {}
        ("UEFI" | "BIOS", Ok(_)) => {
            return Err(Stop::Skip("the loader booted this kernel, not PVH"));
        }
        _ => panic!(
            "neither PVH nor the loader: machdep.bootmethod is '{method}', kenv kernelname is {loaded:?}"
        ),
    }
    // Without a loader only the command line can have said this.
    let init = must("kenv init_path", kenv::get("init_path"));
    assert_eq!(init, "/init", "kenv init_path");
    let vmm = must("kern.vm_guest", sysctl::text("kern.vm_guest"));
    assert_ne!(vmm, "xen", "kern.vm_guest");
    clock::check();
    Ok(())
}
