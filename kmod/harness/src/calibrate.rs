//! A fixed amount of work, which shows how fast a guest runs.

use core::hint::black_box;

/// The number of rounds of [`calibrate`].
const ROUNDS: u32 = 1_000_000;

/// The most microseconds that [`calibrate`] takes in a guest for which the
/// tests' limits are made. QEMU's emulator took 2,000 on a host of 2026.
pub const CALIBRATION_REFERENCE_US: u64 = 2_500;

/// Does the work. A guest measures the time that
/// it takes, and reports it when it is resumed.
pub fn calibrate() {
    let mut state = black_box(0x9e37_79b9_7f4a_7c15_u64);
    for _ in 0..ROUNDS {
        // Xorshift: each round needs the result of the last one.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    black_box(state);
}
