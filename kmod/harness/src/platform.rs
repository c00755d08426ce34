//! What the harness needs from where it runs.

use crate::text::Text;
use crate::{Counters, Test, TestResult};
use core::fmt::{self, Write};
use core::panic::Location;

/// Longest message of a panic, bytes.
pub const MESSAGE: usize = 512;

/// A message that had to be kept without an allocator.
pub type Message = Text<MESSAGE>;

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It returned.
    Returned(TestResult),
    /// It panicked (an assertion failed); [`describe_panic`] makes the message.
    Panicked(Message),
    /// Its own limit passed and the platform stopped it or gave it up.
    TimedOut,
    /// The platform lost it in another way: could not start it, it was
    /// killed, it took a trap.
    Died(Message),
}

/// A place where tests can run.
pub trait Platform {
    /// Runs the test's body in a thread, process or saved context of its own,
    /// for `limit_ms` at most, and comes back however it ends.
    fn run_isolated(&mut self, test: &'static Test) -> Ended;

    /// Notes in `counters` (empty when called) what the leak check watches for
    /// this test: malloc types, mbufs, threads, held locks.
    fn counters(&mut self, test: &'static Test, counters: &mut Counters);

    /// A counter is higher than before the test: waits a little for what is
    /// freed late (a callout, a thread's exit) and returns `true` to have the
    /// counters read again, or `false` when the growth is to be believed.
    /// `attempt` counts from 0 for each test.
    fn settle(&mut self, attempt: u32) -> bool;

    /// Writes, with [`write_diagnostic`](crate::write_diagnostic), what the
    /// test that ran last has noted for the host, a KiB at most. A platform
    /// whose tests speak to the host themselves has nothing to add.
    ///
    /// # Errors
    /// `out` does not take it.
    fn write_notes(&mut self, out: &mut dyn Write) -> fmt::Result {
        let _ = out;
        Ok(())
    }

    /// Milliseconds on any clock that does not go back.
    fn now_ms(&mut self) -> u64;
}

/// The message of a panic, with its place: `message at file:line:column`.
#[must_use]
pub fn describe_panic(message: &dyn fmt::Display, place: Option<&Location<'_>>) -> Message {
    let mut text = Message::new();
    // The place first in the budget: a message of any length leaves it whole.
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
    fn a_panic_is_told_with_its_place() {
        let here = Location::caller();
        let told = describe_panic(&"boom", Some(here)).to_string();
        assert_eq!(told, std::format!("boom at {here}"));
        assert_eq!(describe_panic(&"boom", None).to_string(), "boom");
    }

    #[test]
    fn a_long_message_leaves_the_place_whole() {
        let here = Location::caller();
        let told = describe_panic(&"x".repeat(10_000), Some(here));
        assert!(!told.is_cut());
        assert!(
            told.as_str().ends_with(&std::format!("xxx... at {here}")),
            "{told}"
        );
    }
}
