//! Current time and entropy for a machine that may have been saved long ago.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::Resume;
use kdk_relay::set_clock;
use kdk_sys::file::{O_CLOEXEC, O_RDONLY, open};
use kdk_sys::poll::{self, POLLIN};
use kdk_sys::time::{self, Deadline};
use kdk_sys::{Descriptor, Errno, Result, kenv, sysctl};

/// The kernel variable that holds the seed, sixteen hexadecimal digits, for
/// tests that choose at random.
const VARIABLE: &str = "kdk.seed";
const RANDOM: &str = "/dev/random";
/// kdk.ko's way to the kernel's random numbers, and the bytes it takes.
const ENTROPY: &str = "debug.kdk.entropy";
const SEED: usize = 64;
/// How long a machine is idle before it is saved, milliseconds.
const QUIESCE_MS: u64 = 200;

/// Sets the clock, gives the kernel the seed, and names both as they are
/// afterwards, with the speed of the machine.
///
/// # Errors
/// Which of it the kernel refused.
pub fn resume(how: &Resume) -> core::result::Result<String, String> {
    let wanted = Duration::new(how.seconds, how.nanoseconds);
    set_clock(wanted, time::set_today, time::today).map_err(failed("clock_settime"))?;
    kenv::set(VARIABLE, &format!("{:016x}", how.seed)).map_err(failed("kenv"))?;
    reseed(how.seed).map_err(failed(ENTROPY))?;
    let random = draw().map_err(failed("read /dev/random"))?;
    let work = time_of_work();
    let now = time::today();
    Ok(format!(
        "# resumed time={}.{:09} random={random:016x} work_us={work}",
        now.as_secs(),
        now.subsec_nanos()
    ))
}

/// Returns how long a fixed amount of work takes here, in microseconds: the
/// least of a few times, since others may run in between.
fn time_of_work() -> u64 {
    let times = (0..3).map(|_| {
        let began = time::now_ns();
        kdk_harness::calibrate();
        (time::now_ns() - began) / 1000
    });
    times.min().unwrap_or(0)
}

fn failed(what: &str) -> impl Fn(Errno) -> String {
    move |errno| format!("{what}: {errno}")
}

/// Waits until the kernel takes a new seed at once, which it does not within
/// 100 ms of the last one (sys/dev/random/fortuna.c).
pub fn quiesce() {
    time::sleep_ms(QUIESCE_MS);
}

/// Has the kernel mix the seed into its random numbers.
fn reseed(seed: u64) -> Result<()> {
    let words = (0..SEED as u64 / 8).map(|n| seed.wrapping_add(n).to_le_bytes());
    let bytes: Vec<u8> = words.flatten().collect();
    sysctl::write(ENTROPY, &bytes)
}

/// Some of the kernel's random numbers: they are there, and not those of
/// another machine loaded from the same state.
fn draw() -> Result<u64> {
    let device = open(RANDOM, O_RDONLY | O_CLOEXEC)?;
    poll::wait_for(&device, POLLIN, Deadline::NEVER)?;
    let mut bytes = [0; 8];
    match device.read(&mut bytes)? {
        8 => Ok(u64::from_le_bytes(bytes)),
        _ => Err(Errno::EBADMSG),
    }
}
