//! Errors of the driver's receive method, after which iflib(9) resets the
//! interface.

use super::bad_frame::plain;
use super::batch::{receive_batch, receive_good};
use super::quiesce::{quiesce, resets, task_done, until_reset};
use super::tap::{expect, next, nothing_more};
use super::{Card, Setup, frame, leave, running};
use crate::kpi::cpus::cpus;
use crate::kpi::iflib::{Failure, InjectedError};
use alloc::vec::Vec;
use kdk_harness::TestResult;
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
