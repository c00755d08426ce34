//! Counts time by the timer's interrupts.

use crate::{hw, objects};
use core::sync::atomic::{AtomicU64, Ordering};

const MS_PER_TICK: u64 = 1000 / hw::HZ;

static TICKS: AtomicU64 = AtomicU64::new(0);

/// Counts a tick and runs what is due.
pub fn tick() {
    let now = TICKS.fetch_add(1, Ordering::Relaxed) + 1;
    objects::release_due(now);
}

/// Returns the ticks since the start.
pub fn ticks() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Returns the tick that comes `ms` milliseconds from now at the earliest.
pub fn tick_after(ms: u64) -> u64 {
    ticks() + ms.div_ceil(MS_PER_TICK) + 1
}

/// Returns the milliseconds since the start.
pub fn now_ms() -> u64 {
    ticks() * MS_PER_TICK
}

/// Sleeps for `ms` milliseconds.
pub fn sleep(ms: u64) {
    let until = tick_after(ms);
    while ticks() < until {
        hw::idle_unless(|| ticks() >= until);
    }
}

/// Sleeps forever, and prints a line each second, as a live kernel does.
pub fn tick_on(who: &str) -> ! {
    loop {
        crate::log!("{who}: still here after {} s", now_ms() / 1000);
        sleep(1000);
    }
}
