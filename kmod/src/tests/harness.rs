//! The harness in the kernel: tests that run inner tests, which are not
//! registered, and check the runner's output.

use super::{fault, resource_error};
use crate::kpi::callout::Callout;
use crate::kpi::kthread::Thread;
use crate::kpi::mbuf::{Header, Mbuf};
use crate::kpi::{Locked, leaked, mutex, time};
use crate::platform::Kernel;
use alloc::boxed::Box;
use alloc::string::String;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use kdk_harness::{Expect, Pattern, Registry, Run, Stop, Test, TestResult, kdk_test};

kdk_test!("harness/panic-isolated", panic_isolated);
kdk_test!("harness/assertion-message", assertion_message);
kdk_test!("harness/fail", fail);
kdk_test!("harness/skip", skip);
kdk_test!("harness/expected-failure", expected_failure);
kdk_test!("harness/unexpected-pass", unexpected_pass);
kdk_test!("harness/leak-memory", leak_memory);
kdk_test!("harness/leak-mbuf", leak_mbuf);
kdk_test!("harness/leak-thread", leak_thread);
kdk_test!("harness/leak-callout", leak_callout);
kdk_test!("harness/late-free-is-no-leak", late_free);
kdk_test!("harness/leak-lock", leak_lock);
kdk_test!("harness/lock-released-after-panic", lock_released);
kdk_test!(
    "harness/xfail",
    || Err(Stop::Fail("on purpose")),
    expect = Expect::Fail("shows an expected failure")
);
kdk_test!("harness/skipped", || Err(Stop::Skip(
    "shows a skipped test"
)));

/// Runs one test and returns the output of the runner.
pub(super) fn output_of(test: &'static Test) -> Result<String, Stop> {
    let tests = [test];
    let pattern = Pattern::new(test.name).map_err(|_| Stop::Fail("no pattern"))?;
    let run = Run::new(&Registry::new(&tests), pattern);
    let mut run = run.map_err(|_| Stop::Fail("no run"))?;
    let mut text = String::new();
    while run
        .next_chunk(&mut Kernel, &mut text)
        .map_err(|_| Stop::Fail("no text"))?
    {}
    Ok(text)
}

/// Asserts that the output has this result line.
#[track_caller]
pub(super) fn expect(text: &str, result: &str) {
    assert!(
        text.lines().any(|line| line == result),
        "no `{result}` in:\n{text}"
    );
}

/// Asserts that the output has a line that starts with `start`.
#[track_caller]
fn expect_detail(text: &str, start: &str) {
    assert!(
        text.lines().any(|line| line.starts_with(start)),
        "no `{start}` in:\n{text}"
    );
}

fn panic_isolated() -> TestResult {
    static PANICS: Test = Test::new("inner/panics", fault::rust_panic);
    static AFTER: Test = Test::new("inner/after", || Ok(()));
    expect(&output_of(&PANICS)?, "not ok 1 inner/panics");
    expect(&output_of(&AFTER)?, "ok 1 inner/after");
    Ok(())
}

fn assertion_message() -> TestResult {
    static ASSERTS: Test = Test::new("inner/asserts", || {
        assert_eq!(core::hint::black_box(2) + 2, 5, "sums in the kernel");
        Ok(())
    });
    let text = output_of(&ASSERTS)?;
    expect_detail(
        &text,
        "# panic: assertion `left == right` failed: sums in the kernel",
    );
    assert!(
        text.contains("left: 4") && text.contains("right: 5"),
        "{text}"
    );
    assert!(text.contains("harness.rs:"), "{text}");
    expect(&text, "not ok 1 inner/asserts");
    Ok(())
}

fn fail() -> TestResult {
    static FAILS: Test = Test::new("inner/fails", || Err(Stop::Fail("for a reason")));
    let text = output_of(&FAILS)?;
    expect(&text, "# failed: for a reason");
    expect(&text, "not ok 1 inner/fails");
    Ok(())
}

fn skip() -> TestResult {
    static SKIPS: Test = Test::new("inner/skips", || Err(Stop::Skip("not here")));
    expect(&output_of(&SKIPS)?, "ok 1 inner/skips # SKIP not here");
    Ok(())
}

fn expected_failure() -> TestResult {
    static XFAILS: Test = Test {
        expect: Expect::Fail("known"),
        ..Test::new("inner/xfails", || Err(Stop::Fail("as known")))
    };
    expect(&output_of(&XFAILS)?, "not ok 1 inner/xfails # XFAIL known");
    Ok(())
}

fn unexpected_pass() -> TestResult {
    static XPASSES: Test = Test {
        expect: Expect::Fail("known"),
        ..Test::new("inner/xpasses", || Ok(()))
    };
    expect(&output_of(&XPASSES)?, "ok 1 inner/xpasses # XFAIL known");
    Ok(())
}

/// What inner tests leak, for the outer tests to release.
static KEPT_BOX: Locked<Option<Box<[u8; 5000]>>> = Locked::new(None);
static KEPT_MBUF: Locked<Option<Mbuf>> = Locked::new(None);
static KEPT_THREAD: Locked<Option<Thread>> = Locked::new(None);
static KEPT_CALLOUT: Locked<Option<Callout>> = Locked::new(None);

fn leak_memory() -> TestResult {
    static LEAKS: Test = Test::new("inner/leaks", || {
        let mut block = Some(Box::new([0; 5000]));
        KEPT_BOX.with(|kept| core::mem::swap(kept, &mut block));
        Ok(())
    });
    let text = output_of(&LEAKS)?;
    assert!(KEPT_BOX.with(Option::take).is_some());
    expect_detail(&text, "# leak: malloc bytes kdk +");
    expect(&text, "not ok 1 inner/leaks");
    Ok(())
}

fn leak_mbuf() -> TestResult {
    static LEAKS: Test = Test::new("inner/leaks-mbuf", || {
        let mut chain = Mbuf::new(100, Header::Packet);
        KEPT_MBUF.with(|kept| core::mem::swap(kept, &mut chain));
        Ok(())
    });
    let text = output_of(&LEAKS)?;
    assert!(KEPT_MBUF.with(Option::take).is_some());
    expect(&text, "# leak: mbufs +1");
    expect(&text, "not ok 1 inner/leaks-mbuf");
    Ok(())
}

/// Ends the thread of [`leak_thread`].
static ENOUGH: AtomicBool = AtomicBool::new(false);

fn leak_thread() -> TestResult {
    static LEAKS: Test = Test::new("inner/leaks-thread", || {
        let thread = Thread::spawn(c"kdk leaked", || {
            while !ENOUGH.load(Ordering::SeqCst) {
                time::sleep(Duration::from_millis(5));
            }
        });
        let mut thread = Some(thread.map_err(resource_error)?);
        KEPT_THREAD.with(|kept| core::mem::swap(kept, &mut thread));
        Ok(())
    });
    ENOUGH.store(false, Ordering::SeqCst);
    let text = output_of(&LEAKS)?;
    ENOUGH.store(true, Ordering::SeqCst);
    let thread = KEPT_THREAD
        .with(Option::take)
        .ok_or(Stop::Fail("no thread was kept"))?;
    thread.wait();
    expect(&text, "# leak: threads +1");
    expect(&text, "not ok 1 inner/leaks-thread");
    Ok(())
}

/// A callout that its test leaves scheduled is stopped and reported.
fn leak_callout() -> TestResult {
    static LEAKS: Test = Test::new("inner/leaks-callout", || {
        let callout = Callout::new(|| ()).map_err(resource_error)?;
        callout.schedule(Duration::from_secs(3600));
        let mut callout = Some(callout);
        KEPT_CALLOUT.with(|kept| core::mem::swap(kept, &mut callout));
        Ok(())
    });
    let text = output_of(&LEAKS)?;
    let callout = KEPT_CALLOUT
        .with(Option::take)
        .ok_or(Stop::Fail("no callout was kept"))?;
    assert!(!callout.is_pending());
    // It was stopped permanently.
    callout.schedule(Duration::from_secs(3600));
    assert!(!callout.is_pending());
    leaked::discount("callout", "");
    expect(&text, "# leak: callout +1");
    expect(&text, "not ok 1 inner/leaks-callout");
    Ok(())
}

/// The leak check waits for memory that a thread frees late.
fn late_free() -> TestResult {
    static LATE: Test = Test::new("inner/late", || {
        let block = Box::new([0_u8; 5000]);
        let late = move || {
            time::sleep(Duration::from_millis(60));
            drop(block);
        };
        drop(Thread::spawn(c"kdk late", late).map_err(resource_error)?);
        Ok(())
    });
    expect(&output_of(&LATE)?, "ok 1 inner/late");
    Ok(())
}

fn leak_lock() -> TestResult {
    static FORGETS: Test = Test::new("inner/forgets", fault::held_lock);
    let text = output_of(&FORGETS)?;
    leaked::discount("held lock", "kdk module");
    assert!(
        mutex::MODULE.try_lock().is_some(),
        "the lock is not released"
    );
    expect(&text, "# leak: held lock kdk module +1");
    expect(&text, "not ok 1 inner/forgets");
    Ok(())
}

fn lock_released() -> TestResult {
    static PANICS: Test = Test::new("inner/panics-locked", || {
        let _guard = mutex::MODULE.lock();
        fault::rust_panic()
    });
    let text = output_of(&PANICS)?;
    leaked::discount("held lock", "kdk module");
    assert!(
        mutex::MODULE.try_lock().is_some(),
        "the lock is not released"
    );
    expect_detail(&text, "# panic: asked for by a test at ");
    expect(&text, "# leak: held lock kdk module +1");
    expect(&text, "not ok 1 inner/panics-locked");
    Ok(())
}
