//! Scenarios: operations (`kdk_nic_oracle`) on a NIC and its driver, with a
//! scoreboard that checks the frames of the stack.

use super::flow_control::{WITH_PAUSE, WITHOUT_PAUSE};
use super::quiesce::is_idle;
use super::{Setup, check_consistent, frame, is_late, patience, queues, start};
use crate::kpi::errno::Errno;
#[cfg(iflib)]
use crate::kpi::iflib;
use crate::kpi::interface::{Interface, LinkState, Tap};
use crate::kpi::kthread::Thread;
use crate::kpi::nic::Card;
use crate::kpi::time;
use crate::tests;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use kdk_harness::Stop;
use kdk_nic_oracle::{
    CounterSnapshot, ECC, Fault, GROUPS, InjectedFrame, Mix, Operation, Order, Scoreboard, Shape,
    Target, digest, shapes,
};
use kdk_nic82599::registers::{EIMS, RXCTRL, RXCTRL_RXEN, eitr};
use kdk_nic82599::{Partner, Received};

/// The time that the model advances between two checks, in microseconds.
const TICK: u64 = 1000;
/// The most frames during a change of the interface, and the frames of a burst.
const MAX_FRAMES: u32 = 400;
const BURST: u8 = 4;

/// The descriptors of a ring. The kernel of 2014 has too few jumbo clusters for the
/// default number on four queues.
pub const DESCRIPTORS: u32 = 512;

/// The failure of a scenario.
#[derive(Debug)]
pub enum Failure {
    /// The scenario could not run.
    Stop(Stop),
    /// A check failed.
    Check(String),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self::Check(format!("the kernel refused an operation: {errno}"))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Check(fault.to_string())
    }
}

/// The summary of a scenario.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// The number of injected frames.
    pub offered: u32,
    /// The number of frames that the stack received.
    pub arrived: u64,
    /// The number of resets of the NIC.
    pub resets: u64,
    /// The number of doorbells after a stop.
    pub late: usize,
}

/// The fixed parameters of a scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// The configuration of the NIC.
    pub setup: Setup,
    /// The link partner.
    pub partner: Partner,
    /// Large receive offload. It merges nothing here, but reorders flows.
    pub lro: bool,
    /// The kinds of operations.
    pub mix: Mix,
    /// The uptime at which waits fail, if that is before the limit of the test.
    pub deadline: Option<Duration>,
}

impl Scenario {
    /// Derives the parameters from a seed.
    pub fn new(seed: u64, mix: Mix) -> Self {
        let mut setup = Setup::nth(0);
        setup.descriptors = Some(DESCRIPTORS);
        setup.card.moderation = seed & 1 != 0;
        setup.card.other_gate = seed & 8 == 0;
        let partner = if seed & 2 != 0 {
            WITH_PAUSE
        } else {
            WITHOUT_PAUSE
        };
        Self {
            setup,
            partner,
            lro: seed & 4 != 0,
            mix,
            deadline: None,
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offered,
            arrived,
            resets,
            late,
        } = self;
        write!(
            out,
            "{offered} frames, {arrived} arrived, {resets} resets, {late} doorbells after a stop"
        )
    }
}

/// Attaches a NIC, runs the operations, and detaches the NIC.
pub fn run(scenario: &Scenario, operations: &[Operation]) -> Result<Summary, Failure> {
    let card = Card::attach(&scenario.setup)?;
    card.with(|nic, _| nic.set_partner(scenario.partner));
    card.interface().set_lro(scenario.lro)?;
    start(&card)?;
    let order = if scenario.lro {
        Order::Flow
    } else {
        Order::Queue
    };
    let tap = card.interface().tap()?;
    let mut runner = Runner {
        scoreboard: Scoreboard::new(order, &card.with(|nic, _| CounterSnapshot::of(nic))),
        card,
        tap,
        mix: scenario.mix,
        deadline: scenario.deadline,
        joined: [false; GROUPS as usize],
        jumbo: false,
        stopped: false,
    };
    for (nth, operation) in operations.iter().enumerate() {
        let summary = runner.apply(*operation).and_then(|()| runner.take());
        summary.map_err(|failure| match failure {
            Failure::Check(what) => {
                Failure::Check(format!("{what}, after operation {nth}, {operation:?}"))
            }
            stop @ Failure::Stop(_) => stop,
        })?;
    }
    runner.end()
}

struct Runner {
    /// Dropped before the NIC.
    tap: Tap,
    card: Card,
    scoreboard: Scoreboard,
    mix: Mix,
    deadline: Option<Duration>,
    joined: [bool; GROUPS as usize],
    jumbo: bool,
    /// The interface was stopped while it received.
    stopped: bool,
}

impl Runner {
    fn apply(&mut self, operation: Operation) -> Result<(), Failure> {
        match operation {
            Operation::Frames {
                seed,
                count,
                together,
            } => self.frames(&shapes(seed, count, self.mix), together),
            Operation::Multicast { group, join } => self.multicast(group, join),
            Operation::Link { up } => {
                self.card.set_link(up);
                Ok(())
            }
            Operation::Restart { settle } => self.restart(settle),
            // The kernel ignores the current MTU.
            Operation::Mtu { jumbo, .. } if jumbo == self.jumbo => Ok(()),
            Operation::Mtu { jumbo, settle } => self.reinitialize(settle, |runner| {
                let mtu = if jumbo { 9000 } else { 1500 };
                runner.card.interface().set_mtu(mtu)?;
                runner.jumbo = jumbo;
                Ok(())
            }),
            // The driver of 2014 only asks for a reboot, on the console.
            Operation::Ecc if cfg!(not(iflib)) => Ok(()),
            Operation::Ecc => self.reinitialize(false, Self::ecc),
            Operation::Stall { queue, stalled } => {
                if u32::from(queue) < queues() {
                    let queue = u16::from(queue);
                    self.card
                        .with(|nic, memory| nic.stall(queue, stalled, memory));
                }
                Ok(())
            }
            Operation::Raise { causes } => {
                self.card.with(|nic, _| nic.raise(causes));
                Ok(())
            }
            Operation::Time { microseconds } => {
                self.pass(microseconds.into());
                Ok(())
            }
            Operation::Moderation {
                queue,
                microseconds,
            } => {
                if u32::from(queue) < queues() {
                    let value = (u32::from(microseconds) / 2) << 3;
                    self.card
                        .with(|nic, memory| nic.write(eitr(queue.into()), value, memory));
                }
                Ok(())
            }
            Operation::Settle => self.settle(),
        }
    }

    fn pass(&self, microseconds: u64) {
        self.card
            .with(|nic, memory| nic.advance(microseconds, memory));
    }

    fn account(&self) -> CounterSnapshot {
        self.card.with(|nic, _| CounterSnapshot::of(nic))
    }

    fn frames(&mut self, shapes: &[Shape], together: bool) -> Result<(), Failure> {
        let numbered = (self.scoreboard.next()..).zip(shapes);
        let frames: Vec<_> = numbered
            .map(|(number, shape)| (bytes(self.card.address(), number, *shape), *shape))
            .collect();
        let mut received: Vec<Received> = Vec::with_capacity(frames.len());
        if together {
            // The vector has room, so that this does not allocate.
            self.card.with(|nic, memory| {
                for (bytes, shape) in &frames {
                    received.push(nic.receive(bytes, shape.error.errors(), memory));
                }
            });
        } else {
            for (bytes, shape) in &frames {
                received.push(self.card.receive(bytes, shape.error.errors()));
            }
        }
        for ((bytes, shape), received) in frames.iter().zip(received) {
            let offer = InjectedFrame {
                flow: shape.flow,
                digest: digest(bytes),
                bad: shape.error == kdk_nic_oracle::Error::Descriptor,
            };
            self.scoreboard.inject(offer, received)?;
        }
        Ok(())
    }

    fn multicast(&mut self, group: u8, join: bool) -> Result<(), Failure> {
        if let Some(joined) = self.joined.get_mut(usize::from(group))
            && *joined != join
        {
            self.card.interface().multicast(group, join)?;
            *joined = join;
        }
        Ok(())
    }

    /// Stops and starts the interface while frames are received. With `settle`
    /// none are received during the stop.
    fn restart(&mut self, settle: bool) -> Result<(), Failure> {
        self.reinitialize(settle, |runner| {
            if settle {
                Ok(runner.card.interface().set_up(false)?)
            } else {
                runner.set_up_with_traffic(false)
            }
        })?;
        self.set_up_with_traffic(true)
    }

    /// Injects frames while another thread brings the interface up or down.
    fn set_up_with_traffic(&mut self, up: bool) -> Result<(), Failure> {
        let change = InterfaceChange::new(self.card.interface(), up)?;
        let last = self.scoreboard.next() + MAX_FRAMES;
        while !change.is_over() && self.scoreboard.next() < last {
            let seed = self.scoreboard.next().into();
            self.frames(&shapes(seed, BURST, self.mix), false)?;
            self.take()?;
            time::yield_now();
        }
        // This sleeps, so that the other thread has a CPU.
        change.end()
    }

    /// Calls `stop`, after which the stack receives no earlier frame.
    fn reinitialize(
        &mut self,
        settle: bool,
        stop: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if settle {
            self.settle()?;
        } else {
            self.stopped = true;
        }
        stop(self)?;
        self.take()?;
        let now = self.account();
        self.scoreboard.interface_stopped(&now)?;
        Ok(())
    }

    fn ecc(&mut self) -> Result<(), Failure> {
        let resets = |runner: &Self| runner.card.with(|nic, _| nic.counters().resets);
        let before = resets(self);
        self.card.with(|nic, _| nic.raise(ECC));
        self.wait("after an ECC error the card is not initialised", |runner| {
            let started = runner.card.with(|nic, _| {
                nic.peek(RXCTRL) & RXCTRL_RXEN != 0 && nic.read(EIMS).count_ones() > queues()
            });
            let state = runner.card.interface().state();
            Ok(resets(runner) > before && started && state.is_ok_and(|state| state.running))
        })
    }

    /// Records the frames that the stack has received.
    fn take(&mut self) -> Result<(), Failure> {
        while let Some(tapped) = self.tap.take() {
            if !tapped.mine || tapped.header != tapped.bytes.len() {
                return Err(Failure::Check(format!(
                    "m_pkthdr.len is {} for a chain of {} bytes; rcvif is this interface: {}",
                    tapped.header,
                    tapped.bytes.len(),
                    tapped.mine
                )));
            }
            self.scoreboard
                .arrive(frame::number(&tapped.bytes), digest(&tapped.bytes))?;
        }
        match self.tap.lost() {
            0 => Ok(()),
            _ => Err(Stop::Fail("the tap is full").into()),
        }
    }

    /// Returns whether a wait has to fail.
    fn is_overdue(&self) -> bool {
        let passed = |deadline| time::uptime() >= deadline;
        self.deadline.is_some_and(passed) || patience().is_zero()
    }

    /// Waits until the stack has received all frames, or the driver is idle,
    /// and never passes on the others.
    fn settle(&mut self) -> Result<(), Failure> {
        let queues: Vec<u16> = (0..).take(queues() as usize).collect();
        let mut idle = false;
        loop {
            self.take()?;
            let now = self.account();
            if !self.scoreboard.is_pending(&now) || idle || self.is_overdue() {
                return Ok(self.scoreboard.check_settled(&now)?);
            }
            // No interrupt is delayed longer than this.
            self.pass(TICK);
            idle = is_idle(&self.card, &queues);
            if !idle {
                time::sleep(Duration::from_millis(1));
            }
        }
    }

    fn wait(
        &mut self,
        what: &str,
        mut seen: impl FnMut(&mut Self) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        while !seen(self)? {
            if self.is_overdue() {
                return Err(Failure::Check(what.to_string()));
            }
            self.pass(TICK);
            time::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Checks iflib(9)'s counters against the scoreboard.
    #[cfg(iflib)]
    fn counted(&self) -> Result<(), Failure> {
        // iflib(9) counts frames after the stack has received them.
        iflib::drain();
        let counted = self.card.interface().iflib_counters()?;
        let (arrived, bad) = (self.scoreboard.arrived(), self.scoreboard.bad());
        if counted.packets == arrived && counted.errors <= bad {
            return Ok(());
        }
        Err(Failure::Check(format!(
            "the stack received {arrived} frames, {bad} were bad, and iflib(9) has counted {counted:?}"
        )))
    }

    /// Ends the scenario: unstalls all queues, and checks that all frames arrive.
    fn end(mut self) -> Result<Summary, Failure> {
        for queue in 0..queues() {
            let queue = u16::try_from(queue).unwrap_or(u16::MAX);
            self.card
                .with(|nic, memory| nic.stall(queue, false, memory));
        }
        self.card.set_link(true);
        self.settle()?;
        for group in 0..GROUPS {
            self.multicast(group, false)?;
        }
        let last = self.account();
        if last.buffered != 0 {
            return Err(Failure::Check(format!(
                "{} frames are in the packet buffer, and no queue is full",
                last.buffered
            )));
        }
        // The link interrupt may be moderated, so time has to advance.
        self.wait("the link is not up in the end", |runner| {
            let state = runner.card.interface().state();
            Ok(state.is_ok_and(|state| state.running && state.link == LinkState::Up))
        })?;
        self.settle()?;
        #[cfg(iflib)]
        self.counted()?;
        let Self {
            scoreboard,
            card,
            tap,
            stopped,
            ..
        } = self;
        drop(tap);
        check_consistent(&card).map_err(Failure::Check)?;
        let resets = card.with(|nic, _| nic.counters().resets);
        let (tolerated, violations): (Vec<_>, Vec<_>) = card
            .detach()?
            .into_iter()
            .partition(|violation| stopped && is_late(*violation));
        if let Some(violation) = violations.first() {
            return Err(Failure::Check(format!(
                "the driver violates the datasheet: {violation}"
            )));
        }
        Ok(Summary {
            offered: scoreboard.next(),
            arrived: scoreboard.arrived(),
            resets,
            late: tolerated.len(),
        })
    }
}

/// Makes a frame with a number.
fn bytes(card: [u8; 6], number: u32, shape: Shape) -> Vec<u8> {
    let to = match shape.target {
        Target::Card => card,
        Target::Group(group) => [0x01, 0x00, 0x5e, 0x00, 0x00, group],
        Target::Other => frame::PEER,
    };
    let payload = frame::payload(number, shape.length.into());
    frame::udp(to, shape.flow, &payload)
}

/// A thread that brings an interface up or down.
struct InterfaceChange {
    thread: Thread,
    over: Arc<AtomicBool>,
    refused: Arc<AtomicBool>,
}

impl InterfaceChange {
    fn new(interface: &Interface, up: bool) -> Result<Self, Failure> {
        let [over, refused] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
        let (interface, is_over, is_refused) =
            (interface.clone(), Arc::clone(&over), Arc::clone(&refused));
        let change = move || {
            is_refused.store(interface.set_up(up).is_err(), Ordering::SeqCst);
            is_over.store(true, Ordering::SeqCst);
        };
        Ok(Self {
            thread: Thread::spawn(c"kdk change", change).map_err(tests::resource_error)?,
            over,
            refused,
        })
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    fn end(self) -> Result<(), Failure> {
        if self.thread.join(patience()).is_err() {
            return Err(Stop::Fail("the thread that changes the interface does not end").into());
        }
        if self.refused.load(Ordering::SeqCst) {
            return Err(Failure::Check(
                "the interface cannot be brought up or down".to_string(),
            ));
        }
        Ok(())
    }
}
