//! What a user asks a bisection for.

use kdk_guest::request::GuestRequest;
use kdk_vm::select::check_patterns;
use serde::{Deserialize, Serialize};

use crate::decide::flaky::Rules;
use kdk_core::failure::Failure;
use kdk_vm::error::RunError;

/// The line of kernels that is searched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeChoice {
    /// The commits between two commits.
    Commits {
        /// A commit on which the tests pass.
        good: String,
        /// A later commit on which they fail.
        bad: String,
    },
    /// The prefixes of the base's series, from no patch to all.
    Series,
}

/// Where the tests come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TestSource {
    /// Tests of kdk's suites, by patterns.
    Suites(Vec<String>),
}

impl TestSource {
    /// Returns the patterns of the tests that the guest runs.
    pub fn patterns(&self) -> &[String] {
        match self {
            Self::Suites(patterns) => patterns,
        }
    }
}

/// A bisection that a user asks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BisectRequest {
    /// The name of the base, whose repository has the commits.
    pub base: String,
    /// What is searched.
    pub range: RangeChoice,
    /// The tests that decide.
    pub tests: TestSource,
    /// A regular expression that the failure must match.
    pub signature: Option<String>,
    /// The patches to apply, beside the enabling ones.
    pub with: Vec<String>,
    /// The numbers of virtual CPUs that the tests run on; none for those that
    /// they declare.
    pub cpus: Vec<u32>,
    /// The number of runs on the bad endpoint, which measure how often the
    /// tests fail.
    pub runs: u32,
}

impl BisectRequest {
    /// Returns the range in words.
    pub fn range_text(&self) -> String {
        match &self.range {
            RangeChoice::Commits { good, bad } => format!("{good:.12}..{bad:.12}"),
            RangeChoice::Series => "the prefixes of its series".into(),
        }
    }

    /// Returns how sure the answer has to be.
    pub fn rules(&self) -> Rules {
        Rules {
            estimate_runs: self.runs,
            ..Rules::default()
        }
    }

    /// Fails if no test can have a name that is asked for.
    ///
    /// # Errors
    /// Always the caller's.
    pub fn check(&self) -> Result<(), Failure> {
        check_patterns(self.tests.patterns()).map_err(RunError::from)?;
        Ok(())
    }
}

/// How kernels are tested, which does not decide about the answer.
#[derive(Debug, Clone)]
pub struct Manner {
    /// How guests are made.
    pub guest: GuestRequest,
    /// The number of kernels that are built and tested side by side.
    pub jobs: usize,
    /// Whether the guest's console and results are shown.
    pub verbose: bool,
}
