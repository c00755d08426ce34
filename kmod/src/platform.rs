//! The harness platform for the kernel.

use crate::kpi::kthread::{self, Thread};
use crate::kpi::{counters, leaked, malloc, notes, time};
use core::ffi::CStr;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use kdk_harness::{Counters, Ended, Message, Platform, Test};

/// The number of times that the leak check waits for late frees: about one
/// second of the guest in all, and until each CPU has been idle as often.
const SETTLING: u32 = 12;

/// The uptime at which the test that runs reaches its limit, in milliseconds.
static DEADLINE_MS: AtomicU64 = AtomicU64::new(u64::MAX);

/// Returns the time that the test that runs has until its limit by the guest's
/// clock, so that it can say what it waits for. The host enforces the limit, and
/// does not count the time in which it did not run the guest.
#[must_use]
pub fn time_left() -> Duration {
    Duration::from_millis(DEADLINE_MS.load(Ordering::SeqCst)).saturating_sub(time::uptime())
}

/// Runs each test in a kernel thread of its own.
#[derive(Debug)]
pub struct Kernel;

impl Platform for Kernel {
    fn run_isolated(&mut self, test: &'static Test) -> Ended {
        let limit = time::uptime() + Duration::from_millis(test.limit_ms.into());
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        // A test of the harness runs tests of its own.
        let outer = DEADLINE_MS.swap(limit, Ordering::SeqCst);
        let ended = run_in_thread(test);
        DEADLINE_MS.store(outer, Ordering::SeqCst);
        ended
    }

    fn counters(&mut self, test: &'static Test, into: &mut Counters) {
        into.set("mbufs", "", counters::mbufs());
        into.set("mbuf clusters", "", counters::clusters());
        into.set("threads", "", counters::threads());
        for leak in leaked::all() {
            into.set(leak.kind, leak.name, leak.count);
        }
        for name in [malloc::TYPE].iter().chain(test.leak_types) {
            into.set("malloc bytes", name, in_use(name));
        }
    }

    fn settle(&mut self, attempt: u32) -> bool {
        let more = attempt < SETTLING;
        if more {
            time::sleep(Duration::from_millis(1 << attempt.min(7)));
            time::wait_until_idle();
        }
        more
    }

    fn write_notes(&mut self, out: &mut dyn fmt::Write) -> fmt::Result {
        notes::write(out)
    }
}

fn run_in_thread(test: &'static Test) -> Ended {
    let thread = match Thread::spawn_test(c"kdk test", test.run) {
        Ok(thread) => thread,
        Err(errno) => {
            return Ended::Died(Message::of(format_args!(
                "cannot start a kernel thread for the test: {errno}"
            )));
        }
    };
    notes::begin(&thread);
    match thread.wait() {
        kthread::End::Returned(result) => Ended::Returned(result),
        kthread::End::Panicked(message) => Ended::Panicked(message),
    }
}

/// Returns the bytes in use of a malloc type, or 0 if there is no such type:
/// a test may define it.
fn in_use(name: &str) -> i64 {
    let mut bytes = [0; 64];
    let Some(room) = bytes.get_mut(..name.len()).filter(|_| name.len() < 64) else {
        return 0;
    };
    room.copy_from_slice(name.as_bytes());
    let usage = CStr::from_bytes_until_nul(&bytes)
        .ok()
        .and_then(counters::malloc);
    usage.map_or(0, |usage| i64::try_from(usage.bytes).unwrap_or(i64::MAX))
}
