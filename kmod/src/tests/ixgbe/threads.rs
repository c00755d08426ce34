//! One thread at a time processes the frames of a queue. Frames of another thread
//! would overtake them on the way to the stack.

use super::batch::receive_batch;
use super::numbered_frames::{AT, LENGTH, all, burst, numbered, one, plain};
use super::tap::{next, nothing_more};
use super::{Card, Setup, frame, leave, leave_initialised, running, until};
use crate::kpi::cpus::cpus;
use crate::kpi::interface::Tap;
use crate::kpi::kthread::Thread;
use crate::tests::resource_error;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::FrameErrors;
use kdk_nic82599::registers::{EIAM_EX, EICR_LSC, EIMS};

/// The number of frames in the ring: more than the driver processes at a time.
const FRAMES: u32 = 300;
/// The first frame that it defers.
const BLOCKED: u32 = 256;
/// The vector of the queue.
const VECTOR: u32 = 0;

/// Blocks the thread that delivers the first deferred frame, calls `happens`, and
/// injects one more frame. Returns the numbers of all frames that the stack
/// receives.
fn meanwhile(
    card: &Card,
    tap: &mut Tap,
    happens: impl FnOnce(&Card) -> TestResult,
) -> Result<Vec<u32>, Stop> {
    tap.block_on(AT, BLOCKED);
    burst(card, 0..FRAMES)?;
    let blocked = until("no frame is deferred", || tap.blocked())?;
    happens(card)?;
    one(card, FRAMES);
    // Wait for the handler of the queue, unless it is the blocked thread.
    until("the interrupt is not handled", || {
        let done = card.is_idle(VECTOR) || card.thread(VECTOR) == Some(blocked);
        done.then_some(())
    })?;
    tap.unblock();
    let seen = until_number(card, tap, FRAMES)?;
    nothing_more(card, &[super::numbered_frames::QUEUE], tap)?;
    Ok(seen)
}

fn in_order(setup: &Setup, happens: impl FnOnce(&Card) -> TestResult) -> TestResult {
    let card = plain(setup)?;
    let mut tap = card.interface().tap()?;
    let seen = meanwhile(&card, &mut tap, happens)?;
    let sent: Vec<u32> = (0..=FRAMES).collect();
    assert_eq!(seen, sent, "frames in the order of the wire");
    drop(tap);
    leave(card)
}

/// Joining a multicast group masks and unmasks all interrupts.
pub fn multicast_msix() -> TestResult {
    in_order(&Setup::nth(0), |card| {
        card.interface().multicast(7, true)?;
        Ok(card.interface().multicast(7, false)?)
    })
}

/// The one interrupt fires for a link status change.
pub fn link_legacy() -> TestResult {
    let setup = Setup {
        msix: false,
        ..Setup::nth(0)
    };
    in_order(&setup, |card| {
        card.with(|nic, _| nic.raise(EICR_LSC));
        Ok(())
    })
}

/// An initialization drops the frames in the ring. Later frames stay in order.
pub fn mtu_msix() -> TestResult {
    let card = plain(&Setup::nth(0))?;
    let mut tap = card.interface().tap()?;
    let seen = meanwhile(&card, &mut tap, |card| {
        Ok(card.interface().set_mtu(1400)?)
    })?;
    assert!(seen.is_sorted(), "frames are overtaken: {seen:?}");
    let (taken, after) = seen.split_at(seen.len() - 1);
    let first: Vec<u32> = (0..=BLOCKED).collect();
    assert_eq!(taken, first, "frames before the initialisation");
    assert_eq!(after, [FRAMES], "frames after it");
    drop(tap);
    leave_initialised(card)
}

/// A task that runs late, while the interface is brought up again, leaves the
/// interrupt masked. Its handler would take the cause of a packet, and ignore it.
pub fn late_task() -> TestResult {
    if cpus().count_ones() == 1 {
        let why = "a thread that the driver stops keeps its CPU: try `--cpus 2`";
        return Err(Stop::Skip(why));
    }
    let card = plain(&Setup {
        msix: false,
        ..Setup::nth(0)
    })?;
    let mut tap = card.interface().tap()?;
    tap.block_on(AT, 0);
    one(&card, 0);
    let task = until("no frame reaches the stack", || tap.blocked())?;
    card.interface().set_up(false)?;
    // The rings and the vectors are set up by then.
    let stopped = card.stop_at_write(EIAM_EX[0], u32::MAX);
    let interface = card.interface().clone();
    let change = Thread::spawn(c"kdk change", move || {
        let _ = interface.set_up(true);
    });
    let change = change.map_err(resource_error)?;
    until("the driver does not initialize the card", || {
        stopped.is_there().then_some(())
    })?;
    tap.unblock();
    until("the task does not end", || {
        task.waits_for_tasks().then_some(())
    })?;
    let unmasked = card.with(|nic, _| nic.read(EIMS));
    assert_eq!(unmasked, 0, "interrupts that the task has unmasked");
    one(&card, 1);
    drop(stopped);
    let _ = change.wait();
    all(&card, &mut tap, 0..2)?;
    drop(tap);
    leave_initialised(card)
}

/// An initialization drops the segments that wait in LRO, and does not leak them.
pub fn lro_mtu() -> TestResult {
    let card = running(&Setup::nth(0))?;
    card.interface().set_lro(true)?;
    let mut tap = card.interface().tap()?;
    let segment = frame::tcp(card.address(), 1, 1000, &[0x5a; 600]);
    let queue = card.with(|nic, _| nic.queue_of(&segment));
    // A datagram of the same queue, which LRO passes on.
    let datagram = (0..512)
        .map(|flow| frame::udp(card.address(), flow, &BLOCKED.to_be_bytes().repeat(8)))
        .find(|frame| card.with(|nic, _| nic.queue_of(frame)) == queue);
    let datagram = datagram.ok_or(Stop::Fail("no flow falls on the queue"))?;
    tap.block_on(frame::UDP_PAYLOAD, BLOCKED);
    let frames = [&segment, &datagram].map(|frame| (frame, FrameErrors::NONE));
    receive_batch(&card, &[queue], &frames)?;
    until("the datagram does not reach the stack", || tap.blocked())?;
    card.interface().set_mtu(1400)?;
    tap.unblock();
    let tapped = next(&mut tap)?;
    assert_eq!(tapped.bytes, datagram);
    nothing_more(&card, &[queue], &mut tap)?;
    drop(tap);
    leave_initialised(card)
}

/// Returns the number of a received frame.
fn number(frame: &[u8]) -> Option<u32> {
    let bytes = frame.get(AT..)?.first_chunk()?;
    Some(u32::from_be_bytes(*bytes))
}

/// Returns the numbers of all frames until this one, which must be intact.
fn until_number(card: &Card, tap: &mut Tap, last: u32) -> Result<Vec<u32>, Stop> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let tapped = next(tap)?;
        let nth = number(&tapped.bytes).unwrap_or(u32::MAX);
        assert_eq!(tapped.bytes, numbered(card, nth, LENGTH), "frame {nth}");
        seen.push(nth);
    }
    Ok(seen)
}
