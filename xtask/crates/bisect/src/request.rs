//! What a user asks a bisection for.

use std::fs;
use std::path::PathBuf;

use kdk_executor::ExecutorChoice;
use kdk_guest::program::Program;
use kdk_guest::request::GuestRequest;
use kdk_vm::accel::AccelChoice;
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
    /// A static program of the user's.
    Program {
        /// The file on the host.
        path: PathBuf,
        /// The arguments after the program's name.
        arguments: Vec<String>,
        /// The digest of the file.
        digest: String,
    },
}

impl TestSource {
    /// Returns the tests that are a program of the user's.
    ///
    /// # Errors
    /// The guest cannot run it.
    pub fn program(path: PathBuf, arguments: Vec<String>) -> Result<Self, Failure> {
        let program = Program {
            path: std::path::absolute(&path).unwrap_or(path),
            arguments,
        };
        program.check()?;
        let bytes = fs::read(&program.path)
            .map_err(|error| Failure::io("read the program", &program.path, error))?;
        Ok(Self::Program {
            path: program.path,
            arguments: program.arguments,
            digest: blake3::hash(&bytes).to_hex().to_string(),
        })
    }

    /// Returns the patterns of the tests that the guest runs.
    pub fn patterns(&self) -> Vec<String> {
        match self {
            Self::Suites(patterns) => patterns.clone(),
            Self::Program { .. } => self.programs().iter().map(Program::test).collect(),
        }
    }

    /// Returns whether tests of the suite `boot` are among them, so that each run
    /// has to boot.
    pub fn has_the_boot(&self) -> bool {
        let is_boot = |pattern: &String| pattern == "boot" || pattern.starts_with("boot/");
        match self {
            Self::Suites(patterns) => patterns.iter().any(is_boot),
            Self::Program { .. } => false,
        }
    }

    /// Returns the programs to put into the guest.
    pub fn programs(&self) -> Vec<Program> {
        match self {
            Self::Suites(_) => Vec::new(),
            Self::Program {
                path, arguments, ..
            } => vec![Program {
                path: path.clone(),
                arguments: arguments.clone(),
            }],
        }
    }

    /// Returns what outcomes depend on, beside the sources of kdk's suites.
    pub fn identity(&self) -> Vec<String> {
        match self {
            Self::Suites(patterns) => patterns.clone(),
            Self::Program {
                arguments, digest, ..
            } => {
                let mut all = self.patterns();
                all.push(digest.clone());
                all.extend(arguments.iter().cloned());
                all
            }
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
    /// The name of a number that the tests report, and the change in percent from
    /// which on it is worse: positive for a rise, negative for a fall.
    pub metric: Option<(String, f64)>,
    /// The patches to apply in addition to those of the class `enabling`.
    pub with: Vec<String>,
    /// The numbers of virtual CPUs that the tests run on; none for those that
    /// they declare.
    pub cpus: Vec<u32>,
    /// The accelerator of the machines: a failure may depend on it.
    #[serde(default)]
    pub accel: AccelChoice,
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
        check_patterns(&self.tests.patterns()).map_err(RunError::from)?;
        Ok(())
    }
}

/// How kernels are tested, which does not decide about the answer.
pub struct RunOptions<'a> {
    /// How guests are made.
    pub guest: GuestRequest,
    /// The number of kernels that are built and tested side by side.
    pub jobs: usize,
    /// Where kernels are built and tested.
    pub executor: ExecutorChoice,
    /// Whether the guest's console and results are shown.
    pub verbose: bool,
    /// Checks that the host can build kernels. It is called before the first
    /// build, and after all that can be wrong with the request.
    pub ready: &'a dyn Fn() -> Result<(), Failure>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tests_of_the_boot_have_to_boot() {
        for (patterns, want) in [
            (&["boot/*"][..], true),
            (&["boot", "boot/clock"], true),
            (&["boot/*", "smoke/poll"], true),
            (&["smoke/poll"], false),
            (&["*"], false),
            (&[], false),
        ] {
            let patterns = patterns.iter().map(|one| (*one).to_owned()).collect();
            let tests = TestSource::Suites(patterns);
            assert_eq!(tests.has_the_boot(), want, "{tests:?}");
        }
    }
}
