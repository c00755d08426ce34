//! The leak check reports what a test leaves behind.

use super::harness::answer;
use crate::objects::Kind;
use crate::{clock, objects};
use kdk_harness::{Stop, Test, TestResult, kdk_test};

static LEAKS: Test = Test::new("inner/leaks", || {
    objects::take(Kind::Object, 3);
    Ok(())
});

fn leaks_are_reported() -> TestResult {
    let text = answer(&[&LEAKS], "run *");
    objects::take(Kind::Object, -3);
    assert!(
        text.as_str()
            .ends_with("\n# leak: demo objects +3\nnot ok 1 inner/leaks\n# done 1\n"),
        "{text}"
    );
    Ok(())
}
kdk_test!("harness/leaks-are-reported", leaks_are_reported);

static KEEPS_LOCK: Test = Test::new("inner/keeps-lock", || {
    core::mem::forget(objects::lock().ok_or(Stop::Fail("the lock is locked"))?);
    Ok(())
});

fn leaked_locks_are_reported() -> TestResult {
    // An earlier fault may have left it locked.
    objects::free_lock();
    let text = answer(&[&KEEPS_LOCK], "run *");
    objects::free_lock();
    assert!(
        text.as_str()
            .ends_with("\n# leak: held locks +1\nnot ok 1 inner/keeps-lock\n# done 1\n"),
        "{text}"
    );
    Ok(())
}
kdk_test!(
    "harness/leaked-locks-are-reported",
    leaked_locks_are_reported
);

static PANICS_HOLDING: Test = Test::new("inner/panics-holding", || {
    let _guard = objects::lock().ok_or(Stop::Fail("the lock is locked"))?;
    panic!("nothing is dropped on this way out")
});

fn leaks_of_a_panic_are_reported() -> TestResult {
    objects::free_lock();
    let text = answer(&[&PANICS_HOLDING], "run *");
    objects::free_lock();
    let text = text.as_str();
    assert!(
        text.contains("\n# panic: nothing is dropped on this way out at "),
        "{text}"
    );
    assert!(
        text.contains("\n# leak: held locks +1\nnot ok 1 "),
        "{text}"
    );
    Ok(())
}
kdk_test!(
    "harness/leaks-of-a-panic-are-reported",
    leaks_of_a_panic_are_reported
);

static FREED_LATE: Test = Test::new("inner/freed-late", || {
    objects::take(Kind::Object, 2);
    objects::release_at(2, clock::tick_after(50));
    Ok(())
});

fn late_frees_are_no_leaks() -> TestResult {
    let text = answer(&[&FREED_LATE], "run *");
    assert!(
        text.as_str()
            .ends_with("\nok 1 inner/freed-late\n# done 1\n"),
        "{text}"
    );
    Ok(())
}
kdk_test!("harness/late-frees-are-no-leaks", late_frees_are_no_leaks);
