//! Finds the commit that broke a test, or the patch of a series that did.
//!
//! The decisions are pure: [`decide`] reads what is known and says what to test
//! next. [`log`] keeps what is known, so that a bisection continues after a kill.

pub mod candidates;
pub mod changes;
pub mod compose;
pub mod decide;
pub mod git_log;
pub mod inputs;
pub mod log;
pub mod replay;
pub mod signature;
