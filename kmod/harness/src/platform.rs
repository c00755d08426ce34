//! The interface of the harness to its environment.

use crate::text::Text;
use crate::{Counters, Test, TestResult};
use core::fmt::{self, Write};
use core::panic::Location;

/// The longest message of a panic, in bytes.
pub const MESSAGE: usize = 512;

/// A message that is kept without an allocator.
pub type Message = Text<MESSAGE>;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The test function returned.
    Returned(TestResult),
    /// The test panicked (an assertion failed). [`describe_panic`] makes the
    /// message.
    Panicked(Message),
    /// The test ended in another way: it could not be started, it was killed,
    /// or it took a trap.
    Died(Message),
}

/// An environment in which tests run.
pub trait Platform {
    /// Runs the test's body in a thread, process or saved context of its own,
    /// and returns however it ends. The host enforces the time limit: a guest
    /// does not know how much of the time its machine ran.
    fn run_isolated(&mut self, test: &'static Test) -> Ended;

    /// Reads the counters of the leak check for this test into `counters`,
    /// which is empty: malloc types, mbufs, threads, locks.
    fn counters(&mut self, test: &'static Test, counters: &mut Counters);

    /// Waits when a counter is higher than before the test, because of what is
    /// freed late (a callout, a thread's exit): for some time of the guest, and
    /// until everything that could run has run. Returns `true` if the counters
    /// are to be read again, or `false` if the growth is final. `attempt`
    /// counts from 0 for each test.
    fn settle(&mut self, attempt: u32) -> bool;

    /// Writes the notes of the last test for the host with
    /// [`write_diagnostic`](crate::write_diagnostic), at most 1 KiB. A platform
    /// whose tests write to the host themselves writes nothing.
    ///
    /// # Errors
    /// Fails when `out` fails.
    fn write_notes(&mut self, out: &mut dyn Write) -> fmt::Result {
        let _ = out;
        Ok(())
    }
}

/// Returns the message of a panic, with its place: `message at
/// file:line:column`.
#[must_use]
pub fn describe_panic(message: &dyn fmt::Display, place: Option<&Location<'_>>) -> Message {
    let mut text = Message::new();
    // The location is reserved first, so that a long message does not cut it
    // off.
    let place = place.map_or(Text::<128>::new(), Text::of);
    let mut head = Text::<{ MESSAGE - 144 }>::new();
    let _ = write!(head, "{message}");
    let _ = match place.as_str() {
        "" => write!(text, "{head}"),
        _ => write!(text, "{head} at {place}"),
    };
    text
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn a_panic_is_described_with_its_location() {
        let here = Location::caller();
        let described = describe_panic(&"boom", Some(here)).to_string();
        assert_eq!(described, std::format!("boom at {here}"));
        assert_eq!(describe_panic(&"boom", None).to_string(), "boom");
    }

    #[test]
    fn a_long_message_leaves_the_place_whole() {
        let here = Location::caller();
        let described = describe_panic(&"x".repeat(10_000), Some(here));
        assert!(!described.is_cut());
        assert!(
            described
                .as_str()
                .ends_with(&std::format!("xxx... at {here}")),
            "{described}"
        );
    }
}
