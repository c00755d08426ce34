//! Waiting for what the kernel does late.

use crate::sysctl;
use crate::time::sleep_ms;

/// The longest step of [`settles`], in milliseconds of the guest.
const LONGEST_MS: u64 = 32;

/// Waits for timers of the kernel to pass, and until everything that they have
/// started has run: a slow host makes a step longer, and changes nothing else.
/// Returns the milliseconds of the guest that it took at least: 1 at first, and
/// twice as many each time, up to `longest`.
pub fn step(attempt: u32, longest: u64) -> u64 {
    let ms = 1_u64.checked_shl(attempt).unwrap_or(longest).min(longest);
    sleep_ms(ms);
    // Without kdk.ko there is no way to wait for that.
    let _ = sysctl::integer("debug.kdk.idle");
    ms
}

/// Returns whether `done` becomes true, after timers of up to `ms` milliseconds
/// of the guest.
pub fn settles(ms: u64, mut done: impl FnMut() -> bool) -> bool {
    let (mut attempt, mut passed) = (0, 0);
    while passed < ms {
        if done() {
            return true;
        }
        passed += step(attempt, LONGEST_MS);
        attempt += 1;
    }
    done()
}
