//! Implements the harness's platform: each test runs in a saved context.

use crate::hw::{self, Left};
use crate::{clock, objects};
use core::sync::atomic::{AtomicBool, Ordering};
use kdk_harness::{Counters, Ended, Message, Platform, Test};
use spin::Mutex;

/// The message of a test that was left.
static LAST_WORDS: Mutex<Option<Message>> = Mutex::new(None);
/// Whether a trap ends only the test, and not the machine.
static TRAP_ENDS_TEST: AtomicBool = AtomicBool::new(false);

/// The number of attempts to settle, and the pause before each, in
/// milliseconds.
const SETTLE: (u32, u64) = (10, 20);

/// The demo guest as a platform.
pub struct Demo;

impl Platform for Demo {
    fn run_isolated(&mut self, test: &'static Test) -> Ended {
        let mut returned = Ok(());
        let left = hw::guarded(|| returned = (test.run)());
        TRAP_ENDS_TEST.store(false, Ordering::Relaxed);
        let words = || LAST_WORDS.lock().take().unwrap_or_default();
        match left {
            Left::Returned => Ended::Returned(returned),
            Left::Panicked => Ended::Panicked(words()),
            Left::Trapped => Ended::Died(words()),
        }
    }

    fn counters(&mut self, _test: &'static Test, counters: &mut Counters) {
        objects::count(counters);
    }

    fn settle(&mut self, attempt: u32) -> bool {
        let (attempts, pause) = SETTLE;
        if attempt < attempts {
            clock::sleep(pause);
        }
        attempt < attempts
    }
}

/// Lets a trap end only the test, until the end of the test.
pub fn let_traps_end_test() {
    TRAP_ENDS_TEST.store(true, Ordering::Relaxed);
}

/// Returns whether a trap ends only the test.
pub fn traps_end_test() -> bool {
    TRAP_ENDS_TEST.load(Ordering::Relaxed)
}

/// Leaves the running test with the message `words`. Returns only if no test
/// runs.
pub fn leave_test(how: Left, words: Message) {
    hw::disable_interrupts();
    *LAST_WORDS.lock() = Some(words);
    hw::leave(how);
}
