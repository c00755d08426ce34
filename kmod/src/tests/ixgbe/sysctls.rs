//! Variables of the driver that access the NIC.

use super::{Card, Setup, is_late, leave_initialised, patience, running, until};
use crate::kpi::iflib::ContextLock;
use crate::kpi::kthread::{End, Thread};
use crate::kpi::sysctl;
use crate::tests::resource_error;
use alloc::format;
use alloc::sync::Arc;
use core::time::Duration;
use kdk_harness::{Stop, TestResult};

/// The variables, with a new value, or none if a read accesses the NIC.
const VARIABLES: [(&str, Option<i32>); 6] = [
    ("fc", Some(0)),
    ("queue0.interrupt_rate", Some(5000)),
    ("tso_tcp_flags_mask_first_segment", Some(0x123)),
    ("tso_tcp_flags_mask_middle_segment", Some(0x123)),
    ("tso_tcp_flags_mask_last_segment", Some(0x123)),
    ("fw_version", None),
];

/// An access to a variable during a reset does not write to the NIC.
pub fn wait_for_reset() -> TestResult {
    let card = Arc::new(running(&Setup::nth(0))?);
    let unit = card.interface().name().trim_start_matches("ix");
    let lock = ContextLock::of(card.interface())?;
    for (nth, (name, value)) in VARIABLES.into_iter().enumerate() {
        let variable = format!("dev.ix.{unit}.{name}");
        let access = move || {
            // The buffer is too short for a string.
            let _ = match value {
                Some(value) => sysctl::write(&variable, value),
                None => sysctl::read(&variable).map(|_| ()),
            };
        };
        during_reset(&card, lock, if nth % 2 == 0 { 1400 } else { 1500 }, access)?;
        let violations = card.violations();
        let written = violations.iter().find(|one| !is_late(**one));
        assert_eq!(written, None, "at an access to {name}");
    }
    let card = Arc::into_inner(card).ok_or(Stop::Fail("a thread that has ended has the card"))?;
    leave_initialised(card)
}

/// Runs `access` in a thread while another one resets the NIC.
fn during_reset(
    card: &Arc<Card>,
    lock: ContextLock,
    mtu: u32,
    access: impl FnOnce() + Send + 'static,
) -> TestResult {
    card.held_reset().arm();
    let resetting = Arc::clone(card);
    let set_mtu = move || assert_eq!(resetting.interface().set_mtu(mtu), Ok(()));
    let reset = Thread::spawn(c"kdk reset", set_mtu).map_err(resource_error)?;
    until("the driver does not reset the NIC", || {
        card.held_reset().is_held().then_some(())
    })?;
    let mut access = Thread::spawn(c"kdk sysctl", access).map_err(resource_error)?;
    let access = loop {
        match access.join(Duration::from_millis(1)) {
            Ok(end) => break Ok(end),
            Err(thread) if thread.waits_for(lock) || patience().is_zero() => break Err(thread),
            Err(thread) => access = thread,
        }
    };
    card.held_reset().release();
    for end in [access, Err(reset)] {
        match end.unwrap_or_else(Thread::wait) {
            End::Returned(_) => {}
            End::Panicked(_) => return Err(Stop::Fail("a thread panicked")),
        }
    }
    Ok(())
}
