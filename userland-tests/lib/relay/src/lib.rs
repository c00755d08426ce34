#![no_std]
//! What init does with the output of kdk.ko and of the suites on its way to
//! the host, and with the clock: the pure part of it, so that the host can
//! test it.
//!
//! The host trusts init to keep the protocol whatever a suite does. So a
//! suite's lines are not passed on blindly: [`RunRelay`] sees to it that each
//! `run` is answered by one well-formed document with one honest result, and
//! [`Catalogue`] that a suite which cannot say what tests it has is seen as a
//! failing test rather than as no tests.
//!
//! The host also trusts the clock that it had set: see [`set_clock`].

extern crate alloc;

mod catalogue;
mod clock;
mod lines;
mod listing;
mod program;
mod run;

pub use catalogue::{Catalogue, Entry};
pub use clock::set_clock;
pub use lines::{LONGEST_LINE, Lines};
pub use listing::{Listed, Listing};
pub use program::ProgramRelay;
pub use run::RunRelay;
