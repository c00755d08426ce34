//! The report file: one schema for every verb that runs tests.

use std::path::Path;

use kdk_vm::verdict::{Outcome, Summary};
use serde::Serialize;

use crate::failure::Failure;
use crate::home::write_atomically;

/// What the report file holds, schema 1.
#[derive(Debug, Serialize)]
pub struct Report<'a> {
    /// 1.
    pub schema: u32,
    /// The run as a whole.
    pub run: Run,
    /// Its phases, in order.
    pub phases: Vec<PhaseEntry>,
    /// Its tests, in order.
    pub tests: &'a [Outcome],
    /// Counts by verdict.
    pub summary: Summary,
}

/// The run as a whole.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Run {
    /// The base's name, or `demo`.
    pub base: String,
    /// `freebsd`, or `demo` when no FreeBSD kernel was tested.
    pub guest: &'static str,
    /// `__FreeBSD_version`; none for the demo guest.
    pub osreldate: Option<u32>,
    /// `uname -v` of the kernel that was tested.
    pub uname: String,
    /// Ids of the patches in it.
    pub patches: Vec<String>,
    /// Its config.
    pub kernel_config: Option<String>,
    /// What ran the machine.
    pub accel: String,
    /// `pvh` or `efi`.
    pub boot: String,
    /// Which tests shared a kernel.
    pub isolation: String,
    /// The process exit code.
    pub exit: u8,
    /// Why the run ended early, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Where the kernel died, if it died before it was up; as in a test's
    /// entry.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub symbolized: Vec<String>,
}

/// One phase.
#[derive(Debug, Clone, Serialize)]
pub struct PhaseEntry {
    /// Its name.
    pub name: &'static str,
    /// How long it took, milliseconds.
    pub ms: u64,
    /// Whether an earlier result was reused.
    pub cached: bool,
    /// Why it worked, or why it did not have to.
    pub why: String,
}

impl Report<'_> {
    /// Writes it, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::infra("write the report", error.to_string()))?;
        write_atomically(path, &text).map_err(|error| Failure::io("write the report", path, error))
    }
}
