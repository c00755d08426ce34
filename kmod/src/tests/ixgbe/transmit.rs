//! The transmit path.

use super::{Setup, frame, leave, running, until};
use kdk_harness::TestResult;

/// The shortest and longest frames of Ethernet, without frame check sequence, and
/// lengths around the sizes of mbufs.
const LENGTHS: [usize; 9] = [60, 61, 64, 255, 256, 257, 1024, 1513, 1514];

/// The NIC transmits the frames of the stack intact.
pub fn byte_for_byte() -> TestResult {
    let card = running(&Setup::nth(0))?;
    for (nth, length) in LENGTHS.into_iter().enumerate() {
        let seed = nth.to_le_bytes()[0];
        let sent = frame::raw(frame::PEER, length, seed);
        card.interface().transmit(&sent)?;
        let left = until("a frame does not leave", || card.take_transmitted())?;
        assert_eq!(left, sent, "a frame of {length} bytes");
    }
    assert_eq!(card.take_transmitted(), None, "a frame that was not sent");
    leave(card)
}

/// A NIC with limited DMA transmits several rings' worth of frames intact. All of
/// them go through bounce pages.
#[cfg(not(iflib))]
pub fn bounced() -> TestResult {
    const DESCRIPTORS: u32 = 64;
    // In an mbuf without a cluster, whose data is not aligned.
    const LENGTH: usize = 100;
    let card = running(&Setup {
        descriptors: Some(DESCRIPTORS),
        bounced: true,
        ..Setup::nth(0)
    })?;
    for ring in 0..5 {
        let before = super::bounce::bounced()?;
        for nth in 0..DESCRIPTORS {
            let sent = frame::raw(frame::PEER, LENGTH, nth.to_le_bytes()[0]);
            card.interface().transmit(&sent)?;
            let left = until("a frame does not leave", || card.take_transmitted())?;
            assert_eq!(left, sent, "frame {nth} of ring {ring}");
        }
        let bounced = super::bounce::bounced()? - before;
        assert!(bounced > 0, "nothing is bounced in ring {ring}");
    }
    leave(card)
}
