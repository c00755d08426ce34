//! The watchdog of the transmit queues. It acts 10 seconds after the last
//! completed packet.

use super::flow_control::{WITH_PAUSE, connect, running_with};
use super::{Card, LinkState, Setup, frame, handled, leave_initialised, until, until_state};
use crate::kpi::sysctl;
use crate::kpi::time::uptime;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::FrameErrors;
use kdk_nic82599::registers::{TFCS, TFCS_TC_XON};
use kdk_nic82599::statistics::GPRC;

/// The number of descriptors of the ring, which the test fills.
const DESCRIPTORS: u32 = 64;
/// More frames than the ring and its software queue hold.
const MANY: u32 = 100_000;

/// The interval of the watchdog, and a little more.
const INTERVAL: Duration = Duration::from_millis(10_050);

/// A time after the end of a pause at which the watchdog does not act yet. It
/// acts 9 seconds after it at the earliest.
const TOO_EARLY: Duration = Duration::from_secs(5);

/// Attaches the `nth` NIC, with one queue.
fn attached(nth: u8) -> Result<Card, Stop> {
    let setup = Setup {
        queues: Some(1),
        descriptors: Some(DESCRIPTORS),
        ..Setup::nth(nth)
    };
    running_with(&setup, WITH_PAUSE)
}

/// Transmits until the ring is full.
fn fill(card: &Card) -> TestResult {
    let full = (0..MANY).any(|_| card.interface().transmit(&sent(0)).is_err());
    full.then_some(())
        .ok_or(Stop::Fail("the ring does not become full"))
}

fn sent(seed: u8) -> Vec<u8> {
    frame::raw(frame::PEER, 60, seed)
}

fn hang(card: &Card) {
    card.with(|nic, _| nic.hang(0));
}

fn resets(card: &Card) -> u64 {
    card.with(|nic, _| nic.counters().resets)
}

/// Waits until the watchdog has acted, once more than `before` times.
fn until_watchdog(card: &Card, before: u64) -> TestResult {
    until("the watchdog does not act", || {
        (events(card).ok()? > before).then_some(())
    })?;
    until_state(card.interface(), "the link does not come back", |state| {
        state.running && state.link == LinkState::Up
    })?;
    Ok(())
}

fn events(card: &Card) -> Result<u64, Stop> {
    let unit = card.interface().name().trim_start_matches("ix");
    Ok(sysctl::read(&format!("dev.ix.{unit}.watchdog_events"))?)
}

/// Sends a frame, which leaves after all others.
fn transmits(card: &Card) -> TestResult {
    let last = sent(1);
    card.interface().transmit(&last)?;
    until("a frame does not leave after a reset", || {
        card.take_transmitted().filter(|frame| *frame == last)
    })?;
    Ok(())
}

/// A queue that hangs is reset.
pub fn resets_hung() -> TestResult {
    let card = attached(0)?;
    hang(&card);
    fill(&card)?;
    assert_eq!(card.take_transmitted(), None, "a frame leaves");
    let before = resets(&card);
    until_watchdog(&card, 0)?;
    assert!(resets(&card) > before, "the NIC is not reset");
    transmits(&card)?;
    leave_initialised(card)
}

/// Receives a pause frame, which the NIC must obey.
fn pause(card: &Card, quanta: u16) {
    let paused = receive_pause(card, quanta);
    assert_eq!(paused, quanta != 0, "pause frames are not obeyed");
}

/// Receives a pause frame. Returns whether the NIC pauses now.
fn receive_pause(card: &Card, quanta: u16) -> bool {
    let mut frame = sent(0);
    frame[..6].copy_from_slice(&[0x01, 0x80, 0xC2, 0, 0, 1]);
    frame[12..16].copy_from_slice(&[0x88, 0x08, 0, 1]);
    frame[16..18].copy_from_slice(&quanta.to_be_bytes());
    card.receive(&frame, FrameErrors::NONE);
    card.with(|nic, _| nic.peek(TFCS)) & TFCS_TC_XON == 0
}

/// Waits until the driver's timer has run, which reads the statistics.
fn timer_ran(card: &Card) -> TestResult {
    let frame = frame::raw(card.address(), 60, 0);
    card.receive(&frame, FrameErrors::NONE);
    until("the statistics are not read", || {
        (card.with(|nic, _| nic.peek(GPRC)) == 0).then_some(())
    })
}

/// Waits for longer than the interval of the watchdog: until it has acted for
/// another NIC.
fn interval() -> TestResult {
    let other = attached(1)?;
    hang(&other);
    fill(&other)?;
    until_watchdog(&other, 0)?;
    leave_initialised(other)
}

/// A queue does not hang while pause frames stop it, however long. The watchdog's
/// interval begins when they end.
pub fn waits_while_paused() -> TestResult {
    let card = attached(0)?;
    pause(&card, u16::MAX);
    fill(&card)?;
    let before = resets(&card);
    interval()?;
    // A pass finds that the queue hangs, and the next one acts.
    for _ in 0..3 {
        timer_ran(&card)?;
    }
    assert_eq!(events(&card)?, 0, "the watchdog acts during a pause");
    hang(&card);
    let end = uptime();
    pause(&card, 0);
    until_watchdog(&card, 0)?;
    assert!(uptime() - end > TOO_EARLY, "the interval includes a pause");
    assert!(resets(&card) > before, "the NIC is not reset");
    transmits(&card)?;
    leave_initialised(card)
}

/// A queue that the driver already takes for a hanging one when a pause begins
/// gets a whole interval after the pause too.
///
/// The driver notices a hanging queue when it handles an interrupt more than the
/// interval after the last packet, and its next timer acts. The pause must begin
/// between the two. Packets that are sent after a timer has run leave most of a
/// second for that; a machine that misses it tries again.
pub fn waits_when_paused_late() -> TestResult {
    let card = attached(0)?;
    let mut acted = 0;
    loop {
        hang(&card);
        timer_ran(&card)?;
        fill(&card)?;
        let filled = uptime();
        until("the interval does not end", || {
            (uptime() - filled > INTERVAL).then_some(())
        })?;
        card.receive(&frame::raw(card.address(), 60, 0), FrameErrors::NONE);
        handled(&card)?;
        let paused = receive_pause(&card, u16::MAX);
        if events(&card)? == acted {
            assert!(paused, "pause frames are not obeyed");
            break;
        }
        until_watchdog(&card, acted)?;
        acted += 1;
        // The driver negotiates flow control when the link comes up.
        card.set_link(false);
        until_state(card.interface(), "the link does not go down", |state| {
            state.link == LinkState::Down
        })?;
        connect(&card, WITH_PAUSE)?;
    }
    for _ in 0..3 {
        timer_ran(&card)?;
    }
    assert_eq!(events(&card)?, acted, "the watchdog acts during a pause");
    let end = uptime();
    pause(&card, 0);
    until_watchdog(&card, acted)?;
    assert!(
        uptime() - end > TOO_EARLY,
        "a queue hangs at once after a pause"
    );
    transmits(&card)?;
    leave_initialised(card)
}

/// A queue does not hang without a link either. The interval begins when the link
/// comes back.
pub fn waits_without_link() -> TestResult {
    let card = attached(0)?;
    hang(&card);
    fill(&card)?;
    card.set_link(false);
    until_state(card.interface(), "the link does not go down", |state| {
        state.link == LinkState::Down
    })?;
    interval()?;
    assert_eq!(events(&card)?, 0, "the watchdog acts without a link");
    let end = uptime();
    connect(&card, WITH_PAUSE)?;
    until_watchdog(&card, 0)?;
    assert!(
        uptime() - end > TOO_EARLY,
        "the interval includes time without a link"
    );
    transmits(&card)?;
    leave_initialised(card)
}
