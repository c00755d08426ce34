//! The progress of a run.

use std::time::Duration;

use crate::protocol::{Hello, TestEntry};
use crate::verdict::Outcome;

/// A step of a run that a user interface may show.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A machine was started, with its number in this run.
    Starting(usize),
    /// A line of the console, without escape sequences.
    Console(&'a str),
    /// A line of the result channel, without escape sequences.
    Result(&'a str),
    /// The guest is up, after this time.
    Up(&'a Hello, Duration),
    /// These tests will run.
    Selected(&'a [TestEntry]),
    /// A test was asked for.
    Started(&'a TestEntry),
    /// A test has its verdict. The report keeps what the listener adds.
    Finished(&'a mut Outcome),
    /// A reported verdict has changed: the test killed the kernel after its
    /// result.
    Revised(&'a mut Outcome),
    /// A message for the user.
    Note(&'a str),
}

/// The receiver of progress. Guests that run at the same time call it from
/// several threads.
pub type Sink<'a> = &'a (dyn Fn(Progress<'_>) + Sync);
