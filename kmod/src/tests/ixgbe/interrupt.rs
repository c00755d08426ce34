//! The interrupt for causes other than queues.

use super::flow_control;
use super::flows::of_each_queue;
use super::quiesce::{resets, task_done, until_reset};
use super::{Card, Setup, frame, leave, running, until, until_state};
use crate::kpi::cpus::{cpus, uninterrupted};
use crate::kpi::interface::LinkState;
use crate::kpi::sysctl;
use alloc::format;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::registers::{
    EICR_ECC, EICR_GPI_SDP1, EICR_LSC, EICR_OTHER, EIMS, RXCTRL, RXCTRL_RXEN,
};

fn unmasked(card: &Card) -> u32 {
    card.with(|nic, _| nic.read(EIMS))
}

/// Waits until the driver has unmasked link interrupts.
fn idle(card: &Card) -> TestResult {
    let wanted = EICR_OTHER | EICR_LSC;
    until("link interrupts stay masked", || {
        (unmasked(card) & wanted == wanted).then_some(())
    })
}

/// Raises causes, and returns the mask right after the handler, before a task can
/// run on this CPU.
fn after(card: &Card, causes: u32) -> u32 {
    uninterrupted(|| {
        card.with(|nic, _| nic.raise(causes));
        unmasked(card)
    })
}

fn link_interrupts(card: &Card) -> Result<u64, Stop> {
    let unit = card.interface().name().trim_start_matches("ix");
    Ok(sysctl::read(&format!("dev.ix.{unit}.link_irq"))?)
}

/// A cause that needs no task does not leave others masked. The cause is a pin
/// without a function on NICs without pluggable optics.
pub fn unmasked_without_task() -> TestResult {
    let card = running(&Setup::nth(0))?;
    for _ in 0..3 {
        idle(&card)?;
        let before = link_interrupts(&card)?;
        let mask = after(&card, EICR_GPI_SDP1);
        assert_eq!(link_interrupts(&card)? - before, 1, "interrupts");
        assert_ne!(mask & EICR_OTHER, 0, "other causes are masked: {mask:#x}");
        card.with(|nic, _| nic.raise(EICR_LSC));
        assert_eq!(link_interrupts(&card)? - before, 2, "interrupts");
    }
    leave(card)
}

/// A link status change masks other causes until its task has run.
pub fn masked_until_task() -> TestResult {
    if cpus().count_ones() > 1 {
        return Err(Stop::Skip(
            "the task can run on another CPU: try `--cpus 1`",
        ));
    }
    let card = running(&Setup::nth(0))?;
    for _ in 0..3 {
        idle(&card)?;
        let mask = after(&card, EICR_LSC);
        assert_eq!(mask & (EICR_OTHER | EICR_LSC), 0, "not masked: {mask:#x}");
    }
    idle(&card)?;
    leave(card)
}

/// A period of iflib(9)'s timer, in ticks, that no test reaches.
const NEVER: i32 = 1_000_000_000;

/// After an ECC error the driver initializes the NIC once, at once: iflib(9)'s
/// timer would run the same task within half a second, and does not run here.
pub fn ecc_once() -> TestResult {
    const TIMER: &str = "net.iflib.timer_default";
    let period = i32::try_from(sysctl::read(TIMER)?).unwrap_or(i32::MAX);
    let card = running(&Setup::nth(0))?;
    // The initialization below starts the timer with this period.
    sysctl::write(TIMER, NEVER)?;
    let result = ecc_resets_once(&card);
    sysctl::write(TIMER, period)?;
    result?;
    leave(card)
}

/// The one interrupt of a NIC without MSI-X handles ECC errors, too.
pub fn ecc_msi() -> TestResult {
    let setup = Setup {
        msix: false,
        ..Setup::nth(0)
    };
    let card = running(&setup)?;
    let before = resets(&card);
    card.with(|nic, _| nic.raise(EICR_ECC));
    until_reset(&card, before)?;
    let mut tap = card.interface().tap()?;
    for flow in &mut of_each_queue(&card, &mut tap, 1)? {
        flow.send(&card);
        flow.arrived(&mut tap)?;
    }
    drop(tap);
    leave(card)
}

/// The NIC works, too, if EIMS bit 31 gates nothing, as the datasheet of the 82599
/// has it.
pub fn without_gate() -> TestResult {
    let queues = super::queues() as usize;
    let mut setup = Setup::nth(0);
    setup.card.other_gate = false;
    let card = running(&setup)?;
    let mut tap = card.interface().tap()?;
    for _ in 0..3 {
        let before = link_interrupts(&card)?;
        card.with(|nic, _| nic.raise(EICR_GPI_SDP1));
        assert_eq!(link_interrupts(&card)? - before, 1, "interrupts");
        flow_control::connect(&card, flow_control::WITH_PAUSE)?;
        let before = resets(&card);
        card.with(|nic, _| nic.raise(EICR_ECC));
        until_reset(&card, before)?;
        idle(&card)?;
        for flow in &mut of_each_queue(&card, &mut tap, queues)? {
            flow.send(&card);
            flow.arrived(&mut tap)?;
        }
    }
    drop(tap);
    leave(card)
}

fn ecc_resets_once(card: &Card) -> TestResult {
    let before = resets(card);
    card.interface().set_mtu(1400)?;
    until_reset(card, before)?;
    let one = resets(card) - before;
    for _ in 0..3 {
        idle(card)?;
        let before = resets(card);
        card.with(|nic, _| nic.raise(EICR_ECC));
        until_reset(card, before)?;
        idle(card)?;
        // The driver's task has run completely, and once more.
        for _ in 0..2 {
            task_done(card)?;
        }
        assert_eq!(resets(card) - before, one, "resets after an ECC error");
    }
    Ok(())
}

/// After an ECC error the driver resets the NIC, and the interface works again.
pub fn ecc_error() -> TestResult {
    let queues = super::queues() as usize;
    let card = running(&Setup::nth(0))?;
    let mut tap = card.interface().tap()?;
    for _ in 0..2 {
        idle(&card)?;
        let before = resets(&card);
        card.with(|nic, _| nic.raise(EICR_ECC));
        until("the card is not reset and initialised", || {
            let receives = card.with(|nic, _| nic.peek(RXCTRL)) & RXCTRL_RXEN != 0;
            let listens = unmasked(&card).count_ones() as usize > queues;
            (resets(&card) > before && receives && listens).then_some(())
        })?;
        until_state(card.interface(), "the link is not up again", |state| {
            state.running && state.link == LinkState::Up
        })?;
        idle(&card)?;
        for flow in &mut of_each_queue(&card, &mut tap, queues)? {
            flow.send(&card);
            flow.arrived(&mut tap)?;
        }
        let sent = frame::raw(frame::PEER, 60, 0);
        card.interface().transmit(&sent)?;
        let left = until("a frame does not leave", || card.take_transmitted())?;
        assert_eq!(left, sent);
    }
    drop(tap);
    leave(card)
}
