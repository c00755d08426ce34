//! A queue without free descriptors: its frames are dropped, or the frames of all
//! queues are buffered.

use super::flow_control::{
    self, Mode, SILENT, WITH_PAUSE, WITHOUT_PAUSE, ask, connect, running_with, sends_pause,
};
use super::flows::{all_arrived, of_each_queue};
use super::{Card, Setup, leave, queues, until_state};
use crate::kpi::cpus::cpus;
use core::ops::Range;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::registers::{SRRCTL_DROP_EN, srrctl};
use kdk_nic82599::{Partner, Received};

/// The number of frames for each of the other queues.
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

/// Returns whether all of these queues drop, or none. `None` is a mix.
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

/// A full queue drops its own frames, and no others.
pub fn without_pause() -> TestResult {
    drops_its_own(&Setup::nth(0), WITHOUT_PAUSE)
}

fn drops_its_own(setup: &Setup, partner: Partner) -> TestResult {
    let queues = several_queues()?;
    let card = running_with(setup, partner)?;
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

/// Dropping follows the negotiated flow control.
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

/// A NIC drops if nothing shows that the partner obeys pause frames, although it
/// sends some. The administrator can say that the partner does.
fn drops_unless_forced(setup: &Setup, partner: Partner) -> TestResult {
    let queues = several_queues()?;
    let card = running_with(setup, partner)?;
    assert!(sends_pause(&card), "pause frames are not sent");
    assert_eq!(drops(&card, queues), Some(true), "by default");
    // The driver of 2014 ignores a setting that equals the last one.
    #[cfg(iflib)]
    {
        ask(&card, Mode::Full)?;
        assert_eq!(drops(&card, queues), Some(false), "forced");
    }
    ask(&card, Mode::None)?;
    assert_eq!(drops(&card, queues), Some(true), "turned off");
    ask(&card, Mode::Full)?;
    assert_eq!(drops(&card, queues), Some(false), "turned on");
    connect(&card, partner)?;
    assert_eq!(drops(&card, queues), Some(false), "with a new link");
    leave(card)
}

/// A partner that does not negotiate.
pub fn without_negotiation() -> TestResult {
    drops_unless_forced(&Setup::nth(0), SILENT)
}

/// A medium without negotiation.
pub fn fibre() -> TestResult {
    drops_unless_forced(&flow_control::fibre(), WITH_PAUSE)
}

/// A full queue of a fibre NIC drops its own frames, and no others.
pub fn fibre_without_pause() -> TestResult {
    drops_its_own(&flow_control::fibre(), WITHOUT_PAUSE)
}

/// A NIC that only obeys pause frames drops.
pub fn rx_pause_only() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    ask(&card, Mode::Receive)?;
    assert!(!sends_pause(&card), "pause frames are sent");
    assert_eq!(drops(&card, queues), Some(true));
    leave(card)
}

/// A NIC without a link drops.
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

/// The setting of the administrator survives an initialization and a new link.
#[cfg(not(iflib))]
pub fn keeps_over_reset() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    ask(&card, Mode::None)?;
    assert_eq!(drops(&card, queues), Some(true), "as configured");
    card.interface().set_mtu(1400)?;
    assert_eq!(drops(&card, queues), Some(true), "after a reset");
    connect(&card, WITH_PAUSE)?;
    assert_eq!(drops(&card, queues), Some(true), "with a new link");
    super::leave_initialised(card)
}

/// With pause frames the partner waits, and no frame is dropped.
pub fn pause_holds_back() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    assert!(sends_pause(&card), "pause frames are not sent");
    holds_back(&card, queues)?;
    leave(card)
}

/// Asserts that frames wait behind one of the last queue, and are delivered after
/// it.
fn holds_back(card: &Card, queues: usize) -> TestResult {
    let mut tap = card.interface().tap()?;
    let mut flows = of_each_queue(card, &mut tap, queues)?;
    let full = queues - 1;
    let stall = |stalled| {
        card.with(|nic, memory| nic.stall(queue(full), stalled, memory));
    };
    stall(true);
    let buffered = |nth| Received::Buffered { queue: queue(nth) };
    assert_eq!(flows[full].send(card), buffered(full));
    for _ in 0..OTHERS {
        for (nth, flow) in flows.iter_mut().enumerate() {
            assert_eq!(flow.send(card), buffered(nth));
        }
    }
    let dropped = card.with(|nic, _| nic.counters().all_queues().dropped);
    assert_eq!(dropped, 0, "frames dropped");
    assert_eq!(tap.take(), None, "a frame that should wait");
    stall(false);
    all_arrived(&mut flows, &mut tap)
}

/// A NIC drops if flow control is disabled, whatever the partner supports.
pub fn pause_off_by_hand() -> TestResult {
    let queues = several_queues()?;
    let card = running_with(&Setup::nth(0), WITH_PAUSE)?;
    ask(&card, Mode::None)?;
    assert!(!sends_pause(&card), "pause frames are sent");
    assert_eq!(drops(&card, queues), Some(true));
    leave(card)
}

/// A NIC does not drop if flow control is forced on, whatever the partner
/// supports.
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
