//! What a check says that sees a text alone: it knows neither which patch the
//! text is of nor where that lies.

use crate::lint::finding::{Check, Severity};

/// What such a check says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// Who says it.
    pub check: Check,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub help: String,
    /// Where.
    pub at: At,
}

/// A place, as a check knows it. Lines count from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// The patch as a whole.
    Patch,
    /// The subject.
    Subject,
    /// A line of the message's body.
    Body(usize),
    /// A line of the patch file.
    Line(usize),
    /// A byte of the patch file.
    Byte(usize),
    /// A part of the patch in the manifest, by its keys.
    Manifest(Vec<&'static str>),
    /// An item of a list there.
    Item(Vec<&'static str>, usize),
}

impl Remark {
    /// An error of `check`.
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

    /// A warning of `check`.
    pub fn warning(check: Check, at: At, text: impl Into<String>, help: impl Into<String>) -> Self {
        let severity = Severity::Warning;
        Self {
            severity,
            ..Self::error(check, at, text, help)
        }
    }
}

/// The texts of `remarks`, for tests.
#[cfg(test)]
pub fn texts(remarks: &[Remark]) -> Vec<String> {
    remarks.iter().map(|remark| remark.text.clone()).collect()
}
