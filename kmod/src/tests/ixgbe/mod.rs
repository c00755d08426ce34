//! The ixgbe driver of the tree, on a software NIC and a software bus.

mod attach;
#[cfg(iflib)]
mod bad_frame;
mod batch;
mod bench;
mod bounce;
#[cfg(not(iflib))]
mod burst;
mod chain;
mod drop;
#[cfg(iflib)]
mod empty;
#[cfg(iflib)]
mod filter;
mod flow_control;
mod flows;
#[cfg(iflib)]
mod interrupt;
mod link;
mod lro;
mod numbered_frames;
mod order;
mod property;
mod quiesce;
mod receive;
mod refused;
#[cfg(iflib)]
mod rx_error;
mod scenario;
mod start;
mod stress;
mod stress_all;
#[cfg(iflib)]
mod sysctls;
mod tap;
#[cfg(not(iflib))]
mod threads;
mod transmit;
mod virtual_function;
#[cfg(not(iflib))]
mod watchdog;
mod wire;

use crate::kpi::cpus::cpus;
use crate::kpi::interface::{Interface, LinkState, State};
use crate::kpi::nic::{Card, Setup};
use crate::kpi::time;
use crate::platform::time_left;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::{Expect, Stop, TestResult, kdk_test};
use kdk_nic_oracle::frame;
use kdk_nic82599::Violation;
use kdk_nic82599::registers::{EICR, EICS_EX, EIMS, EIMS_EX, QUEUES, rdt};

/// An attach resets the NIC several times and waits each time.
const LIMIT_MS: u32 = 60_000;

/// The most queues that the driver uses by default.
const MOST_QUEUES: u32 = if cfg!(iflib) { 16 } else { 8 };

/// The malloc types of driver and iflib, of which a test must not leak. The
/// kernel keeps some memory of "bus" and "sysctloid" for each devclass;
/// `attach-100` checks these.
const ALL_TYPES: &[&str] = &[
    "iflib",
    "ix",
    "devbuf",
    "ifnet",
    "ifaddr",
    "lltable",
    "ether_multi",
    "rman",
    "bus-sc",
    "kobj",
    "taskqueue",
    "gtaskqueue",
    "mp_ring",
    "lro",
    "kenv",
    "pfil",
];
/// The driver of 2014 leaks memory of the other types when it detaches, which one
/// patch fixes.
#[cfg(iflib)]
const TYPES: &[&str] = ALL_TYPES;
#[cfg(not(iflib))]
const TYPES: &[&str] = &[
    "ifnet",
    "lltable",
    "ether_multi",
    "rman",
    "bus-sc",
    "kobj",
    "taskqueue",
    "kenv",
];

/// The CPUs of tests of one queue, in which nothing happens at once.
const ONE: &[u32] = &[1];
/// The CPUs of tests of several queues: the driver uses one per CPU.
const SEVERAL: &[u32] = &[4];
/// The CPUs of tests of which a task or another thread is part.
const BOTH: &[u32] = &[1, 4];

/// Registers tests that must not leak memory of [`TYPES`], with their CPUs.
macro_rules! suite {
    ($cpus:expr; $($name:literal => $run:path,)*) => {$(
        kdk_test!($name, $run, limit_ms = LIMIT_MS, cpus = $cpus, leak_types = TYPES);
    )*};
}

suite! { BOTH;
    "ixgbe/left-behind" => refused::leaked_cards,
    "ixgbe/two-cards" => attach::two_cards,
    "ixgbe/fibre" => attach::fibre,
    "ixgbe/receive-queues" => receive::each_queue,
    "ixgbe/transmit" => transmit::byte_for_byte,
    "ixgbe/link" => link::down_and_up,
    "ixgbe/link-task-at-detach" => link::task_at_detach,
    "ixgbe/wire" => wire::both_ways,
    "ixgbe/flow-control-off-stays" => flow_control::off_stays,
    "ixgbe/one-queue-holds-back" => drop::one_queue_holds_back,
    "ixgbe/packet-during-init" => start::packet_during_init,
    "ixgbe/reset-between-buffers" => chain::reset_between,
    "ixgbe/lro-joins" => lro::joins,
    "ixgbe/vf-mailbox-cause" => virtual_function::mailbox_cause,
}

suite! { SEVERAL;
    "ixgbe/drop-without-pause" => drop::without_pause,
    "ixgbe/drop-follows-partner" => drop::follows_partner,
    "ixgbe/drop-rx-pause-only" => drop::rx_pause_only,
    "ixgbe/drop-before-link-up" => drop::before_link_up,
    "ixgbe/drop-without-negotiation" => drop::without_negotiation,
    "ixgbe/drop-fibre" => drop::fibre,
    "ixgbe/drop-fibre-without-pause" => drop::fibre_without_pause,
    "ixgbe/pause-holds-back" => drop::pause_holds_back,
    "ixgbe/pause-off-by-hand" => drop::pause_off_by_hand,
}

suite! { ONE;
    "ixgbe/discard-chain" => chain::discard,
    "ixgbe/chain-three-buffers" => chain::three_buffers,
    "ixgbe/bounced-packets" => bounce::packets,
    "ixgbe/bounced-given-back" => bounce::given_back,
    "ixgbe/bounced-chains" => bounce::chains,
}

#[cfg(iflib)]
suite! { BOTH;
    "ixgbe/attach-fails" => refused::attach_fails,
    "ixgbe/bad-frame-alone" => bad_frame::alone,
    "ixgbe/bad-frame-between" => bad_frame::between,
    "ixgbe/bad-frame-chain" => bad_frame::chain,
    "ixgbe/bad-frame-burst" => bad_frame::burst,
    "ixgbe/pfil-chain-drop" => filter::chain_drop,
    "ixgbe/pfil-realloc" => filter::realloc,
    "ixgbe/rx-error-keeps-earlier" => rx_error::keeps_earlier,
    "ixgbe/rx-error-lro" => rx_error::lro,
    "ixgbe/rx-error-resets" => rx_error::resets_once,
    "ixgbe/rx-error-down" => rx_error::goes_down,
    "ixgbe/sysctl-during-reset" => sysctls::wait_for_reset,
    "ixgbe/flow-control-forced" => flow_control::forced,
    "ixgbe/link-interrupt-unmasked" => interrupt::unmasked_without_task,
    "ixgbe/link-without-gate" => interrupt::without_gate,
    "ixgbe/ecc-error" => interrupt::ecc_error,
    "ixgbe/ecc-once" => interrupt::ecc_once,
    "ixgbe/ecc-msi" => interrupt::ecc_msi,
}

#[cfg(iflib)]
suite! { SEVERAL;
    "ixgbe/pause-forced" => drop::pause_forced,
}

// The task of `link-interrupt-waits` must not run on another CPU.
#[cfg(iflib)]
suite! { ONE;
    "ixgbe/bad-frame-kinds" => bad_frame::kinds,
    "ixgbe/bad-frame-counted" => bad_frame::counted,
    "ixgbe/bad-frame-reported" => bad_frame::reported,
    "ixgbe/empty-buffer" => empty::buffer,
    "ixgbe/pfil-chain-replace" => filter::chain_replace,
    "ixgbe/pfil-chain-once" => filter::chain_once,
    "ixgbe/pfil-chain-later" => filter::chain_later,
    "ixgbe/pfil-chain-consume" => filter::chain_consume,
    "ixgbe/pfil-one-buffer" => filter::one_buffer,
    "ixgbe/pfil-realloc-small" => filter::realloc_small,
    "ixgbe/link-interrupt-waits" => interrupt::masked_until_task,
}

#[cfg(not(iflib))]
suite! { BOTH;
    "ixgbe/burst-is-received-msix" => burst::msix,
    "ixgbe/burst-is-received-legacy" => burst::legacy,
    "ixgbe/legacy-after-link" => burst::after_link,
    "ixgbe/order-multicast-msix" => threads::multicast_msix,
    "ixgbe/order-mtu-msix" => threads::mtu_msix,
    "ixgbe/order-link-legacy" => threads::link_legacy,
    "ixgbe/lro-during-init" => threads::lro_mtu,
}

#[cfg(not(iflib))]
suite! { ONE;
    "ixgbe/watchdog-resets" => watchdog::resets_hung,
    "ixgbe/watchdog-pause" => watchdog::waits_while_paused,
    "ixgbe/watchdog-paused-late" => watchdog::waits_when_paused_late,
    "ixgbe/watchdog-link" => watchdog::waits_without_link,
}

#[cfg(not(iflib))]
suite! { SEVERAL;
    "ixgbe/late-task-legacy" => threads::late_task,
    "ixgbe/burst-is-received-second-queue" => burst::second_queue,
    "ixgbe/drop-keeps-over-reset" => drop::keeps_over_reset,
}

kdk_test!("ixgbe/refused", refused::refused, limit_ms = LIMIT_MS);
kdk_test!(
    "ixgbe/attach-detach",
    attach::attach_detach,
    limit_ms = LIMIT_MS,
    cpus = BOTH,
    leak_types = ALL_TYPES
);
kdk_test!(
    "ixgbe/attach-100",
    attach::hundred_times,
    limit_ms = 10 * LIMIT_MS,
    leak_types = TYPES
);
kdk_test!(
    "ixgbe/attach-without-dma",
    attach::without_dma,
    limit_ms = 5 * LIMIT_MS,
    cpus = BOTH,
    expect = Expect::CrashOn(
        || cfg!(iflib),
        "a failed attach frees rings that do not exist, or twice"
    ),
    leak_types = ALL_TYPES
);
#[cfg(not(iflib))]
kdk_test!(
    "ixgbe/bounced-transmit",
    transmit::bounced,
    limit_ms = LIMIT_MS,
    leak_types = TYPES
);
kdk_test!(
    "ixgbe/order",
    order::order,
    limit_ms = 5 * LIMIT_MS,
    cpus = BOTH,
    leak_types = TYPES
);
kdk_test!(
    "ixgbe/property",
    property::property,
    limit_ms = 10 * LIMIT_MS,
    cpus = BOTH,
    leak_types = TYPES
);
kdk_test!(
    "ixgbe/stress-cable",
    stress::cable,
    limit_ms = 5 * LIMIT_MS,
    cpus = BOTH,
    leak_types = TYPES
);
kdk_test!(
    "ixgbe/stress-all",
    stress_all::all,
    limit_ms = 5 * LIMIT_MS,
    cpus = BOTH,
    leak_types = TYPES
);
kdk_test!(
    "ixgbe/stress-down",
    stress::down,
    limit_ms = 5 * LIMIT_MS,
    cpus = BOTH,
    leak_types = TYPES
);
kdk_test!(
    "ixgbe/again-and-again",
    start::again_and_again,
    limit_ms = LIMIT_MS,
    leak_types = ALL_TYPES
);

/// The part of a test's limit that remains when a wait fails, so that the test
/// reports what it waited for.
const RESERVE: Duration = Duration::from_secs(5);

/// Returns the time for which a wait may last. Only the limit of the test ends
/// it, so that no verdict depends on the speed of the host.
fn patience() -> Duration {
    time_left().saturating_sub(RESERVE)
}

/// Waits until `seen` returns a value.
fn until<T>(what: &'static str, mut seen: impl FnMut() -> Option<T>) -> Result<T, Stop> {
    loop {
        if let Some(seen) = seen() {
            return Ok(seen);
        }
        if patience().is_zero() {
            return Err(Stop::Fail(what));
        }
        time::sleep(Duration::from_millis(1));
    }
}

/// Waits until the state of the interface is as wanted.
fn until_state(
    interface: &Interface,
    what: &'static str,
    wanted: impl Fn(&State) -> bool,
) -> Result<State, Stop> {
    until(what, || interface.state().ok().filter(&wanted))
}

/// Waits until all filters and handlers have completed.
fn handled(card: &Card) -> TestResult {
    until("an interrupt is not handled", || {
        (0..=queues())
            .all(|vector| card.is_idle(vector))
            .then_some(())
    })
}

/// Attaches a NIC, brings its interface up, and waits for its link.
fn running(setup: &Setup) -> Result<Card, Stop> {
    up(Card::attach(setup)?)
}

/// Brings the interface of a NIC up, and waits for its link.
fn up(card: Card) -> Result<Card, Stop> {
    start(&card)?;
    Ok(card)
}

/// Brings the interface up, and waits for its link.
fn start(card: &Card) -> TestResult {
    card.interface().set_up(true)?;
    until_state(card.interface(), "the link does not come up", |state| {
        state.running && state.link == LinkState::Up
    })?;
    Ok(())
}

/// Returns the driver's default number of queues on this machine: one per CPU.
fn queues() -> u32 {
    cpus().count_ones().min(MOST_QUEUES)
}

/// Asserts that the driver has not violated the datasheet, and detaches it.
fn leave(card: Card) -> TestResult {
    assert_no_violations(&card);
    let violations = card.detach()?.into_iter();
    let violations: Vec<_> = violations.filter(|one| !is_late_interrupt(*one)).collect();
    assert!(violations.is_empty(), "while leaving: {violations:?}");
    Ok(())
}

/// The same for a NIC that was reinitialized while it was running.
fn leave_initialised(card: Card) -> TestResult {
    assert_consistent(&card);
    for violation in card.detach()? {
        assert!(is_late(violation), "{violation:?}");
    }
    Ok(())
}

#[track_caller]
fn assert_no_violations(card: &Card) {
    let violations = card.violations();
    assert!(violations.is_empty(), "violations: {violations:?}");
    assert_consistent(card);
}

/// Checks that the NIC's counters agree, that all its DMA went to memory, and
/// that the driver handled all its interrupts.
fn check_consistent(card: &Card) -> Result<(), String> {
    card.with(|nic, _| nic.invariants())
        .map_err(|error| format!("the model is inconsistent: {error}"))?;
    match (card.invalid_dma(), card.usage().stray) {
        (0, 0) => Ok(()),
        (dma, stray) => Err(format!(
            "{dma} DMA accesses outside of memory, {stray} stray interrupts"
        )),
    }
}

#[track_caller]
fn assert_consistent(card: &Card) {
    assert_eq!(check_consistent(card), Ok(()));
}

/// Returns whether a stop of the interface can cause the violation: it does not
/// wait for running handlers and tasks.
fn is_late(violation: Violation) -> bool {
    is_late_doorbell(violation) || is_late_interrupt(violation)
}

/// The stop of iflib(9) resets the NIC before it waits for its receive tasks.
/// Their doorbells can reach a disabled ring, or the NIC during its reset.
fn is_late_doorbell(violation: Violation) -> bool {
    match violation {
        Violation::TailBeyondRing { entries: 0, .. }
        | Violation::DoorbellOfDisabledQueue { .. } => true,
        Violation::WrittenDuringReset { register } => is_tail(register),
        _ => false,
    }
}

fn is_tail(register: u32) -> bool {
    (0..QUEUES).any(|queue| register == rdt(queue))
}

/// The stop of the driver of 2014 does not wait for its interrupt threads and
/// tasks, which may clear, unmask and set causes during the reset of the NIC, and
/// return receive descriptors.
/// The stop of iflib(9) waits.
fn is_late_interrupt(violation: Violation) -> bool {
    let Violation::WrittenDuringReset { register } = violation else {
        return false;
    };
    let of_causes = [EICR, EIMS];
    let of_queues = [EIMS_EX, EICS_EX];
    cfg!(not(iflib))
        && (of_causes.contains(&register)
            || of_queues.as_flattened().contains(&register)
            || is_tail(register))
}
