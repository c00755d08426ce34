//! The result of a check that sees only a text, and not which patch or file the
//! text is from.

use crate::lint::finding::{Check, Severity};

/// A remark of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// The check that found it.
    pub check: Check,
    /// The severity of the problem.
    pub severity: Severity,
    /// A description of the problem.
    pub text: String,
    /// How to fix it.
    pub help: String,
    /// The location of the problem.
    pub at: At,
}

/// A location, as a check knows it. Lines count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The whole patch.
    Patch,
    /// The subject of the message.
    Subject,
    /// A line of the message's body.
    Body(usize),
    /// A line of the patch file.
    Line(usize),
    /// A byte of the patch file.
    Byte(usize),
    /// A value of the patch's entry in the manifest, by its keys.
    Manifest(Vec<&'static str>),
    /// An item of a list in the manifest.
    Item(Vec<&'static str>, usize),
}

impl Remark {
    /// Returns an error of `check`.
    pub fn error(check: Check, at: At, text: impl Into<String>, help: impl Into<String>) -> Self {
        let severity = Severity::Error;
        let (text, help) = (text.into(), help.into());
        Self {
            check,
            severity,
            text,
            help,
            at,
        }
    }

    /// Returns a warning of `check`.
    pub fn warning(check: Check, at: At, text: impl Into<String>, help: impl Into<String>) -> Self {
        let severity = Severity::Warning;
        Self {
            severity,
            ..Self::error(check, at, text, help)
        }
    }
}

/// Returns the texts of `remarks`, for tests.
#[cfg(test)]
pub fn texts(remarks: &[Remark]) -> Vec<String> {
    remarks.iter().map(|remark| remark.text.clone()).collect()
}
