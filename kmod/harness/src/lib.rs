#![no_std]
//! The test harness every guest shares: registry, runner, KTAP writer, leak
//! checks. It knows no kernel: what a test needs from its surroundings comes
//! through [`Platform`], so that kdk.ko, the demo guest, the userland suites
//! and the host's own unit tests run the very same code.
//!
//! A guest registers tests with [`kdk_test!`], finds the linker set (how is
//! its own matter), wraps it in a [`Registry`], and for every line the host
//! sends asks [`Answer::to`] and pulls the chunks of the answer:
//!
//! ```
//! # use kdk_harness::{Answer, Command, Counters, Ended, Place, Platform, Registry, Test, TestResult};
//! # struct Here;
//! # impl Platform for Here {
//! #     fn run_isolated(&mut self, test: &'static Test) -> Ended { Ended::Returned((test.run)()) }
//! #     fn counters(&mut self, _: &'static Test, _: &mut Counters) {}
//! #     fn settle(&mut self, _: u32) -> bool { false }
//! #     fn now_ms(&mut self) -> u64 { 0 }
//! # }
//! fn adds() -> TestResult {
//!     assert_eq!(1 + 1, 2);
//!     Ok(())
//! }
//! static ADDS: Test = Test::new("sums/adds", adds);
//!
//! let tests = [&ADDS];
//! let registry = Registry::new(&tests);
//! let mut answer = Answer::to(&registry, Place::Userland, "run sums/adds");
//! let mut text = String::new();
//! while answer.next_chunk(&mut Here, &mut text)? {}
//! assert_eq!(text, "# start sums/adds\nKTAP version 1\n1..1\nok 1 sums/adds\n# done 1\n");
//! # Ok::<(), core::fmt::Error>(())
//! ```

mod answer;
mod command;
mod counters;
mod ktap;
mod list;
mod name;
mod pattern;
mod platform;
mod reader;
mod register;
mod registry;
mod run;
mod test;
mod text;

pub use answer::Answer;
pub use command::{Command, Resume, parse};
pub use counters::{Counter, Counters, CountersFull, Leak, MAX_COUNTERS};
pub use ktap::{write_diagnostic, write_error};
pub use list::{Listing, Place};
pub use name::{MAX_NAME, is_valid_name};
pub use pattern::{MAX_PATTERN, Pattern};
pub use platform::{Ended, MESSAGE, Message, Platform, describe_panic};
pub use reader::Reader;
pub use registry::{Ordered, Refusal, Registry};
pub use run::{MAX_CHUNK, Run};
pub use test::{DEFAULT_LIMIT_MS, Expect, Stop, Test, TestResult};
pub use text::Text;
