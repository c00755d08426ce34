//! The process that a test runs in, and its report to the suite.

use crate::errno::Result;
use crate::fd::{Descriptor, Fd, STDERR, STDOUT};
use crate::process::exit;
use crate::start::on_panic;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;
use core::sync::atomic::{AtomicI32, Ordering};
use kdk_harness::{Ended, Message, Stop, Test, TestResult, write_diagnostic};

/// Returns the value of a successful call. Otherwise fails the test with the
/// call's name and errno.
///
/// # Panics
/// When the call failed.
#[track_caller]
pub fn must<T>(what: &str, result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(errno) => panic!("{what}: expected success, saw {errno}"),
    }
}

/// The descriptor that a panic is reported to.
static VERDICT: AtomicI32 = AtomicI32::new(-1);

/// Where notes go.
static NOTES: AtomicI32 = AtomicI32::new(-1);

/// Reports a diagnostic of the test to the host; it is in the
/// test's detail, as `LABEL: TEXT`.
pub fn note(label: &str, text: &dyn Display) {
    let mut line = String::new();
    // At once, so that no other line can come between. Neither can fail for a
    // reason that the test would have to know.
    let _ = write_diagnostic(&mut line, label, text);
    let _ = Unowned(NOTES.load(Ordering::Relaxed)).write_all(line.as_bytes());
}

/// Runs the test, reports its verdict and ends the process.
pub fn run(test: &Test, verdict: &Fd) -> ! {
    VERDICT.store(verdict.raw(), Ordering::Relaxed);
    on_panic(|message| report(b'x', &alloc::format!("{message}")));
    // Standard output is the suite's alone, but for notes.
    let notes = STDOUT.duplicate();
    NOTES.store(
        notes.as_ref().map_or(-1, Descriptor::raw),
        Ordering::Relaxed,
    );
    if let Err(errno) = STDERR.duplicate_onto(STDOUT) {
        report(b'd', &alloc::format!("dup2 of standard error: {errno}"));
        exit(0);
    }
    match (test.run)() {
        Ok(()) => report(b'p', ""),
        Err(Stop::Skip(why)) => report(b's', why),
        Err(Stop::Fail(why)) => report(b'f', why),
    }
    exit(0)
}

/// One letter, the length of the text (two bytes), the text.
fn report(kind: u8, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(u16::MAX);
    let [low, high] = length.to_le_bytes();
    let mut bytes = Vec::from([kind, low, high]);
    bytes.extend(text.bytes().take(length.into()));
    // The suite sees a verdict that is missing.
    let _ = Unowned(VERDICT.load(Ordering::Relaxed)).write_all(&bytes);
}

struct Unowned(i32);

impl Descriptor for Unowned {
    fn raw(&self) -> i32 {
        self.0
    }
}

/// The meaning of the bytes of [`report`], once they are all there.
pub fn verdict(bytes: &[u8]) -> Option<Ended> {
    let [kind, low, high, text @ ..] = bytes else {
        return None;
    };
    let text = text.get(..u16::from_le_bytes([*low, *high]).into())?;
    let text = String::from_utf8_lossy(text);
    Some(match kind {
        b'p' => Ended::Returned(TestResult::Ok(())),
        b's' => Ended::Returned(Err(Stop::Skip(keep(&text)))),
        b'f' => Ended::Returned(Err(Stop::Fail(keep(&text)))),
        b'x' => Ended::Panicked(Message::of(text)),
        b'd' => Ended::Died(Message::of(text)),
        _ => Ended::Died(Message::of("it reported an invalid verdict")),
    })
}

/// Keeps a text for the rest of the program, which ends soon.
fn keep(text: &str) -> &'static str {
    Box::leak(text.into())
}
