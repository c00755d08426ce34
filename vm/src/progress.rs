//! What a run tells while it goes on.

use std::time::Duration;

use crate::protocol::{Hello, TestEntry};
use crate::verdict::Outcome;

/// Something that a user interface may show.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// A machine was started, the how-manieth of this run.
    Starting(usize),
    /// A line of the console, cleaned.
    Console(&'a str),
    /// A line of the result channel, cleaned.
    Result(&'a str),
    /// The guest is up, after this time.
    Up(&'a Hello, Duration),
    /// These tests will run.
    Selected(&'a [TestEntry]),
    /// A test was asked for.
    Started(&'a TestEntry),
    /// It has its verdict.
    Finished(&'a Outcome),
    /// A verdict that was told before has changed: the kernel died of this
    /// test after it had reported.
    Revised(&'a Outcome),
    /// Something worth a line.
    Note(&'a str),
}

/// Where progress goes. Guests that run side by side tell of theirs from
/// several threads.
pub type Sink<'a> = &'a (dyn Fn(Progress<'_>) + Sync);
