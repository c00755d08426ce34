//! Shapes of random frames.

use alloc::vec::Vec;
use fastrand::Rng;
use kdk_nic82599::FrameErrors;

use crate::operation::{FLOWS, GROUPS, Mix};

/// The destination of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The configuration of the NIC.
    Card,
    /// A multicast group, below [`GROUPS`].
    Group(u8),
    /// Another machine on the wire.
    Other,
}

/// The receive error of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no error.
    None,
    /// The frame check sequence is wrong.
    Crc,
    /// The NIC reports an error in the descriptor.
    Descriptor,
}

impl Error {
    /// Converts the error to the argument of the model.
    #[must_use]
    pub const fn errors(self) -> FrameErrors {
        match self {
            Self::None => FrameErrors::NONE,
            Self::Crc => FrameErrors {
                crc: true,
                ..FrameErrors::NONE
            },
            Self::Descriptor => FrameErrors {
                descriptor: FrameErrors::RXE,
                ..FrameErrors::NONE
            },
        }
    }
}

/// The shape of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its flow, below [`FLOWS`].
    pub flow: u16,
    /// Its length in bytes, without frame check sequence.
    pub length: u16,
    /// The destination of the frame.
    pub target: Target,
    /// Its receive error.
    pub error: Error,
}

/// Makes the shapes of `count` frames from a seed.
#[must_use]
pub fn shapes(seed: u64, count: u8, mix: Mix) -> Vec<Shape> {
    let mut rng = Rng::with_seed(seed);
    // Some bursts have few flows.
    let flows = if rng.bool() {
        FLOWS
    } else {
        rng.u16(1..=FLOWS)
    };
    (0..count).map(|_| shape(&mut rng, flows, mix)).collect()
}

fn shape(rng: &mut Rng, flows: u16, mix: Mix) -> Shape {
    let target = match rng.u8(0..16) {
        0 => Target::Group(rng.u8(0..GROUPS)),
        1 => Target::Other,
        _ => Target::Card,
    };
    let error = match rng.u8(0..24) {
        0 => Error::Crc,
        1 => Error::Descriptor,
        _ => Error::None,
    };
    let length = match rng.u8(0..8) {
        // Lengths that drivers copy, and lengths around that of a small mbuf.
        0..4 => rng.u16(60..=260),
        4 if mix.jumbo => rng.u16(1515..=9014),
        _ => rng.u16(60..=1514),
    };
    Shape {
        flow: rng.u16(0..flows),
        length,
        target,
        error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_frames() {
        for seed in 0..50 {
            let all = shapes(seed, 64, Mix::ALL);
            assert_eq!(all.len(), 64);
            assert_eq!(all, shapes(seed, 64, Mix::ALL));
            assert_ne!(all, shapes(seed + 1, 64, Mix::ALL));
            for shape in all {
                assert!(shape.flow < FLOWS && shape.length >= 60, "{shape:?}");
            }
            for shape in shapes(seed, 64, Mix::ORDER) {
                assert!(shape.length <= 1514, "{shape:?}");
            }
        }
    }

    #[test]
    fn there_is_some_of_each_kind() {
        let all: Vec<Shape> = (0..50)
            .flat_map(|seed| shapes(seed, 64, Mix::ALL))
            .collect();
        let any = |wanted: fn(&Shape) -> bool| assert!(all.iter().any(wanted));
        any(|shape| shape.error == Error::Crc);
        any(|shape| shape.error == Error::Descriptor);
        any(|shape| shape.target == Target::Other);
        any(|shape| matches!(shape.target, Target::Group(_)));
        any(|shape| shape.length > 9000);
        assert!((0..FLOWS).all(|flow| all.iter().any(|shape| shape.flow == flow)));
    }
}
