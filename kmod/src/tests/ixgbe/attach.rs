//! NICs come and go.

use super::{Card, Setup, assert_no_violations, leave, queues, running};
use crate::kpi::counters;
use crate::kpi::interface::LinkState;
use alloc::format;
use core::ffi::CStr;
use kdk_harness::TestResult;

/// How ifconfig(8) names its medium: the driver of 2014 knows no better one.
const MEDIUM: &str = if cfg!(iflib) {
    "10GBase-KX4"
} else {
    "10Gbase-CX4"
};

/// It is there with all that ifconfig(8) shows of it, and then it is gone.
pub fn attach_detach() -> TestResult {
    let card = running(&Setup::nth(0))?;
    let interface = card.interface().clone();
    assert_eq!(interface.name(), "ix0");
    let state = interface.state()?;
    assert_eq!(state.baudrate, 10_000_000_000, "{state:?}");
    assert_eq!(state.medium, MEDIUM, "{state:?}");

    // A message for each queue, and one for all else.
    let usage = card.usage();
    let messages = queues() + 1;
    assert_eq!(
        (usage.messages, usage.interrupts, usage.handlers),
        (messages, messages, messages),
        "{usage:?}"
    );
    leave(card)?;
    assert!(interface.state().is_err(), "the interface is still there");
    Ok(())
}

/// Types of which the kernel keeps something for each class of devices.
const BY_CLASS: [&CStr; 2] = [c"bus", c"sysctloid"];
/// Attaches after which it has all that it keeps.
const FIRST: u32 = 2;

/// Whatever an attach takes a detach gives back.
pub fn hundred_times() -> TestResult {
    // In the trees of 2014 the events of a device wait for devd(8), up to a
    // thousand of them, and their memory is of the type "bus".
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

/// Each has its own bus, interface and address.
pub fn two_cards() -> TestResult {
    let cards = [running(&Setup::nth(0))?, running(&Setup::nth(1))?];
    for (nth, card) in cards.iter().enumerate() {
        assert_eq!(card.interface().name(), format!("ix{nth}"));
        assert_no_violations(card);
    }
    let [one, other] = cards;
    leave(one)?;
    // The other one does not notice.
    let state = other.interface().state()?;
    assert_eq!(state.link, LinkState::Up, "{state:?}");
    leave(other)
}
