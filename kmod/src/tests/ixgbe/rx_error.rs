//! Errors of the driver's receive method, after which iflib(9) resets the
//! interface.

use super::bad_frame::plain;
use super::batch::{receive_batch, receive_good};
use super::numbered_frames::{AT, QUEUE, all, burst, one};
use super::quiesce::{quiesce, resets, task_done, until_reset};
use super::tap::{expect, next, nothing_more};
use super::{Card, Setup, frame, leave, leave_initialised, running, start, until};
use crate::kpi::cpus::cpus;
use crate::kpi::iflib::{Failure, InjectedError};
use crate::kpi::kthread::{End, Thread};
use crate::tests::resource_error;
use alloc::sync::Arc;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::registers::{EICR_OTHER, EIMS, RXCTRL, RXCTRL_RXEN};
use kdk_nic82599::{FrameErrors, Received};

fn three(card: &Card) -> [Vec<u8>; 3] {
    [1, 2, 3].map(|seed| frame::raw(card.address(), 600, seed))
}

/// Frames before the error are received and counted.
pub fn keeps_earlier() -> TestResult {
    let card = plain(1500)?;
    let mut tap = card.interface().tap()?;
    let (before, counted) = (resets(&card), card.interface().iflib_counters()?);
    let injected_error = InjectedError::inject(0, 3, Failure::Card);
    let frames = three(&card);
    receive_good(&card, &frames)?;
    until_reset(&card, before)?;
    expect(&mut tap, &frames[0])?;
    expect(&mut tap, &frames[1])?;
    nothing_more(&card, &[0], &mut tap)?;
    let after = card.interface().iflib_counters()?;
    assert_eq!(after.packets - counted.packets, 2, "packets");
    assert_eq!(after.errors - counted.errors, 0, "errors");
    drop(injected_error);
    drop(tap);
    leave(card)
}

/// Segments that wait in LRO are received, too.
pub fn lro() -> TestResult {
    const SEQUENCE: u32 = 1000;
    let card = running(&Setup::nth(0))?;
    card.interface().set_lro(true)?;
    let mut tap = card.interface().tap()?;
    let queues: Vec<u16> = (0..16).take(cpus().count_ones() as usize).collect();
    let payloads = [[0xa5; 600], [0x5a; 600]];
    let segment = |nth: usize| {
        let sequence = SEQUENCE + 600 * u32::try_from(nth).unwrap_or_default();
        frame::tcp(card.address(), 1, sequence, &payloads[nth % 2])
    };
    // This finds the queue of the flow.
    let queue = match card.receive(&segment(0), FrameErrors::NONE) {
        Received::Delivered { queue } => queue,
        other => panic!("a segment was {other:?}"),
    };
    next(&mut tap)?;
    nothing_more(&card, &queues, &mut tap)?;

    let before = resets(&card);
    let injected_error = InjectedError::inject(queue, 3, Failure::Card);
    let segments = [0, 1, 2].map(|nth| (segment(nth), FrameErrors::NONE));
    receive_batch(&card, &queues, &segments)?;
    until_reset(&card, before)?;
    let mut received = Vec::new();
    while received.len() < payloads.as_flattened().len() {
        let tapped = next(&mut tap)?;
        received.extend_from_slice(&tapped.bytes[frame::TCP_HEADERS..]);
    }
    assert!(received == payloads.as_flattened(), "other bytes than sent");
    nothing_more(&card, &queues, &mut tap)?;
    drop(injected_error);
    drop(tap);
    leave(card)
}

/// The interface is reset once, and works afterwards.
pub fn resets_once() -> TestResult {
    let card = plain(1500)?;
    let mut tap = card.interface().tap()?;
    // This counts the resets of one initialization.
    let before = resets(&card);
    card.interface().set_mtu(1400)?;
    until_reset(&card, before)?;
    let one = resets(&card) - before;

    for failure in [Failure::Card, Failure::Frame] {
        let before = resets(&card);
        let injected_error = InjectedError::inject(0, 3, failure);
        let frames = three(&card);
        receive_good(&card, &frames)?;
        until_reset(&card, before)?;
        drop(injected_error);
        quiesce(&card, &[0])?;
        while tap.take().is_some() {}
        receive_good(&card, &frames[..1])?;
        expect(&mut tap, &frames[0])?;
        nothing_more(&card, &[0], &mut tap)?;
        task_done(&card)?;
        assert_eq!(resets(&card) - before, one, "resets, after {failure:?}");
    }
    drop(tap);
    leave(card)
}

/// An interface that is brought down while it is to be reset stays down.
pub fn goes_down() -> TestResult {
    let card = Arc::new(plain(1500)?);
    let mut tap = card.interface().tap()?;
    let injected_error = InjectedError::inject(QUEUE, 2, Failure::Card);
    // The task that processes the error waits, as the stop does for the task.
    tap.block_on(AT, 0);
    burst(&card, 0..2)?;
    until("no frame is received", || tap.blocked())?;
    let before = resets(&card);
    let stopping = Arc::clone(&card);
    let set_down = move || assert_eq!(stopping.interface().set_up(false), Ok(()));
    let down = Thread::spawn(c"kdk down", set_down).map_err(resource_error)?;
    until("the interface is not stopped", || {
        (resets(&card) != before).then_some(())
    })?;
    tap.unblock();
    if matches!(down.wait(), End::Panicked(_)) {
        return Err(Stop::Fail("the interface does not go down"));
    }
    drop(injected_error);
    // The admin task unmasks the link interrupt, and then resets the interface.
    until("the request is not handled", || {
        let unmasked = card.with(|nic, _| nic.read(EIMS)) & EICR_OTHER != 0;
        unmasked.then_some(())
    })?;
    // This waits for the task.
    let state = card.interface().state()?;
    assert!(!state.up && !state.running, "{state:?}");
    let receives = card.with(|nic, _| nic.peek(RXCTRL)) & RXCTRL_RXEN;
    assert_eq!(receives, 0, "the NIC receives");

    while tap.take().is_some() {}
    start(&card)?;
    one(&card, 2);
    all(&card, &mut tap, 2..3)?;
    drop(tap);
    let card = Arc::into_inner(card).ok_or(Stop::Fail("a thread that has ended has the card"))?;
    leave_initialised(card)
}
