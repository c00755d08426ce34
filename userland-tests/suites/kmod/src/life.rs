//! Loading and unloading.

use crate::device::{self, MODULE, NAME, RUN, command, ensure_loaded, passed};
use kdk_harness::{Stop, TestResult, kdk_test};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, module};

kdk_test!("kmod/load-twice", load_twice);

fn load_twice() -> TestResult {
    ensure_loaded();
    let again = module::load(MODULE);
    assert_eq!(again, Err(Errno::EEXIST), "kldload of the loaded module");
    device::list();
    Ok(())
}

kdk_test!(
    "kmod/unload-reload",
    unload_reload,
    limit_ms = 20_000,
    leak_types = &["kdk", "linker", "module"]
);

fn unload_reload() -> TestResult {
    ensure_loaded();
    let tests = device::list();
    for _ in 0..5 {
        let file = must("kldfind kdk.ko", module::find(NAME));
        must("kldunload", module::unload(file));
        let gone = module::find(NAME);
        assert_eq!(gone, Err(Errno::ENOENT), "kldfind after kldunload");
        let closed = device::device().map(drop);
        assert_eq!(closed, Err(Errno::ENOENT), "open /dev/kdk after kldunload");
        must("kldload after kldunload", module::load(MODULE));
        assert_eq!(device::list(), tests, "the tests before and after");
    }
    passed(&device::ask(RUN));
    Ok(())
}

kdk_test!(
    "kmod/reload-after-ixgbe",
    reload_after_ixgbe,
    limit_ms = 120_000,
    leak_types = &["kdk", "linker", "module", "kobj", "iflib", "ix"]
);

/// The module can be reloaded after its ixgbe driver was attached to a NIC.
fn reload_after_ixgbe() -> TestResult {
    const TEST: &str = "ixgbe/attach-detach";
    ensure_loaded();
    let there = alloc::format!("# test {TEST} ");
    if !device::list().iter().any(|line| line.starts_with(&there)) {
        return Err(Stop::Skip("the module has no ixgbe driver"));
    }
    for _ in 0..3 {
        let answer = device::ask(&alloc::format!("run {TEST}\n"));
        let passed = alloc::format!("ok 1 {TEST}");
        assert!(answer.contains(&passed), "the answer to {TEST}: {answer:?}");
        let file = must("kldfind kdk.ko", module::find(NAME));
        must("kldunload", module::unload(file));
        must("kldload after kldunload", module::load(MODULE));
    }
    device::list();
    Ok(())
}

kdk_test!(
    "kmod/unload-busy",
    unload_busy,
    limit_ms = 20_000,
    cpus = &[1, 4]
);

fn unload_busy() -> TestResult {
    ensure_loaded();
    let file = must("kldfind kdk.ko", module::find(NAME));
    let unload = || module::unload(file);

    let open = must("open /dev/kdk", device::device());
    assert_eq!(unload(), Err(Errno::EBUSY), "kldunload with /dev/kdk open");

    must("ask for a run", command(&open, RUN));
    assert_eq!(
        unload(),
        Err(Errno::EBUSY),
        "kldunload with a run asked for"
    );

    let mut first = [0; 512];
    let count = must("read the start of the run", open.read(&mut first));
    let start = first.get(..count).unwrap_or_default();
    assert!(
        start.starts_with(b"# start "),
        "expected a start, saw {:?}",
        alloc::string::String::from_utf8_lossy(start)
    );
    assert_eq!(unload(), Err(Errno::EBUSY), "kldunload with a test running");

    let rest = device::answer(&open);
    let result = rest.iter().any(|line| line == "ok 1 kpi/mutex-excludes");
    assert!(result, "the test goes on to pass, not: {rest:?}");
    must("close /dev/kdk", open.close());
    must("kldunload after the close", unload());
    ensure_loaded();
    device::list();
    Ok(())
}
