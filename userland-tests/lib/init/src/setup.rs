//! Setup of the machine before any test runs.

use kdk_sys::file::{O_RDWR, open};
use kdk_sys::net::Interfaces;
use kdk_sys::{Errno, Result, complain, fd, mount};

/// Mounts file systems and configures the loopback interface. A step that fails
/// is reported on the console; tests that need it fail.
pub fn prepare() {
    // The kernel mounts devfs itself where the root has a directory for it.
    let devices = match open("/dev/null", O_RDWR) {
        Ok(_) => Ok(()),
        Err(_) => mount::mount("devfs", "/dev"),
    };
    let console = open("/dev/console", O_RDWR).and_then(fd::make_standard);
    for (step, result) in [
        ("mount devfs on /dev", devices),
        ("open /dev/console", console),
        ("mount tmpfs on /tmp", mount::mount("tmpfs", "/tmp")),
        ("bring lo0 up", loopback()),
    ] {
        if let Err(errno) = result {
            complain!("init: {step}: {errno}");
        }
    }
}

/// The kernel gives lo0 `::1` when it comes up, but not `127.0.0.1`.
fn loopback() -> Result<()> {
    let interfaces = Interfaces::open()?;
    match interfaces.add_address("lo0", [127, 0, 0, 1], 8) {
        Ok(()) | Err(Errno::EEXIST) => interfaces.bring_up("lo0"),
        Err(errno) => Err(errno),
    }
}
