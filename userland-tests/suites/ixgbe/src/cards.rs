//! Software network cards, created through `/dev/kdk` (`kmod/src/dev_kdk`).

use alloc::format;
use alloc::string::{String, ToString};
use kdk_harness::Stop;
use kdk_sys::file::{O_CLOEXEC, O_RDWR, open, read_to_end};
use kdk_sys::net::Interfaces;
use kdk_sys::suite::must;
use kdk_sys::time::{Deadline, sleep_ms};
use kdk_sys::{Descriptor, Errno, Fd, Result};

/// The descriptor of `/dev/kdk` that owns the cards.
pub struct Cards(Fd);

/// Counts of a card's frames and of the TCP segments that its wire delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Frames from the wire that were written to host memory.
    pub delivered: u64,
    /// Frames from the wire that were dropped for lack of descriptors.
    pub lost: u64,
    /// Frames that the card sent.
    pub sent: u64,
    /// TCP segments in order.
    pub next: u64,
    /// TCP segments ahead of order.
    pub ahead: u64,
    /// Violations of the card's contract by the driver.
    pub violations: u64,
}

impl Cards {
    /// Opens the device. It has no cards yet.
    #[track_caller]
    pub fn none() -> Self {
        let device = open("/dev/kdk", O_RDWR | O_CLOEXEC);
        Self(must("open /dev/kdk", device))
    }

    /// Sends a command about cards and returns the answer.
    ///
    /// # Errors
    /// The module's error for the command.
    pub fn ask(&self, command: &str) -> Result<String> {
        self.0.write_all(format!("card {command}\n").as_bytes())?;
        let answer = read_to_end(&self.0)?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_string())
    }

    /// Adds the `nth` card and returns the name of its interface.
    ///
    /// # Errors
    /// Skips the test if the tree has no driver for the card.
    #[track_caller]
    pub fn add(&self, nth: usize) -> core::result::Result<String, Stop> {
        match self.ask("new") {
            Err(Errno::ENXIO) => Err(Stop::Skip("the module has no ixgbe driver of this kernel")),
            answer => {
                let answer = must("make a card", answer);
                let name = answer.strip_prefix(&format!("# card {nth} "));
                Ok(name
                    .unwrap_or_else(|| panic!("the {nth}th card is {answer:?}"))
                    .to_string())
            }
        }
    }

    /// Returns the counts of the `nth` card.
    #[track_caller]
    pub fn counts(&self, nth: usize) -> Counts {
        let answer = must("ask for counts", self.ask(&format!("counts {nth}")));
        let number = |key: &str| {
            let word = answer.split(' ').find_map(|word| word.strip_prefix(key));
            let number = word.and_then(|word| word.strip_prefix('=')?.parse().ok());
            number.unwrap_or_else(|| panic!("no {key} in {answer:?}"))
        };
        Counts {
            delivered: number("delivered"),
            lost: number("lost"),
            sent: number("sent"),
            next: number("in-order"),
            ahead: number("out-of-order"),
            violations: number("violations"),
        }
    }

    /// Removes the `nth` card and checks that its driver never violated the
    /// card's contract.
    #[track_caller]
    pub fn remove(&self, nth: usize) {
        let answer = must("remove a card", self.ask(&format!("remove {nth}")));
        assert_eq!(answer, format!("# card {nth} removed violations=0"));
    }
}

/// How long a link may take, milliseconds: the driver polls it once a second.
const LINK_MS: u64 = 20_000;

/// Brings the interface `name` up and waits for its link.
#[track_caller]
pub fn bring_up(interfaces: &Interfaces, name: &str) {
    must("bring the interface up", interfaces.bring_up(name));
    let deadline = Deadline::after_ms(LINK_MS);
    while !must("query the link", interfaces.has_link(name)) {
        assert!(
            !deadline.has_passed(),
            "{name}: no link within {LINK_MS} ms"
        );
        sleep_ms(5);
    }
}
