//! `/dev/kdk`, used directly.

use alloc::string::String;
use alloc::vec::Vec;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::file::{O_CLOEXEC, O_RDWR, open, read_to_end};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd, Result, module};

/// The module of the image.
pub const MODULE: &str = "/kdk.ko";
/// The name of the module's file in the kernel linker.
pub const NAME: &str = "kdk.ko";
const DEVICE: &str = "/dev/kdk";

/// Loads the module if it is not loaded: an earlier test may have failed
/// halfway.
#[track_caller]
pub fn ensure_loaded() {
    match module::load(MODULE) {
        Ok(_) | Err(Errno::EEXIST) => {}
        Err(errno) => panic!("kldload {MODULE}: expected success or EEXIST, saw {errno}"),
    }
}

/// Unloads the module if it is loaded.
#[track_caller]
pub fn ensure_unloaded() {
    if let Ok(file) = module::find(NAME) {
        must("kldunload of an idle module", module::unload(file));
    }
}

/// Opens the device.
pub fn device() -> Result<Fd> {
    open(DEVICE, O_RDWR | O_CLOEXEC)
}

/// Gives an open device a command.
pub fn command(device: &Fd, text: &str) -> Result<()> {
    device.write_all(text.as_bytes())
}

/// The lines of the answer to a command.
#[track_caller]
pub fn ask(text: &str) -> Vec<String> {
    let device = must("open /dev/kdk", device());
    must("give /dev/kdk a command", command(&device, text));
    answer(&device)
}

/// The lines of an open device's answer.
#[track_caller]
pub fn answer(device: &Fd) -> Vec<String> {
    let bytes = must("read /dev/kdk to its end", read_to_end(device));
    let text = String::from_utf8_lossy(&bytes);
    text.lines().map(String::from).collect()
}

/// Returns the list of tests and checks that it is complete, which shows that
/// the module works.
#[track_caller]
pub fn list() -> Vec<String> {
    let lines = ask("list\n");
    let tests = lines.len().saturating_sub(1);
    let end = alloc::format!("# end list {tests}");
    assert_eq!(lines.last(), Some(&end), "the last line of the list");
    assert!(tests > 0, "the module lists no test");
    lines
}

kdk_test!("kmod/bad-command", bad_command);

fn bad_command() -> TestResult {
    ensure_loaded();
    let device = must("open /dev/kdk", device());
    let long = "run ".chars().chain(core::iter::repeat_n('a', 5000));
    for (text, errno) in [
        ("dance\n", Errno::EINVAL),
        ("run\n", Errno::EINVAL),
        ("run a/b c/d\n", Errno::EINVAL),
        ("list all\n", Errno::EINVAL),
        ("end\n", Errno::EINVAL),
        ("\n", Errno::EINVAL),
        ("\0", Errno::EINVAL),
        (&long.collect::<String>(), Errno::ENAMETOOLONG),
    ] {
        let start: String = text.chars().take(20).collect();
        assert_eq!(command(&device, text), Err(errno), "command {start:?}");
    }
    let not_text = device.write(b"list\xff\n");
    assert_eq!(not_text, Err(Errno::EINVAL), "a command that is not UTF-8");
    must("a good command after bad ones", command(&device, "list\n"));
    let early = command(&device, "list\n");
    assert_eq!(
        early,
        Err(Errno::EBUSY),
        "a command before the answer was read"
    );
    assert!(answer(&device).len() > 1, "the list has no line");
    Ok(())
}

kdk_test!("kmod/unknown-test", unknown_test);

fn unknown_test() -> TestResult {
    ensure_loaded();
    let lines = ask("run no-such-suite/no-such-case\n");
    assert_eq!(lines.len(), 1, "one line was expected: {lines:?}");
    let error = "# error run no-such-suite/no-such-case: ";
    assert!(
        lines[0].starts_with(error),
        "expected {error:?}, saw {:?}",
        lines[0]
    );
    Ok(())
}

kdk_test!("kmod/two-runs", two_runs, cpus = &[1, 4]);

fn two_runs() -> TestResult {
    ensure_loaded();
    let first = must("open /dev/kdk", device());
    must("ask for a run", command(&first, RUN));
    let second = must("open /dev/kdk again", device());
    assert_eq!(
        command(&second, RUN),
        Err(Errno::EBUSY),
        "a run while another descriptor has one"
    );
    must("a list in the meantime", command(&second, "list\n"));
    assert!(answer(&second).len() > 1, "the list has no line");
    passed(&answer(&first));
    must("a run after the first one", command(&second, RUN));
    passed(&answer(&second));
    Ok(())
}

/// A short test of the module's.
pub const RUN: &str = "run kpi/mutex-excludes\n";

/// The answer to [`RUN`] has to be a passed test.
#[track_caller]
pub fn passed(lines: &[String]) {
    let expected = [
        "# start kpi/mutex-excludes",
        "KTAP version 1",
        "1..1",
        "ok 1 kpi/mutex-excludes",
        "# done 1",
    ];
    assert_eq!(lines, expected, "the answer to {RUN:?}");
}
