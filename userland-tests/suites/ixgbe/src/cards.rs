//! Cards of software, made through `/dev/kdk` (`kmod/src/dev_kdk`).

use alloc::format;
use alloc::string::{String, ToString};
use kdk_harness::Stop;
use kdk_sys::file::{O_CLOEXEC, O_RDWR, open, read_to_end};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd, Result};

/// The descriptor that cards live as long as.
pub struct Cards(Fd);

/// What became of a card's frames, and of the TCP segments that its wire
/// brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Frames that came over the wire and are in the host's memory.
    pub delivered: u64,
    /// Those that the card listened to and had no room for.
    pub lost: u64,
    /// Frames that it sent.
    pub sent: u64,
    /// Segments that were the next of their connection.
    pub next: u64,
    /// Segments ahead of the next one.
    pub ahead: u64,
    /// What the driver did that the card's contract forbids.
    pub violations: u64,
}

impl Cards {
    /// None yet.
    #[track_caller]
    pub fn none() -> Self {
        let device = open("/dev/kdk", O_RDWR | O_CLOEXEC);
        Self(must("open /dev/kdk", device))
    }

    /// The answer to a command about cards.
    ///
    /// # Errors
    /// What the module says of the command.
    pub fn ask(&self, command: &str) -> Result<String> {
        self.0.write_all(format!("card {command}\n").as_bytes())?;
        let answer = read_to_end(&self.0)?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_string())
    }

    /// Puts the `nth` card in; the name of its interface.
    ///
    /// # Errors
    /// A skip where the tree has no driver for it.
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

    /// What became of the `nth` card's frames.
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

    /// Takes the `nth` card out; its driver has done nothing that the card's
    /// contract forbids.
    #[track_caller]
    pub fn remove(&self, nth: usize) {
        let answer = must("remove a card", self.ask(&format!("remove {nth}")));
        assert_eq!(answer, format!("# card {nth} removed violations=0"));
    }
}
