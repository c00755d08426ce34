//! All operations at once: threads that each repeat one kind of operation, a
//! fixed number of times, from one seed.
//!
//! A stop or a reset may lose frames. Everything else must hold at any time: see
//! [`Oracle`] and [`Statistics`]. In the end every queue receives again.

use super::flow_control::{self, Mode, WITH_PAUSE, WITHOUT_PAUSE};
use super::flows::of_each_queue;
use super::quiesce::quiesce;
use super::scenario::DESCRIPTORS;
use super::{
    Card, LinkState, Setup, assert_consistent, frame, is_late, patience, queues, until_state,
};
#[cfg(iflib)]
use crate::kpi::filter::{Filter, Rule};
#[cfg(iflib)]
use crate::kpi::iflib;
use crate::kpi::interface::Tapped;
use crate::kpi::kthread::Thread;
use crate::kpi::notes::note;
use crate::kpi::seed::seed;
use crate::kpi::{sysctl, time};
use crate::tests::{join_all, resource_error};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use fastrand::Rng;
use kdk_harness::{Stop, TestResult};
use kdk_nic_oracle::{Error, GROUPS, Mix, Shape, Target, shapes};
use kdk_nic82599::registers::{
    EICR_ECC, EICR_GPI_SDP0, EICR_GPI_SDP1, EICR_LSC, EICR_MNG, EICR_TCP_TIMER,
};

/// The kinds of threads, with the number of their operations.
const ROLES: [(Role, u32); 10] = [
    (Role::Frames(0), 80),
    (Role::Frames(1), 80),
    (Role::Transmit, 120),
    (Role::Multicast, 40),
    (Role::Interface, 4),
    (Role::Link, 10),
    (Role::FlowControl, 16),
    (Role::Causes, 16),
    (Role::Filter, 24),
    (Role::OtherCard, 1),
];

/// What a thread repeats.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// A machine on the wire sends bursts, with bad and long frames among them.
    Frames(u16),
    /// The stack transmits.
    Transmit,
    /// Groups are joined and left.
    Multicast,
    /// The interface goes down and up, or its MTU changes.
    Interface,
    /// The cable is disconnected and connected, to another partner.
    Link,
    /// The mode of flow control is set.
    FlowControl,
    /// The NIC raises interrupt causes, ECC errors among them.
    Causes,
    /// A packet filter is added and removed.
    Filter,
    /// Another NIC is attached, receives, and is detached.
    OtherCard,
}

/// Bits of a frame's number: its thread, whether it is bad, and its rank.
const THREAD: u32 = 28;
const BAD: u32 = 1 << 27;
/// The flows of a thread.
const FLOWS: u16 = 16;
const MIX: Mix = Mix {
    jumbo: true,
    ecc: true,
    restarts: 0,
};

/// Makes a frame of a thread.
fn bytes(to: [u8; 6], number: u32, flow: u16, length: usize) -> Vec<u8> {
    frame::udp(to, flow, &frame::payload(number, length))
}

fn inject(card: &Card, thread: u16, rank: &mut u32, rng: &mut Rng) {
    let mix = Mix {
        jumbo: rng.bool(),
        ..MIX
    };
    let count = rng.u8(1..=24);
    for shape in shapes(rng.u64(..), count, mix) {
        let Shape {
            flow,
            length,
            target,
            error,
        } = shape;
        let to = match target {
            Target::Card => card.address(),
            Target::Group(group) => [0x01, 0x00, 0x5e, 0x00, 0x00, group],
            Target::Other => frame::PEER,
        };
        let bad = if error == Error::None { 0 } else { BAD };
        let number = u32::from(thread) << THREAD | bad | *rank;
        *rank += 1;
        let frame = bytes(to, number, thread * FLOWS + flow % FLOWS, length.into());
        card.receive(&frame, error.errors());
    }
}

/// Checks what the stack receives: every frame is whole, good, for this NIC, and
/// received once; those of a flow are in order.
#[derive(Default)]
struct Oracle {
    /// The last frame of each flow.
    last: BTreeMap<u16, u32>,
    arrived: u64,
}

impl Oracle {
    fn check(&mut self, card: [u8; 6], tapped: &Tapped) -> Result<(), String> {
        let frame = &tapped.bytes;
        let (Some(number), Some(flow), Some(to)) = (
            frame::number(frame),
            frame::flow(frame),
            frame.first_chunk(),
        ) else {
            return Err(format!("not a frame of this test: {frame:?}"));
        };
        if !tapped.mine || tapped.header != frame.len() {
            return Err(format!("frame {number:#x} has a wrong header"));
        }
        if *frame != bytes(*to, number, flow, frame.len()) {
            return Err(format!("the bytes of frame {number:#x} changed"));
        }
        if number & BAD != 0 {
            return Err(format!("frame {number:#x} is a bad one"));
        }
        if *to != card && to[0] & 1 == 0 {
            return Err(format!("frame {number:#x} is for {to:x?}"));
        }
        if let Some(last) = self.last.insert(flow, number)
            && last >= number
        {
            return Err(format!("flow {flow}: frame {number:#x} after {last:#x}"));
        }
        self.arrived += 1;
        Ok(())
    }
}

/// Statistics that only grow, read all the while.
struct Statistics(Vec<(String, u64)>);

impl Statistics {
    fn new(unit: &str) -> Self {
        let queues = (0..queues()).map(|queue| format!("queue{queue}.rx_packets"));
        #[cfg(iflib)]
        let more = [
            "link_irq",
            "mac_stats.rx_errs",
            "mac_stats.total_pkts_rcvd",
            "mac_stats.crc_errs",
        ];
        #[cfg(not(iflib))]
        let more = [
            "link_irq",
            "mac_stats.crc_errs",
            "mac_stats.total_pkts_rcvd",
        ];
        let names = queues.chain(more.iter().map(|name| String::from(*name)));
        Self(
            names
                .map(|name| (format!("dev.ix.{unit}.{name}"), 0))
                .collect(),
        )
    }

    fn read(&mut self) -> Result<(), String> {
        for (name, before) in &mut self.0 {
            let now = sysctl::read(name).map_err(|errno| format!("{name}: {errno}"))?;
            if now < *before {
                return Err(format!("{name} went from {before} to {now}"));
            }
            *before = now;
        }
        Ok(())
    }
}

/// Runs one operation of a role.
fn once(role: Role, card: &Card, rng: &mut Rng, rank: &mut u32) -> TestResult {
    let interface = card.interface();
    match role {
        Role::Frames(thread) => inject(card, thread, rank, rng),
        Role::Transmit => {
            // Without a link the frame is refused or lost.
            let frame = frame::udp(frame::PEER, rng.u16(0..FLOWS), b"sent by the stack");
            let _ = interface.transmit(&frame);
            while card.take_transmitted().is_some() {}
        }
        Role::Multicast => {
            let group = rng.u8(0..GROUPS);
            interface.multicast(group, true)?;
            time::yield_now();
            interface.multicast(group, false)?;
        }
        Role::Interface if rng.bool() => {
            interface.set_up(false)?;
            interface.set_up(true)?;
        }
        Role::Interface => interface.set_mtu(if rng.bool() { 9000 } else { 1500 })?,
        Role::Link => {
            card.set_link(false);
            let partner = if rng.bool() {
                WITH_PAUSE
            } else {
                WITHOUT_PAUSE
            };
            card.with(|nic, _| nic.set_partner(partner));
            time::yield_now();
            card.set_link(true);
        }
        Role::FlowControl => {
            flow_control::ask(card, Mode::ALL[rng.usize(0..Mode::ALL.len())])?;
        }
        Role::Causes => {
            let causes = [
                EICR_LSC,
                EICR_MNG,
                EICR_GPI_SDP0,
                EICR_GPI_SDP1,
                EICR_TCP_TIMER,
                EICR_ECC,
            ];
            card.with(|nic, _| nic.raise(causes[rng.usize(0..causes.len())]));
        }
        #[cfg(iflib)]
        Role::Filter => {
            let filter = Filter::on(interface, Rule::Pass)?;
            time::yield_now();
            drop(filter);
        }
        #[cfg(not(iflib))]
        Role::Filter => {}
        Role::OtherCard => {
            let other = super::running(&Setup::nth(1))?;
            let mut ranks = 0;
            for _ in 0..4 {
                inject(&other, 7, &mut ranks, rng);
            }
            other.detach()?;
        }
    }
    Ok(())
}

/// Every kind of operation, from several threads at once.
pub fn all() -> TestResult {
    let seed = seed().ok_or(Stop::Fail("the host has set no kdk.seed"))?;
    let card = Arc::new(super::running(&Setup {
        descriptors: Some(DESCRIPTORS),
        ..Setup::nth(0)
    })?);
    card.interface().set_lro(seed & 1 != 0)?;
    let mut tap = card.interface().tap()?;
    let mut oracle = Oracle::default();
    let mut statistics = Statistics::new("0");
    let left = Arc::new(AtomicU32::new(0));
    let failed = Arc::new(AtomicU32::new(0));
    let mut threads = Vec::new();
    for (nth, (role, count)) in (0_u64..).zip(ROLES) {
        let (card, left, failed) = (Arc::clone(&card), Arc::clone(&left), Arc::clone(&failed));
        left.fetch_add(1, Ordering::SeqCst);
        let work = move || {
            let mut rng = Rng::with_seed(seed.wrapping_add(nth));
            let mut rank = 0;
            for _ in 0..count {
                if once(role, &card, &mut rng, &mut rank).is_err() {
                    failed.fetch_or(1 << nth, Ordering::SeqCst);
                    break;
                }
                time::yield_now();
            }
            left.fetch_sub(1, Ordering::SeqCst);
        };
        threads.push(Thread::spawn(c"kdk stress", work).map_err(resource_error)?);
    }
    let mut wrong = None;
    while left.load(Ordering::SeqCst) > 0 && !patience().is_zero() {
        while let Some(tapped) = tap.take() {
            wrong = wrong.or(oracle.check(card.address(), &tapped).err());
        }
        wrong = wrong.or(statistics.read().err());
        time::sleep(Duration::from_millis(1));
    }
    join_all(threads, patience())?;
    assert_eq!(
        failed.load(Ordering::SeqCst),
        0,
        "roles that failed, a bit each"
    );

    // Every queue receives again.
    let card = Arc::into_inner(card).ok_or(Stop::Fail("a thread that has ended has the card"))?;
    card.interface().set_mtu(1500)?;
    card.interface().set_up(true)?;
    until_state(card.interface(), "the link is not up in the end", |state| {
        state.running && state.link == LinkState::Up
    })?;
    let all: Vec<u16> = (0..).take(queues() as usize).collect();
    quiesce(&card, &all)?;
    while let Some(tapped) = tap.take() {
        wrong = wrong.or(oracle.check(card.address(), &tapped).err());
    }
    wrong = wrong.or(statistics.read().err());
    assert_eq!(wrong, None);
    assert_eq!(tap.lost(), 0, "frames that the tap had no room for");
    #[cfg(iflib)]
    {
        iflib::drain();
        let counted = card.interface().iflib_counters()?;
        assert_eq!(
            counted.packets, oracle.arrived,
            "frames that iflib(9) has counted"
        );
    }
    for flow in &mut of_each_queue(&card, &mut tap, queues() as usize)? {
        flow.send(&card);
        flow.arrived(&mut tap)?;
    }
    note("arrived", &oracle.arrived);
    drop(tap);
    assert_consistent(&card);
    let mut late = 0;
    for violation in card.detach()? {
        assert!(is_late(violation), "{violation:?}");
        late += 1;
    }
    note("after a stop", &late);
    Ok(())
}
