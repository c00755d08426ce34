//! A queue without free descriptors: are its frames dropped, or are those of
//! all queues held back?

use super::flow_control::{
    Mode, WITH_PAUSE, WITHOUT_PAUSE, ask, connect, running_with, sends_pause,
};
use super::flows::{all_arrived, of_each_queue};
use super::{Card, Setup, leave, queues, until_state};
use crate::kpi::cpus::cpus;
use core::ops::Range;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::Received;
use kdk_nic82599::registers::{SRRCTL_DROP_EN, srrctl};

/// Frames for each of the other queues.
const OTHERS: u32 = 50;

fn several_queues() -> Result<usize, Stop> {
    match queues() as usize {
        1 => Err(Stop::Skip("one CPU, so one queue: try `--cpus 2`")),
        queues => Ok(queues),
    }
}

fn queue(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// Whether each of these queues drops, or none.
fn drops(card: &Card, queues: usize) -> Option<bool> {
    let queues: Range<u16> = 0..queue(queues);
    let count = card.with(|nic, _| {
        let drops = |queue: &u16| nic.peek(srrctl(*queue)) & SRRCTL_DROP_EN != 0;
        queues.clone().filter(drops).count()
    });
    match count {
        0 => Some(false),
        all if all == queues.len() => Some(true),
        _ => None,
    }
}

/// One full queue costs its own frames, and no others.
pub fn without_pause() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITHOUT_PAUSE)?;
    let mut tap = card.interface().tap()?;
    let mut flows = of_each_queue(&card, &mut tap, queues)?;
    for full in [queues - 1, 0] {
        let queue = queue(full);
        let dropped = || card.with(|nic, _| nic.counters().queue(queue).dropped);
        let before = dropped();
        card.with(|nic, memory| nic.stall(queue, true, memory));
        assert_eq!(flows[full].send(&card), Received::Dropped { queue });
        for _ in 0..OTHERS {
            for (nth, flow) in flows.iter_mut().enumerate().filter(|(nth, _)| *nth != full) {
                let queue = self::queue(nth);
                assert_eq!(flow.send(&card), Received::Delivered { queue });
            }
        }
        assert_eq!(dropped() - before, 1, "frames dropped of queue {queue}");
        card.with(|nic, memory| nic.stall(queue, false, memory));
        for flow in &mut flows {
            flow.send(&card);
        }
        all_arrived(&mut flows, &mut tap)?;
    }
    drop(tap);
    leave(card)
}

/// It depends on what was negotiated, each time.
pub fn follows_partner() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    assert_eq!(drops(&card, queues), Some(false), "with pause");
    for _ in 0..2 {
        connect(&card, WITHOUT_PAUSE)?;
        assert_eq!(drops(&card, queues), Some(true), "without pause");
        connect(&card, WITH_PAUSE)?;
        assert_eq!(drops(&card, queues), Some(false), "with pause again");
    }
    leave(card)
}

/// Who obeys pause frames, and sends none, cannot hold anybody back.
pub fn rx_pause_only() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    ask(&card, Mode::Receive)?;
    assert!(!sends_pause(&card), "pause frames are sent");
    assert_eq!(drops(&card, queues), Some(true));
    leave(card)
}

/// No pause frame is sent before there is a link.
pub fn before_link_up() -> TestResult {
    let queues = several_queues()?;
    let card = Card::attach(&Setup::nth(0))?;
    card.set_link(false);
    card.interface().set_up(true)?;
    until_state(card.interface(), "it does not come up", |state| {
        state.running
    })?;
    assert_eq!(drops(&card, queues), Some(true));
    leave(card)
}

/// What root has said holds when the NIC is initialised, and when its link
/// comes up.
#[cfg(not(iflib))]
pub fn keeps_over_reset() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    ask(&card, Mode::None)?;
    assert_eq!(drops(&card, queues), Some(true), "as root has said");
    card.interface().set_mtu(1400)?;
    assert_eq!(drops(&card, queues), Some(true), "after a reset");
    connect(&card, WITH_PAUSE)?;
    assert_eq!(drops(&card, queues), Some(true), "with a new link");
    super::leave_initialised(card)
}

/// With pause frames the partner waits, and nothing is lost.
pub fn pause_holds_back() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    assert!(sends_pause(&card), "pause frames are not sent");
    holds_back(&card, queues)?;
    leave(card)
}

/// Frames wait behind one for the last queue, and go on after it.
fn holds_back(card: &Card, queues: usize) -> TestResult {
    let mut tap = card.interface().tap()?;
    let mut flows = of_each_queue(card, &mut tap, queues)?;
    let full = queues - 1;
    let stall = |stalled| {
        card.with(|nic, memory| nic.stall(queue(full), stalled, memory));
    };
    stall(true);
    let held = |nth| Received::Buffered { queue: queue(nth) };
    assert_eq!(flows[full].send(card), held(full));
    for _ in 0..OTHERS {
        for (nth, flow) in flows.iter_mut().enumerate() {
            assert_eq!(flow.send(card), held(nth));
        }
    }
    let dropped = card.with(|nic, _| nic.counters().all_queues().dropped);
    assert_eq!(dropped, 0, "frames dropped");
    assert_eq!(tap.take(), None, "a frame that should wait");
    stall(false);
    all_arrived(&mut flows, &mut tap)
}

/// Root has turned it off, whatever the partner can do.
pub fn pause_off_by_hand() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    ask(&card, Mode::None)?;
    assert!(!sends_pause(&card), "pause frames are sent");
    assert_eq!(drops(&card, queues), Some(true));
    leave(card)
}

/// Root has turned it on, whatever the partner can do.
#[cfg(iflib)]
pub fn pause_forced() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITHOUT_PAUSE)?;
    ask(&card, Mode::Full)?;
    assert!(sends_pause(&card), "pause frames are not sent");
    assert_eq!(drops(&card, queues), Some(false));
    leave(card)
}

/// No other queue needs protection.
pub fn one_queue_holds_back() -> TestResult {
    let setup = Setup {
        queues: (cpus().count_ones() > 1).then_some(1),
        ..Setup::nth(0)
    };
    let card = running_with(&setup, WITHOUT_PAUSE)?;
    assert_eq!(drops(&card, 1), Some(false));
    holds_back(&card, 1)?;
    leave(card)
}
