//! The result of a job, as the store and the folders of shards have it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job::Job;
use kdk_core::clock::now;
use kdk_vm::verdict::Verdict;

/// The version of the format that is written and read.
pub const SCHEMA: u32 = 1;

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobResult {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The id of the job.
    pub job: String,
    /// The digest of everything that the result depends on.
    pub key: String,
    /// Other keys that the result is valid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// The id of the revision that it ran for.
    pub revision: String,
    /// Whether its builds were confined.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sandbox: bool,
    /// How the job ended.
    pub verdict: JobVerdict,
    /// Why it did not pass, in one line. If it passed: what a reader should know
    /// before relying on that; empty in most cases.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The name of the host that ran it.
    pub host: String,
    /// The number of tests by verdict: `PASS`, `FAIL`, ..
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counts: BTreeMap<String, usize>,
    /// What did not end as expected.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What a benchmark measured, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ratios: BTreeMap<String, Ratio>,
    /// How long each phase took that had work to do, in milliseconds, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phases: BTreeMap<String, u64>,
    /// The files that the job wrote, relative to the folder of results. A
    /// report of its tests is `KEY/report.json`, with `report.html` and
    /// `junit.xml` beside it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artefacts: Vec<String>,
    /// The earlier runs with the same key, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attempts: Vec<Attempt>,
}

/// An earlier run of a job with the same key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// How it ended.
    pub verdict: JobVerdict,
    /// Why it did not pass, in one line.
    pub why: String,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// How a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobVerdict {
    /// Everything ended as expected.
    Passed,
    /// The patch, the series or a test is at fault.
    Failed,
    /// The host failed or was interrupted. This says nothing about the patch,
    /// and the job runs again.
    HostError,
}

/// Something that did not end as expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The test; the check of a lint finding; `kernel` for a kernel that does
    /// not build or boot.
    pub test: String,
    /// The number of virtual CPUs of its machine, if it is a test's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus: Option<u32>,
    /// The verdict: `FAIL`, `CRASH`, .., `NO_BOOT`, `NO_BUILD`, `ERROR`.
    pub verdict: String,
    /// The explanation of the verdict.
    pub detail: String,
    /// The backtrace with source lines, if the kernel died.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// The command that repeats it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
}

/// A number that a benchmark measured, with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The measured value: the median.
    pub value: f64,
    /// The lower end of its noise.
    pub low: f64,
    /// The upper end of its noise.
    pub high: f64,
    /// Whether a smaller value is better.
    #[serde(default)]
    pub less_is_better: bool,
}

impl Ratio {
    /// Returns whether JSON can represent it: a division by zero is no number.
    pub fn is_finite(&self) -> bool {
        [self.value, self.low, self.high]
            .into_iter()
            .all(f64::is_finite)
    }
}

impl JobVerdict {
    /// Returns the name, as the JSON form has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::HostError => "host-error",
        }
    }
}

impl JobResult {
    /// Returns the result of `job` for the revision `revision`, which began now
    /// and has not ended: the host is at fault unless the caller says otherwise.
    pub fn begin(job: &Job, revision: &str) -> Self {
        Self {
            schema: SCHEMA,
            job: job.id.clone(),
            key: job.key.clone(),
            also: job.also.clone(),
            revision: revision.to_owned(),
            sandbox: false,
            verdict: JobVerdict::HostError,
            why: String::new(),
            began: now(),
            ms: 0,
            host: kdk_core::host::name(),
            counts: BTreeMap::new(),
            findings: Vec::new(),
            ratios: BTreeMap::new(),
            phases: BTreeMap::new(),
            artefacts: Vec::new(),
            attempts: Vec::new(),
        }
    }

    /// Returns this result as an earlier run of a later one.
    pub fn attempt(&self) -> Attempt {
        Attempt {
            verdict: self.verdict,
            why: self.why.clone(),
            began: self.began,
            ms: self.ms,
        }
    }

    /// Returns whether the result says something about the patch. One of the
    /// host does not.
    pub fn is_final(&self) -> bool {
        self.verdict != JobVerdict::HostError
    }

    /// Returns whether none of its tests could run: a device or a part of the
    /// kernel is missing. Such a job has not failed, but it shows nothing.
    pub fn is_skipped(&self) -> bool {
        let words = || self.counts.iter().filter(|(_, count)| **count > 0);
        let all_skipped = words().all(|(word, _)| word == Verdict::Skip.word());
        self.verdict == JobVerdict::Passed && words().next().is_some() && all_skipped
    }

    /// Returns how the job ended, in words.
    pub fn word(&self) -> &'static str {
        match self.is_skipped() {
            true => "skipped",
            false => self.verdict.name(),
        }
    }

    /// Returns the name of the file that the store and the folders of shards
    /// have for a result with the key `key`.
    pub fn file_name(key: &str) -> String {
        format!("{key}.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_of_nothing_is_no_number() {
        let ratio = |value, low, high| Ratio {
            value,
            low,
            high,
            less_is_better: false,
        };
        assert!(ratio(1.0, 0.5, 2.0).is_finite());
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(!ratio(wrong, 1.0, 1.0).is_finite());
            assert!(!ratio(1.0, wrong, 1.0).is_finite());
            assert!(!ratio(1.0, 1.0, wrong).is_finite());
        }
    }

    #[test]
    fn the_form_of_a_result_is_stable() {
        let result = JobResult {
            schema: SCHEMA,
            job: "b/suite/debug/4/ixgbe".into(),
            key: "k".into(),
            also: vec!["full".into()],
            revision: "r".into(),
            sandbox: true,
            verdict: JobVerdict::HostError,
            why: "interrupted".into(),
            began: 1,
            ms: 2,
            host: "h".into(),
            counts: BTreeMap::from([("PASS".into(), 3)]),
            findings: vec![Finding {
                test: "ixgbe/rx".into(),
                cpus: Some(4),
                verdict: "CRASH".into(),
                detail: "panic: x".into(),
                backtrace: vec!["panic()".into()],
                again: None,
            }],
            ratios: BTreeMap::from([(
                "rx".into(),
                Ratio {
                    value: 1.5,
                    low: 1.25,
                    high: 1.75,
                    less_is_better: false,
                },
            )]),
            phases: BTreeMap::new(),
            artefacts: vec!["k/report.json".into()],
            attempts: vec![Attempt {
                verdict: JobVerdict::Failed,
                why: "1 test failed".into(),
                began: 0,
                ms: 9,
            }],
        };
        let text = serde_json::to_string_pretty(&result).unwrap();
        insta::assert_snapshot!(text);
        assert_eq!(serde_json::from_str::<JobResult>(&text).unwrap(), result);
        assert!(!result.is_final());
    }
}
