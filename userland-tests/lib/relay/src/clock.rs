//! Setting the time of day.

use core::time::Duration;

/// How far the clock may be from what it was set to.
const APART: Duration = Duration::from_secs(1);

/// How often it is set at most.
const TRIES: u32 = 8;

/// Sets the clock to `wanted` until it shows that.
///
/// FreeBSD before 2016 lets a timer's interrupt into clock_settime(2) where it
/// moves the time on (`tc_windup()` in `sys/kern/kern_tc.c`): the interrupt
/// moves it too, the kernel then believes to be ahead of its timecounter, and
/// the clock jumps by all that this can count, 43 s with an HPET. The clock can
/// be set again at once. One that never shows the time is left as it is, for
/// the host to see.
///
/// # Errors
/// What `set` fails with.
pub fn set_clock<E>(
    wanted: Duration,
    mut set: impl FnMut(Duration) -> Result<(), E>,
    mut read: impl FnMut() -> Duration,
) -> Result<(), E> {
    for _ in 0..TRIES {
        set(wanted)?;
        if read().abs_diff(wanted) < APART {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const NOON: Duration = Duration::from_secs(1_800_000_000);

    /// Sets a clock that is off by `jumps` seconds, one after each time it is
    /// set; how often it was set, and what it showed last.
    fn outcome(jumps: &[i64]) -> (usize, i64) {
        let (mut count, mut shown) = (0, 0);
        let mut jumps = jumps.iter().copied();
        set_clock(
            NOON,
            |wanted| {
                assert_eq!(wanted, NOON);
                count += 1;
                Ok::<(), ()>(())
            },
            || {
                shown = jumps.next().unwrap_or(0);
                let seconds = NOON.as_secs().saturating_add_signed(shown);
                Duration::new(seconds, 1_000_000)
            },
        )
        .unwrap();
        (count, shown)
    }

    #[test]
    fn it_is_set_until_it_shows_the_time() {
        let always: Vec<i64> = [43].repeat(20);
        for (jumps, expected) in [
            (&[][..], (1, 0)),
            (&[43], (2, 0)),
            (&[-43], (2, 0)),
            (&[43, -43, 43], (4, 0)),
            (&always, (8, 43)),
        ] {
            assert_eq!(outcome(jumps), expected, "{jumps:?}");
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_not_tried_again() {
        let mut count = 0;
        let refused = |_| {
            count += 1;
            Err("EPERM")
        };
        assert_eq!(set_clock(NOON, refused, || NOON), Err("EPERM"));
        assert_eq!(count, 1);
    }
}
