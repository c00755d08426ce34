//! Files that are not the module for this kernel.

use crate::device::{self, MODULE, NAME, ensure_loaded, ensure_unloaded};
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult, kdk_test};
use kdk_sys::file::{read_file, unlink, write_file};
use kdk_sys::suite::must;
use kdk_sys::{Errno, complain, module};

/// The same module, built for another version of the kernel.
const WRONG: &str = "/kdk-wrong.ko";
const WRONG_NAME: &str = "kdk-wrong.ko";

/// Errors of kldload(2) for a file that it can read but not load.
const REFUSED: [Errno; 2] = [Errno::ENOEXEC, Errno::EEXIST];

kdk_test!("kmod/load-twice-other-name", load_twice_other_name);

fn load_twice_other_name() -> TestResult {
    const COPY: &str = "/tmp/kdk-copy.ko";
    ensure_loaded();
    let bytes = must("read /kdk.ko", read_file(MODULE));
    must("write a copy", write_file(COPY, &bytes));
    let loaded = module::load(COPY);
    must("unlink the copy", unlink(COPY));
    // Kernels report either that the module exists or that the file cannot
    // be loaded.
    assert!(
        matches!(loaded, Err(errno) if REFUSED.contains(&errno)),
        "kldload of a copy: expected one of {REFUSED:?}, saw {loaded:?}"
    );
    not_there("kdk-copy.ko");
    device::list();
    Ok(())
}

kdk_test!("kmod/wrong-kernel", wrong_kernel, limit_ms = 20_000);

fn wrong_kernel() -> TestResult {
    match read_file(WRONG) {
        Ok(_) => {}
        Err(Errno::ENOENT) => return Err(Stop::Skip("the image has no /kdk-wrong.ko")),
        Err(errno) => panic!("read {WRONG}: expected success, saw {errno}"),
    }
    // Then the version is the only reason to refuse it.
    ensure_unloaded();
    for _ in 0..3 {
        let loaded = module::load(WRONG);
        assert_eq!(loaded, Err(Errno::ENOEXEC), "kldload {WRONG}");
        not_there(WRONG_NAME);
        let opened = device::device().map(drop);
        assert_eq!(opened, Err(Errno::ENOENT), "open /dev/kdk without a module");
    }
    ensure_loaded();
    device::list();
    Ok(())
}

kdk_test!("kmod/truncated", truncated, limit_ms = 60_000);

fn truncated() -> TestResult {
    ensure_unloaded();
    let bytes = must("read /kdk.ko", read_file(MODULE));
    let length = bytes.len();
    let eighths = (1..8).map(|nth| length * nth / 8);
    let cuts: Vec<usize> = [0, 1, 16, 63, 64, 65, 4095, 4096, length - 64, length - 1]
        .into_iter()
        .chain(eighths)
        .collect();
    for cut in cuts {
        refuse(bytes.get(..cut).unwrap_or_default(), cut, length);
    }
    ensure_loaded();
    device::list();
    Ok(())
}

/// kldload(2) has to refuse these first `cut` of `length` bytes.
#[track_caller]
fn refuse(bytes: &[u8], cut: usize, length: usize) {
    const CUT: &str = "/tmp/kdk-cut.ko";
    must("write a cut copy", write_file(CUT, bytes));
    let loaded = module::load(CUT);
    must("unlink the cut copy", unlink(CUT));
    complain!("kldload of the first {cut} of {length} bytes: {loaded:?}");
    assert!(
        matches!(loaded, Err(Errno::ENOEXEC | Errno::ENOENT | Errno::EIO)),
        "kldload of the first {cut} of {length} bytes: expected ENOEXEC, ENOENT or EIO, saw {loaded:?}"
    );
    not_there("kdk-cut.ko");
    not_there(NAME);
}

#[track_caller]
fn not_there(name: &str) {
    let found = module::find(name);
    assert_eq!(found, Err(Errno::ENOENT), "kldfind {name}");
}
