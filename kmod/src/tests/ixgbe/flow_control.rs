//! Flow control (IEEE 802.3x): negotiated, and set with the sysctl `fc`.

use super::{Card, Setup, leave, running, until_state};
use crate::kpi::interface::LinkState;
use crate::kpi::sysctl;
use alloc::format;
use alloc::string::String;
use kdk_harness::{Stop, TestResult};
use kdk_nic82599::registers::{FCCFG, FCCFG_TFCE_802_3X, MFLCN, MFLCN_RFCE};
use kdk_nic82599::{Medium, Partner};

/// A partner that negotiates no pause frames.
pub const WITHOUT_PAUSE: Partner = partner(false);
/// A partner that negotiates pause frames in both directions.
pub const WITH_PAUSE: Partner = partner(true);

const fn partner(pause: bool) -> Partner {
    Partner {
        autoneg: true,
        symmetric_pause: pause,
        asymmetric_pause: false,
    }
}

/// A partner that does not negotiate. Nothing shows whether it obeys pause frames.
pub const SILENT: Partner = Partner {
    autoneg: false,
    ..partner(false)
};

/// A fibre NIC, which does not negotiate at 10 Gb/s.
pub fn fibre() -> Setup {
    let mut setup = Setup::nth(0);
    setup.card.medium = Medium::Fibre;
    setup
}

/// A value of the sysctl `dev.ix.N.fc`.
#[derive(Clone, Copy)]
pub enum Mode {
    /// No pause frames.
    None = 0,
    /// Obey pause frames.
    Receive = 1,
    /// Send and obey pause frames.
    Full = 3,
}

impl Mode {
    /// All modes, in no order.
    pub const ALL: [Self; 3] = [Self::None, Self::Receive, Self::Full];
}

/// Sets the mode.
pub fn ask(card: &Card, mode: Mode) -> TestResult {
    Ok(sysctl::write(&variable(card), mode as i32)?)
}

fn variable(card: &Card) -> String {
    let unit = card.interface().name().trim_start_matches("ix");
    format!("dev.ix.{unit}.fc")
}

/// Attaches a NIC and connects it to a partner.
pub fn running_with(setup: &Setup, partner: Partner) -> Result<Card, Stop> {
    let card = running(setup)?;
    connect(&card, partner)?;
    Ok(card)
}

/// Disconnects the link and connects it to a partner. The interface reports
/// both.
pub fn connect(card: &Card, partner: Partner) -> TestResult {
    card.set_link(false);
    until_state(card.interface(), "the link does not go down", |state| {
        state.link == LinkState::Down
    })?;
    card.with(|nic, _| nic.set_partner(partner));
    card.set_link(true);
    until_state(card.interface(), "the link does not come back", |state| {
        state.link == LinkState::Up
    })?;
    Ok(())
}

/// Returns whether the NIC sends pause frames.
pub fn sends_pause(card: &Card) -> bool {
    card.with(|nic, _| nic.peek(FCCFG)) & FCCFG_TFCE_802_3X != 0
}

fn obeys_pause(card: &Card) -> bool {
    card.with(|nic, _| nic.peek(MFLCN)) & MFLCN_RFCE != 0
}

/// A setting survives a new link, even if it changed nothing at first.
pub fn off_stays() -> TestResult {
    let card = running_with(&Setup::nth(0), WITHOUT_PAUSE)?;
    assert!(!sends_pause(&card) && !obeys_pause(&card), "negotiated");
    ask(&card, Mode::None)?;
    assert_eq!(sysctl::read(&variable(&card))?, 0, "the sysctl");
    connect(&card, WITH_PAUSE)?;
    assert!(!sends_pause(&card), "pause frames are sent");
    assert!(!obeys_pause(&card), "pause frames are obeyed");
    assert_eq!(sysctl::read(&variable(&card))?, 0, "the sysctl");
    leave(card)
}

/// The default mode can be forced on a partner. The driver of 2014 ignores a
/// setting that equals the current one.
#[cfg(iflib)]
pub fn forced() -> TestResult {
    let card = running_with(&Setup::nth(0), WITHOUT_PAUSE)?;
    assert!(!sends_pause(&card), "negotiated");
    ask(&card, Mode::Full)?;
    assert!(sends_pause(&card), "pause frames are not sent");
    assert!(obeys_pause(&card), "pause frames are not obeyed");
    leave(card)
}
