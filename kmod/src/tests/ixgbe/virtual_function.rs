//! The driver of a virtual function (VF), ixv(4).

use super::tap::expect;
use super::{Card, Setup, assert_consistent, frame, running, until};
use kdk_harness::TestResult;
use kdk_nic82599::virtual_function::{VTEICS, VTEIMC, VTEIMS};
use kdk_nic82599::{FrameErrors, Received};

/// The only queue, which has the vector of its number.
const QUEUE: u16 = 0;
/// Its vector, as a bit.
const QUEUE_BIT: u32 = 1 << QUEUE;
/// The vector of the mailbox, the next one.
const MAILBOX: u32 = 1;

/// Attaches a VF, and waits for its link.
fn virtual_function() -> Result<Card, kdk_harness::Stop> {
    let mut setup = Setup::nth(0);
    setup.card.is_virtual = true;
    running(&setup)
}

/// Waits until the driver has nothing to do for the queue.
fn quiesce(card: &Card) -> TestResult {
    let rests = || {
        let unmasked = card.is_quiescent(|nic| {
            // These reads have no side effects.
            nic.read(VTEIMS) & QUEUE_BIT != 0 && nic.read(VTEICS) & QUEUE_BIT == 0
        });
        (unmasked && card.is_idle(QUEUE.into())).then_some(())
    };
    until("the driver does not become idle", rests)?;
    #[cfg(iflib)]
    crate::kpi::iflib::drain();
    until("the driver does not become idle", rests)
}

/// A mailbox interrupt does not clear the cause of the queue, whose packet would
/// stay in the ring.
pub fn mailbox_cause() -> TestResult {
    let card = virtual_function()?;
    let mut tap = card.interface().tap()?;
    let sent = frame::udp(card.address(), 1, b"one flow is one queue");
    for _ in 0..3 {
        quiesce(&card)?;
        // The driver masks the vector while its task works on the ring.
        card.with(|nic, memory| nic.write(VTEIMC, QUEUE_BIT, memory));
        let queue = QUEUE;
        let received = card.receive(&sent, FrameErrors::NONE);
        assert_eq!(received, Received::Delivered { queue });

        let fired = card.usage().fired;
        card.with(|nic, memory| {
            nic.notify_virtual_function();
            // The driver does not unmask this vector: it sets bit 31, which a
            // VF does not have.
            nic.write(VTEIMS, 1 << MAILBOX, memory);
        });
        until("the interrupt of the mailbox is not handled", || {
            (card.usage().fired > fired && card.is_idle(MAILBOX)).then_some(())
        })?;
        // The timer of the driver of 2014 sets all causes, once a second.
        let causes = card.with(|nic, _| nic.read(VTEICS));
        assert!(
            causes & QUEUE_BIT != 0,
            "the handler of the mailbox has cleared the cause of a packet"
        );

        card.with(|nic, memory| nic.write(VTEIMS, QUEUE_BIT, memory));
        expect(&mut tap, &sent)?;
    }
    drop(tap);
    assert_consistent(&card);
    card.detach()?;
    Ok(())
}
