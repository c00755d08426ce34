//! What a machine that was saved and loaded again gets from the host: the time, a
//! seed, and randomness of its own.

use core::time::Duration;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::file::{O_CLOEXEC, O_RDONLY, open};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, kenv, time};

kdk_test!("smoke/world-clock-goes-on", clock_goes_on);
kdk_test!("smoke/world-has-a-seed", has_a_seed);
kdk_test!("smoke/world-random-numbers", random_numbers);

/// The first second of 2026 (UTC): this test is not older.
const WRITTEN: Duration = Duration::from_secs(1_767_225_600);

fn clock_goes_on() -> TestResult {
    let now = time::today();
    assert!(now > WRITTEN, "{now:?} since 1970");
    assert!(time::today() >= now, "it went back");
    Ok(())
}

/// The variable that a test takes its random choices from.
fn has_a_seed() -> TestResult {
    let seed = must("kenv kdk.seed", kenv::get("kdk.seed"));
    assert_eq!(seed.len(), 16, "{seed}");
    assert!(u64::from_str_radix(&seed, 16).is_ok(), "{seed}");
    Ok(())
}

fn random_numbers() -> TestResult {
    let device = must("open", open("/dev/random", O_RDONLY | O_CLOEXEC));
    let mut draws = [[0u8; 16]; 2];
    for draw in &mut draws {
        assert_eq!(must("read", device.read(draw)), draw.len());
    }
    assert_ne!(draws[0], draws[1]);
    Ok(())
}
