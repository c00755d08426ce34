#![no_std]
//! The test harness of all guests: registry, runner, KTAP writer, leak checks.
//! It does not depend on a kernel: a test reaches its environment through
//! [`Platform`], so that kdk.ko, the demo guest, the userland suites and the
//! host's unit tests run the same code.
//!
//! A guest registers tests with [`kdk_test!`], finds the linker set in its own
//! way, and wraps it in a [`Registry`]. For every line of the host it calls
//! [`Answer::to`] and reads the chunks of the answer:
//!
//! ```
//! # use kdk_harness::{Answer, Command, Counters, Ended, Where, Platform, Registry, Test, TestResult};
//! # struct Here;
//! # impl Platform for Here {
//! #     fn run_isolated(&mut self, test: &'static Test) -> Ended { Ended::Returned((test.run)()) }
//! #     fn counters(&mut self, _: &'static Test, _: &mut Counters) {}
//! #     fn settle(&mut self, _: u32) -> bool { false }
//! # }
//! fn adds() -> TestResult {
//!     assert_eq!(1 + 1, 2);
//!     Ok(())
//! }
//! static ADDS: Test = Test::new("sums/adds", adds);
//!
//! let tests = [&ADDS];
//! let registry = Registry::new(&tests);
//! let mut answer = Answer::to(&registry, Where::Userland, "run sums/adds");
//! let mut text = String::new();
//! while answer.next_chunk(&mut Here, &mut text)? {}
//! assert_eq!(text, "# start sums/adds\nKTAP version 1\n1..1\nok 1 sums/adds\n# done 1\n");
//! # Ok::<(), core::fmt::Error>(())
//! ```

mod answer;
mod calibrate;
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
pub use calibrate::{CALIBRATION_REFERENCE_US, calibrate};
pub use command::{Command, Resume, parse};
pub use counters::{Counter, Counters, CountersFull, Leak, MAX_COUNTERS};
pub use ktap::{write_diagnostic, write_error};
pub use list::{Listing, Where};
pub use name::{MAX_NAME, is_valid_name};
pub use pattern::{MAX_PATTERN, Pattern};
pub use platform::{Ended, MESSAGE, Message, Platform, describe_panic};
pub use reader::Reader;
pub use registry::{Ordered, Refusal, Registry};
pub use run::{MAX_CHUNK, Run};
pub use test::{DEFAULT_LIMIT_MS, Expect, MAX_CPUS, ONE_CPU, Stop, Test, TestResult};
pub use text::Text;
