//! Attach and detach.

use super::flow_control;
use super::flows::of_each_queue;
use super::{Card, Setup, assert_no_violations, leave, queues, running, up};
use crate::kpi::counters;
use crate::kpi::errno::Errno;
use crate::kpi::interface::LinkState;
use alloc::format;
use core::ffi::CStr;
use kdk_harness::TestResult;

/// The name of the medium in ifconfig(8). The driver of 2014 reports another one.
const MEDIUM: &str = if cfg!(iflib) {
    "10GBase-KX4"
} else {
    "10Gbase-CX4"
};

/// The interface has the expected state, and disappears with the detach.
pub fn attach_detach() -> TestResult {
    let card = running(&Setup::nth(0))?;
    let interface = card.interface().clone();
    assert_eq!(interface.name(), "ix0");
    let state = interface.state()?;
    assert_eq!(state.baudrate, 10_000_000_000, "{state:?}");
    assert_eq!(state.medium, MEDIUM, "{state:?}");

    // One message for each queue, and one for all other causes.
    let usage = card.usage();
    let messages = queues() + 1;
    assert_eq!(
        (usage.messages, usage.interrupts, usage.handlers),
        (messages, messages, messages),
        "{usage:?}"
    );
    leave(card)?;
    assert!(
        interface.state().is_err(),
        "the interface exists after the detach"
    );
    Ok(())
}

/// The interface of a fibre NIC comes up, and carries frames.
pub fn fibre() -> TestResult {
    let setup = flow_control::fibre();
    for _ in 0..2 {
        let card = running(&setup)?;
        let state = card.interface().state()?;
        assert_eq!(state.baudrate, 10_000_000_000, "{state:?}");
        assert_eq!(state.medium, "10Gbase-SR", "{state:?}");
        let mut tap = card.interface().tap()?;
        for flow in &mut of_each_queue(&card, &mut tap, queues() as usize)? {
            flow.send(&card);
            flow.arrived(&mut tap)?;
        }
        drop(tap);
        flow_control::connect(&card, flow_control::WITH_PAUSE)?;
        leave(card)?;
    }
    Ok(())
}

/// The malloc types of which the kernel keeps memory for each devclass.
const BY_CLASS: [&CStr; 2] = [c"bus", c"sysctloid"];
/// The number of attaches after which that memory does not grow.
const FIRST: u32 = 2;

/// A detach frees everything that the attach allocated.
pub fn hundred_times() -> TestResult {
    // Trees of 2014 queue up to 1000 device events for devd(8), in memory of the
    // type "bus".
    #[cfg(not(iflib))]
    crate::kpi::sysctl::write("hw.bus.devctl_disable", 1)?;
    let mut before = None;
    for round in 0..100 {
        if round == FIRST {
            before = Some(BY_CLASS.map(counters::malloc));
        }
        let card = Card::attach(&Setup::nth(0))?;
        if round % 10 == 0 {
            card.interface().set_up(true)?;
        }
        leave(card)?;
    }
    assert_eq!(before, Some(BY_CLASS.map(counters::malloc)), "{BY_CLASS:?}");
    Ok(())
}

/// The descriptors of each ring: few, since each has a DMA map.
const DESCRIPTORS: u32 = 64;

/// An attach that cannot create one of its DMA tags, maps or buffers fails, and
/// frees everything. With several rings not every one is tried: the driver of
/// 2014 uses longer rings after some hundred attaches.
pub fn without_dma() -> TestResult {
    let mut setup = Setup {
        descriptors: Some(DESCRIPTORS),
        ..Setup::nth(0)
    };
    let step = if queues() == 1 { 1 } else { 17 };
    let card = loop {
        setup.refused_dma += step;
        match Card::attach(&setup) {
            // It creates fewer.
            Ok(card) => break card,
            Err(errno) => assert_eq!(errno, Errno::ENOMEM, "{setup:?}"),
        }
    };
    let maps = 2 * DESCRIPTORS * queues();
    assert!(setup.refused_dma > maps, "{setup:?}");
    up(card).and_then(leave)
}

/// Two NICs have a bus, an interface and an address each.
pub fn two_cards() -> TestResult {
    let cards = [running(&Setup::nth(0))?, running(&Setup::nth(1))?];
    for (nth, card) in cards.iter().enumerate() {
        assert_eq!(card.interface().name(), format!("ix{nth}"));
        assert_no_violations(card);
    }
    let [one, other] = cards;
    leave(one)?;
    // The other NIC is not affected.
    let state = other.interface().state()?;
    assert_eq!(state.link, LinkState::Up, "{state:?}");
    leave(other)
}
