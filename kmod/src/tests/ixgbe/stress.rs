//! Concurrent traffic, link changes and settings.

use super::{Card, Setup, assert_consistent, is_late, leave, patience, running, until_state};
use crate::kpi::interface::LinkState;
use crate::kpi::kthread::Thread;
use crate::kpi::nic::Wire;
use crate::kpi::notes::note;
use crate::kpi::time;
use crate::tests::ixgbe::frame;
use crate::tests::{join_all, resource_error};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::FrameErrors;

/// The number of frames of a thread.
const FRAMES: u16 = 4000;
/// The number of times that a thread changes a state and restores it.
const CHANGES: usize = 4;

/// The repeated action of a thread.
#[derive(Clone, Copy)]
enum Role {
    /// The stack transmits from one NIC to the other.
    Transmit(usize),
    /// A third machine sends to a NIC.
    Inject(usize),
    /// The cable is disconnected and connected.
    Cable(usize),
    /// The interface goes down and up.
    Down(usize),
}

const TRAFFIC: [Role; 4] = [
    Role::Transmit(0),
    Role::Transmit(1),
    Role::Inject(0),
    Role::Inject(1),
];

fn work(cards: &[Card; 2], role: Role) -> TestResult {
    let (Role::Transmit(nth) | Role::Inject(nth) | Role::Cable(nth) | Role::Down(nth)) = role;
    let [card, other] = [&cards[nth], &cards[1 - nth]];
    let interface = card.interface();
    match role {
        Role::Transmit(_) => frames(|round| {
            let frame = frame::udp(other.address(), round, b"sent by the stack");
            // Without a link the frame is refused or lost.
            let _ = interface.transmit(&frame);
        }),
        Role::Inject(_) => frames(|round| {
            let frame = frame::udp(card.address(), round, b"from a third machine");
            card.receive(&frame, FrameErrors::NONE);
        }),
        Role::Cable(_) => {
            for (up, link) in [(false, LinkState::Down), (true, LinkState::Up)].repeat(CHANGES) {
                card.set_link(up);
                until_state(interface, "the link's state does not change", |state| {
                    state.link == link
                })?;
            }
        }
        Role::Down(_) => {
            for up in [false, true].repeat(CHANGES) {
                interface.set_up(up)?;
                until_state(interface, "the interface does not follow", |state| {
                    state.running == up
                })?;
            }
        }
    }
    Ok(())
}

fn frames(mut one: impl FnMut(u16)) {
    for round in 0..FRAMES {
        one(round);
        if round % 16 == 0 {
            time::sleep(Duration::from_millis(1));
        }
    }
}

/// Under link changes every frame is counted, the driver does not violate the
/// datasheet, and both NICs work afterwards.
pub fn cable() -> TestResult {
    let cards = run(&[Role::Cable(0), Role::Cable(1)])?;
    for card in cards {
        leave(card)?;
    }
    Ok(())
}

/// The same while an interface goes down and up. Late accesses of the driver are
/// counted, and no other violation is tolerated.
pub fn down() -> TestResult {
    let cards = run(&[Role::Cable(0), Role::Down(1)])?;
    let mut late = 0;
    for card in cards {
        assert_consistent(&card);
        for violation in card.detach()? {
            assert!(is_late(violation), "{violation:?}");
            late += 1;
        }
    }
    note("after a stop", &late);
    Ok(())
}

/// Runs traffic in all directions, and these threads. Both NICs are up in the end.
fn run(more: &[Role]) -> Result<[Card; 2], Stop> {
    let cards = Arc::new([running(&Setup::nth(0))?, running(&Setup::nth(1))?]);
    let wire = Wire::between(&cards[0], &cards[1])?;
    let taps = [cards[0].interface().tap()?, cards[1].interface().tap()?];
    let failures = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    for role in TRAFFIC.iter().chain(more) {
        let (theirs, failed, role) = (Arc::clone(&cards), Arc::clone(&failures), *role);
        let work = move || {
            if work(&theirs, role).is_err() {
                failed.fetch_add(1, Ordering::SeqCst);
            }
        };
        threads.push(Thread::spawn(c"kdk stress", work).map_err(resource_error)?);
    }
    join_all(threads, patience())?;
    assert_eq!(failures.load(Ordering::SeqCst), 0, "threads that failed");
    for card in cards.iter() {
        until_state(card.interface(), "the link is not up in the end", |state| {
            state.running && state.link == LinkState::Up
        })?;
    }
    drop((taps, wire));
    Arc::into_inner(cards).ok_or(Stop::Fail("a thread that has ended has the cards"))
}
