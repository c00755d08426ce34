//! The report file: one schema for every command that runs tests. The history
//! keeps the same files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use kdk_vm::verdict::{Outcome, Summary};
use serde::{Deserialize, Serialize};

use kdk_core::DEMO;
use kdk_core::cache_dir::write_atomically;
use kdk_core::clock::now;
use kdk_core::event::Phase;
use kdk_core::failure::Failure;

/// The version of the schema that is written. A field may be added without a
/// new version; a renamed, removed or changed field needs one.
pub const SCHEMA: u32 = 2;

/// The oldest version of the schema that is read. In version 1 the `worker` of
/// a test has the name `lane`.
pub const OLDEST_SCHEMA: u32 = 1;

/// The content of a report file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The version of the schema: [`SCHEMA`], or an older one of a file that
    /// was read.
    pub schema: u32,
    /// The properties of the whole run.
    pub run: Run,
    /// The phases, in the order in which they ended; `boot` once for each
    /// machine.
    pub phases: Vec<PhaseEntry>,
    /// The tests, in the order in which they ran.
    pub tests: Vec<Outcome>,
    /// The number of tests by verdict.
    pub summary: Summary,
}

/// The properties of a whole run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The name of the base, or `demo`.
    pub base: String,
    /// `freebsd`, or `demo` when no FreeBSD kernel was tested.
    pub guest: String,
    /// The time at which the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<DateTime<Utc>>,
    /// `__FreeBSD_version`; none for the demo guest.
    pub osreldate: Option<u32>,
    /// The output of `uname -v` in the guest.
    pub uname: String,
    /// The ids of the patches in the kernel.
    pub patches: Vec<String>,
    /// The name of the kernel's configuration.
    pub kernel_config: Option<String>,
    /// The accelerator of the machine, such as `tcg`.
    pub accel: String,
    /// The boot method, such as `pvh` or `efi`.
    pub boot: String,
    /// Which tests shared a kernel.
    pub isolation: String,
    /// The number of guests that ran side by side.
    #[serde(default)]
    pub jobs: u16,
    /// The seed of the random choices of the run.
    #[serde(default)]
    pub seed: u64,
    /// The names and globs of the requested tests; empty for the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// The numbers of virtual CPUs that were asked for; empty for those that
    /// each test declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<u32>,
    /// The folder of the logs of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<PathBuf>,
    /// The process exit code.
    pub exit: u8,
    /// Why the run ended early, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The symbolized backtrace, if the kernel crashed before it was up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub symbolized: Vec<String>,
}

/// What a report says of the guest that ran its tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GuestInfo {
    /// `freebsd`, or `demo` for the demo guest.
    pub guest: String,
    /// `__FreeBSD_version`; none for the demo guest.
    pub osreldate: Option<u32>,
    /// Ids of the patches in its kernel.
    pub patches: Vec<String>,
    /// The name of its kernel's configuration.
    pub kernel_config: Option<String>,
    /// What executes its instructions, such as `tcg`.
    pub accel: String,
    /// How its kernel is booted, such as `pvh`.
    pub boot: String,
}

impl Run {
    /// Returns a run on the base `base` that begins now.
    pub fn begin(base: &str) -> Self {
        Self {
            base: base.to_owned(),
            guest: if base == DEMO { DEMO } else { "freebsd" }.into(),
            began: DateTime::from_timestamp_millis(now().cast_signed()),
            ..Self::default()
        }
    }

    /// Returns whether both runs were asked for the same tests, on the same
    /// numbers of CPUs.
    pub fn selects_like(&self, other: &Self) -> bool {
        (&self.selection, &self.cpus) == (&other.selection, &other.cpus)
    }

    /// Records which guest runs the tests.
    pub fn set_guest(&mut self, info: &GuestInfo) {
        let GuestInfo {
            guest,
            osreldate,
            patches,
            kernel_config,
            accel,
            boot,
        } = info.clone();
        self.guest = guest;
        self.osreldate = osreldate;
        self.patches = patches;
        self.kernel_config = kernel_config;
        self.accel = accel;
        self.boot = boot;
    }
}

/// A phase of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseEntry {
    /// The name of the phase.
    pub name: Phase,
    /// The duration in milliseconds.
    pub ms: u64,
    /// The time from the beginning of the run to the start of the phase, in
    /// milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<u64>,
    /// Whether an earlier result was reused.
    pub cached: bool,
    /// The reason for the work, or why there was none.
    pub why: String,
    /// The first line of the failure, if the phase failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Returns how long each phase took that had work to do, in milliseconds.
pub fn worked(phases: &[PhaseEntry]) -> BTreeMap<Phase, u64> {
    let mut sums = BTreeMap::new();
    for phase in phases.iter().filter(|phase| !phase.cached) {
        *sums.entry(phase.name).or_default() += phase.ms;
    }
    sums
}

impl Report {
    /// Returns the report of `run`.
    pub fn new(run: Run, phases: Vec<PhaseEntry>, tests: Vec<Outcome>) -> Self {
        Self {
            schema: SCHEMA,
            run,
            phases,
            summary: Summary::of(&tests),
            tests,
        }
    }

    /// Writes the report atomically.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::infra("write the report", error.to_string()))?;
        write_atomically(path, &text).map_err(|error| Failure::io("write the report", path, error))
    }

    /// Returns the time from the beginning of the run to its last event, in
    /// milliseconds.
    pub fn took_ms(&self) -> u64 {
        let phases = self.phases.iter().map(|one| (one.start_ms, one.ms));
        let tests = self.tests.iter().map(|one| (one.start_ms, one.ms));
        phases
            .chain(tests)
            .filter_map(|(start, ms)| Some(start? + ms))
            .max()
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{failing_run, good_run};

    #[test]
    fn a_report_is_read_back_equal() {
        let dir = tempfile::tempdir().unwrap();
        for mut report in [good_run(), failing_run()] {
            // The report file does not hold the console.
            report.tests.iter_mut().for_each(|one| one.console.clear());
            let path = dir.path().join("report.json");
            report.write(&path).unwrap();
            let text = std::fs::read(&path).unwrap();
            assert_eq!(serde_json::from_slice::<Report>(&text).unwrap(), report);
        }
    }

    #[test]
    fn a_report_of_the_first_version_is_read() {
        let text = r#"{"schema": 1,
            "run": {"base": "main", "guest": "freebsd", "osreldate": 1, "uname": "u", "patches": ["a"],
                    "kernel_config": "KDK", "accel": "tcg", "boot": "pvh", "isolation": "none", "exit": 0},
            "phases": [{"name": "kernel", "ms": 5, "cached": true, "why": "unchanged"}],
            "tests": [{"name": "a/b", "where": "userland", "verdict": "PASS", "ms": 12,
                       "expected": "PASS", "detail": "", "backtrace": [], "lane": 2}],
            "summary": {"PASS": 1, "FAIL": 0, "SKIP": 0, "XFAIL": 0, "XPASS": 0, "TIMEOUT": 0,
                        "CRASH": 0, "NOT_RUN": 0}}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.phases[0].name, Phase::Kernel);
        assert_eq!((report.tests[0].start_ms, report.run.began), (None, None));
        assert_eq!(report.tests[0].worker, Some(2));
        assert_eq!(report.took_ms(), 0);
    }

    #[test]
    fn it_took_until_the_last_thing_ended() {
        assert_eq!(good_run().took_ms(), 9_600);
        assert_eq!(failing_run().took_ms(), 19_400);
    }
}
