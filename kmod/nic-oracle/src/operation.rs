//! What happens to a card and its driver.

use alloc::vec::Vec;
use core::fmt;

use fastrand::Rng;
use kdk_nic82599::registers::{
    EICR_ECC, EICR_GPI_SDP0, EICR_GPI_SDP1, EICR_LSC, EICR_MNG, EICR_TCP_TIMER,
};

/// Flows that there are.
pub const FLOWS: u16 = 48;
/// Multicast groups that there are.
pub const GROUPS: u8 = 4;
/// Queues that are stalled or moderated. One that the card does not use is
/// left alone.
const QUEUES: u8 = 4;

/// What happens to a card and its driver. Each stands for itself: any of them
/// can be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Frames come in: [`shapes`](crate::shapes).
    Frames {
        /// What they are like.
        seed: u64,
        /// How many.
        count: u8,
        /// All before the card interrupts, or each by itself.
        together: bool,
    },
    /// The interface joins a multicast group, or leaves it.
    Multicast {
        /// Which.
        group: u8,
        /// Join.
        join: bool,
    },
    /// The cable is plugged in, or pulled out.
    Link {
        /// In.
        up: bool,
    },
    /// The interface is stopped and started.
    Restart {
        /// Only after the stack has got all.
        settle: bool,
    },
    /// The longest payload is changed: the interface is initialised anew.
    Mtu {
        /// 9000 bytes, or 1500.
        jumbo: bool,
        /// Only after the stack has got all.
        settle: bool,
    },
    /// A queue is treated as if it had no descriptors, or no longer.
    Stall {
        /// Which.
        queue: u8,
        /// It is.
        stalled: bool,
    },
    /// The card interrupts for other things than frames.
    Raise {
        /// Bits of EICR.
        causes: u32,
    },
    /// An ECC error: the interface is initialised anew.
    Ecc,
    /// Time passes for the card's interrupt moderation.
    Time {
        /// How much.
        microseconds: u16,
    },
    /// A queue interrupts so often.
    Moderation {
        /// Which.
        queue: u8,
        /// At the soonest, 1022 at most.
        microseconds: u16,
    },
    /// The stack gets all that is there for it.
    Settle,
}

impl Operation {
    /// Whether it initialises the interface anew.
    #[must_use]
    pub const fn restarts(self) -> bool {
        matches!(self, Self::Restart { .. } | Self::Mtu { .. } | Self::Ecc)
    }
}

/// As it is written in code: what fails can be made a test of.
impl fmt::Debug for Operation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frames {
                seed,
                count,
                together,
            } => write!(
                out,
                "Frames {{ seed: {seed:#x}, count: {count}, together: {together} }}"
            ),
            Self::Multicast { group, join } => {
                write!(out, "Multicast {{ group: {group}, join: {join} }}")
            }
            Self::Link { up } => write!(out, "Link {{ up: {up} }}"),
            Self::Restart { settle } => write!(out, "Restart {{ settle: {settle} }}"),
            Self::Mtu { jumbo, settle } => {
                write!(out, "Mtu {{ jumbo: {jumbo}, settle: {settle} }}")
            }
            Self::Stall { queue, stalled } => {
                write!(out, "Stall {{ queue: {queue}, stalled: {stalled} }}")
            }
            Self::Raise { causes } => write!(out, "Raise {{ causes: {causes:#x} }}"),
            Self::Ecc => write!(out, "Ecc"),
            Self::Time { microseconds } => write!(out, "Time {{ microseconds: {microseconds} }}"),
            Self::Moderation {
                queue,
                microseconds,
            } => write!(
                out,
                "Moderation {{ queue: {queue}, microseconds: {microseconds} }}"
            ),
            Self::Settle => write!(out, "Settle"),
        }
    }
}

/// Which operations there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Frames longer than 1514 bytes, and a change of what is longest.
    pub jumbo: bool,
    /// Errors of the card's memory.
    pub ecc: bool,
    /// Operations at most that initialise the interface anew: they take long.
    pub restarts: usize,
}

impl Mix {
    /// All that may not change the order of frames.
    pub const ORDER: Self = Self {
        jumbo: false,
        ecc: false,
        restarts: 6,
    };
    /// All.
    pub const ALL: Self = Self {
        jumbo: true,
        ecc: true,
        restarts: 6,
    };
}

/// `count` operations, the same for the same seed.
#[must_use]
pub fn generate(seed: u64, count: usize, mix: Mix) -> Vec<Operation> {
    let mut rng = Rng::with_seed(seed);
    let mut restarts = 0;
    core::iter::from_fn(|| Some(operation(&mut rng, mix)))
        .filter(|operation| {
            restarts += usize::from(operation.restarts());
            !operation.restarts() || restarts <= mix.restarts
        })
        .take(count)
        .collect()
}

fn operation(rng: &mut Rng, mix: Mix) -> Operation {
    match rng.u8(0..100) {
        0..40 => Operation::Frames {
            seed: rng.u64(..),
            count: rng.u8(1..=64),
            together: rng.bool(),
        },
        40..56 => Operation::Multicast {
            group: rng.u8(0..GROUPS),
            join: rng.bool(),
        },
        // More often in than out.
        56..64 => Operation::Link {
            up: rng.u8(0..6) > 0,
        },
        64..67 => Operation::Restart { settle: rng.bool() },
        67..69 if mix.jumbo => Operation::Mtu {
            jumbo: rng.bool(),
            settle: rng.bool(),
        },
        69..70 if mix.ecc => Operation::Ecc,
        67..74 => Operation::Stall {
            queue: rng.u8(0..QUEUES),
            stalled: rng.u8(0..4) == 0,
        },
        74..80 => Operation::Raise {
            causes: [
                EICR_LSC,
                EICR_MNG,
                EICR_GPI_SDP0,
                EICR_GPI_SDP1,
                EICR_TCP_TIMER,
            ][rng.usize(0..5)],
        },
        80..90 => Operation::Time {
            microseconds: rng.u16(0..200),
        },
        90..95 => Operation::Moderation {
            queue: rng.u8(0..QUEUES),
            microseconds: rng.u16(0..=500),
        },
        _ => Operation::Settle,
    }
}

/// What [`Operation::Ecc`] raises.
pub const ECC: u32 = EICR_ECC;

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn the_same_seed_makes_the_same_operations() {
        for seed in 0..50 {
            for mix in [Mix::ORDER, Mix::ALL] {
                let all = generate(seed, 300, mix);
                assert_eq!(all.len(), 300);
                assert_eq!(all, generate(seed, 300, mix));
                assert_ne!(all, generate(seed + 1, 300, mix));
                let restarts = all.iter().filter(|one| one.restarts()).count();
                assert!(restarts <= mix.restarts, "{restarts}");
            }
        }
    }

    #[test]
    fn each_mix_has_its_kinds() {
        let all = |mix| (0..20).flat_map(move |seed| generate(seed, 300, mix));
        let any = |mix, wanted: fn(&Operation) -> bool| all(mix).any(|one| wanted(&one));
        for mix in [Mix::ORDER, Mix::ALL] {
            assert!(any(mix, |one| matches!(
                one,
                Operation::Restart { settle: true }
            )));
            assert!(any(mix, |one| matches!(
                one,
                Operation::Restart { settle: false }
            )));
            assert!(any(mix, |one| matches!(
                one,
                Operation::Stall { stalled: true, .. }
            )));
            assert!(any(mix, |one| matches!(one, Operation::Link { up: false })));
            assert!(any(mix, |one| *one == Operation::Settle));
            assert_eq!(any(mix, |one| *one == Operation::Ecc), mix.ecc);
            assert_eq!(
                any(mix, |one| matches!(one, Operation::Mtu { .. })),
                mix.jumbo
            );
        }
    }

    #[test]
    fn they_are_shown_as_code() {
        for (operation, shown) in [
            (Operation::Settle, "Settle"),
            (
                Operation::Raise { causes: 1 << 20 },
                "Raise { causes: 0x100000 }",
            ),
            (
                Operation::Frames {
                    seed: 255,
                    count: 3,
                    together: true,
                },
                "Frames { seed: 0xff, count: 3, together: true }",
            ),
        ] {
            assert_eq!(format!("{operation:?}"), shown);
        }
    }
}
