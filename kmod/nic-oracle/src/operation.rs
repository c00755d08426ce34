//! Random operations on a NIC and its driver.

use alloc::vec::Vec;
use core::fmt;

use fastrand::Rng;
use kdk_nic82599::registers::{
    EICR_ECC, EICR_GPI_SDP0, EICR_GPI_SDP1, EICR_LSC, EICR_MNG, EICR_TCP_TIMER,
};

/// The number of flows.
pub const FLOWS: u16 = 48;
/// The number of multicast groups.
pub const GROUPS: u8 = 4;
/// The number of queues that are stalled or moderated. Operations on a queue
/// that the NIC does not use have no effect.
const QUEUES: u8 = 4;

/// An operation on a NIC and its driver. Operations are independent: any of
/// them can be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Receives frames: see [`shapes`](crate::shapes).
    Frames {
        /// The seed of their shapes.
        seed: u64,
        /// The number of frames.
        count: u8,
        /// Whether all are received before the NIC interrupts.
        together: bool,
    },
    /// Joins or leaves a multicast group.
    Multicast {
        /// The number of the group.
        group: u8,
        /// Whether to join it.
        join: bool,
    },
    /// Connects or disconnects the cable.
    Link {
        /// Whether to connect it.
        up: bool,
    },
    /// Stops and starts the interface.
    Restart {
        /// Whether to wait first until the stack has received all frames.
        settle: bool,
    },
    /// Changes the MTU, which reinitializes the interface.
    Mtu {
        /// Whether it is 9000 bytes; else 1500.
        jumbo: bool,
        /// Whether to wait first until the stack has received all frames.
        settle: bool,
    },
    /// Treats a queue as if it had no descriptors, or stops to.
    Stall {
        /// The number of the queue.
        queue: u8,
        /// Whether to stall it.
        stalled: bool,
    },
    /// Sets interrupt causes other than those of queues.
    Raise {
        /// Bits of EICR.
        causes: u32,
    },
    /// Raises an ECC error, which reinitializes the interface.
    Ecc,
    /// Advances the time of interrupt moderation.
    Time {
        /// The time in microseconds.
        microseconds: u16,
    },
    /// Sets the interrupt moderation of a queue (EITR).
    Moderation {
        /// The number of the queue.
        queue: u8,
        /// The least interval in microseconds, up to 1022.
        microseconds: u16,
    },
    /// Waits until the stack has received all frames.
    Settle,
}

impl Operation {
    /// Returns whether it reinitializes the interface.
    #[must_use]
    pub const fn restarts(self) -> bool {
        matches!(self, Self::Restart { .. } | Self::Mtu { .. } | Self::Ecc)
    }
}

/// Prints an operation as Rust code, so that a failure can become a test.
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

/// The kinds of operations to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Whether to generate jumbo frames and changes of the MTU.
    pub jumbo: bool,
    /// Whether to generate ECC errors.
    pub ecc: bool,
    /// The most operations that reinitialize the interface, which take long.
    pub restarts: usize,
}

impl Mix {
    /// The operations that must not change the order of frames.
    pub const ORDER: Self = Self {
        jumbo: false,
        ecc: false,
        restarts: 6,
    };
    /// All kinds of operations.
    pub const ALL: Self = Self {
        jumbo: true,
        ecc: true,
        restarts: 6,
    };
}

/// Generates `count` operations from a seed.
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
        // The cable is connected more often than not.
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

/// The interrupt cause of [`Operation::Ecc`].
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
