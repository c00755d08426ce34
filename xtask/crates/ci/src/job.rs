//! The jobs of a revision: what is run, and on which kernel.

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How the matrix and the results spell [`Cpus::Declared`].
const DECLARED: &str = "declared";

/// One unit of work with one result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The id: `BASE/KIND/..`, readable and usable as a relative path.
    pub id: String,
    /// The base, which is also the name of the series.
    pub base: String,
    /// What is run.
    pub work: Work,
    /// The patch that the job is about, if it is about one.
    pub patch: Option<String>,
    /// The digest of everything that the result depends on. It names the file
    /// of the result.
    pub key: String,
    /// Other keys that the result is valid for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
    /// How long it is expected to take in milliseconds, if it ran before.
    pub expected_ms: Option<u64>,
}

/// What a job runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Work {
    /// Check the style of a patch. It needs no kernel.
    Lint {
        /// The id of the patch.
        patch: String,
    },
    /// Build and boot the first `count` patches.
    Prefix {
        /// The number of patches.
        count: usize,
        /// The id of the last one; none for the base itself.
        last: Option<String>,
    },
    /// Run the tests of a patch with and without it.
    Prove {
        /// The id of the patch.
        patch: String,
    },
    /// Run a suite on the complete series.
    Suite {
        /// The kernel configuration, as the matrix calls it.
        config: String,
        /// The virtual CPUs of the machines.
        cpus: Cpus,
        /// The name of the suite.
        suite: String,
    },
    /// Run a suite on the base without the series, to compare with.
    Base {
        /// The kernel configuration, as the matrix calls it.
        config: String,
        /// The virtual CPUs of the machines.
        cpus: Cpus,
        /// The name of the suite.
        suite: String,
    },
    /// Run the mutants of a suite.
    Mutants {
        /// The name of the suite.
        suite: String,
    },
    /// Measure a study of `cargo xtask bench`.
    Bench {
        /// The name of the study.
        study: String,
    },
}

/// The number of virtual CPUs that tests run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cpus {
    /// Those that each test declares.
    Declared,
    /// The same number for all tests.
    Number(u32),
}

impl Serialize for Cpus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Declared => serializer.serialize_str(DECLARED),
            Self::Number(number) => serializer.serialize_u32(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Spelled;
        impl Visitor<'_> for Spelled {
            type Value = Cpus;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "`{DECLARED}` or a number of virtual CPUs")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Cpus, E> {
                let wrong = || E::invalid_value(de::Unexpected::Unsigned(number), &self);
                u32::try_from(number).map(Cpus::Number).map_err(|_| wrong())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cpus, E> {
                match text {
                    DECLARED => Ok(Cpus::Declared),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
        }
        deserializer.deserialize_any(Spelled)
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Declared => f.pad(DECLARED),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl Work {
    /// Returns the name of the kind of work, as the matrix and ids spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lint { .. } => "lint",
            Self::Prefix { .. } => "prefix",
            Self::Prove { .. } => "prove",
            Self::Suite { .. } => "suite",
            Self::Base { .. } => "base",
            Self::Mutants { .. } => "mutants",
            Self::Bench { .. } => "bench",
        }
    }

    /// Returns the id of a job with this work on the base `base`.
    pub fn id(&self, base: &str) -> String {
        let kind = self.kind();
        match self {
            Self::Lint { patch } | Self::Prove { patch } => format!("{base}/{kind}/{patch}"),
            Self::Prefix { count, .. } => format!("{base}/{kind}/{count:02}"),
            Self::Suite {
                config,
                cpus,
                suite,
            }
            | Self::Base {
                config,
                cpus,
                suite,
            } => format!("{base}/{kind}/{config}/{cpus}/{suite}"),
            Self::Mutants { suite } => format!("{base}/{kind}/{suite}"),
            Self::Bench { study } => format!("{base}/{kind}/{study}"),
        }
    }

    /// Returns the name of the kernel that takes most of the work's builds. Jobs
    /// with the same name share the build. Work without a kernel has none.
    pub fn kernel(&self) -> Option<String> {
        match self {
            Self::Lint { .. } => None,
            Self::Prefix { count, .. } => Some(format!("prefix-{count:02}")),
            Self::Prove { patch } => Some(format!("without-{patch}")),
            Self::Suite { config, .. } => Some(format!("series-{config}")),
            Self::Base { config, .. } => Some(format!("base-{config}")),
            Self::Mutants { suite } => Some(format!("mutants-{suite}")),
            Self::Bench { study } => Some(format!("bench-{study}")),
        }
    }

    /// Returns the patch that the work is about, if it is about one.
    pub fn patch(&self) -> Option<&str> {
        match self {
            Self::Lint { patch } | Self::Prove { patch } => Some(patch),
            Self::Prefix { last, .. } => last.as_deref(),
            Self::Suite { .. } | Self::Base { .. } | Self::Mutants { .. } | Self::Bench { .. } => {
                None
            }
        }
    }
}

impl Job {
    /// Returns the job with this work on the base `base`.
    pub fn new(base: &str, work: Work, key: String, expected_ms: Option<u64>) -> Self {
        Self {
            id: work.id(base),
            base: base.to_owned(),
            patch: work.patch().map(str::to_owned),
            work,
            key,
            also: Vec::new(),
            expected_ms,
        }
    }
}

/// Jobs of one base that share a kernel: what one task or one step of a pipeline
/// runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The name: `BASE/KERNEL`, or `BASE/lint` for jobs without a kernel.
    pub name: String,
    /// The name of the base.
    pub base: String,
    /// The jobs, in the order of the plan.
    pub jobs: Vec<Job>,
}

/// Groups jobs by base and kernel, in the order of the first job of each group.
pub fn batches(jobs: &[Job]) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for job in jobs {
        let kernel = job.work.kernel();
        let name = format!("{}/{}", job.base, kernel.as_deref().unwrap_or("lint"));
        match batches.iter_mut().find(|batch| batch.name == name) {
            Some(batch) => batch.jobs.push(job.clone()),
            None => batches.push(Batch {
                name,
                base: job.base.clone(),
                jobs: vec![job.clone()],
            }),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suite(config: &str, cpus: Cpus, suite: &str) -> Work {
        Work::Suite {
            config: config.into(),
            cpus,
            suite: suite.into(),
        }
    }

    #[test]
    fn an_id_is_a_readable_path() {
        let patch = || "ixgbe-rx-drop".to_owned();
        for (work, want) in [
            (Work::Lint { patch: patch() }, "b/lint/ixgbe-rx-drop"),
            (
                Work::Prefix {
                    count: 7,
                    last: Some(patch()),
                },
                "b/prefix/07",
            ),
            (Work::Prove { patch: patch() }, "b/prove/ixgbe-rx-drop"),
            (
                suite("debug", Cpus::Number(4), "ixgbe"),
                "b/suite/debug/4/ixgbe",
            ),
            (
                suite("debug", Cpus::Declared, "ixgbe"),
                "b/suite/debug/declared/ixgbe",
            ),
            (
                Work::Mutants {
                    suite: "ixgbe".into(),
                },
                "b/mutants/ixgbe",
            ),
        ] {
            assert_eq!(work.id("b"), want);
        }
    }

    #[test]
    fn a_job_is_read_back() {
        for cpus in [Cpus::Declared, Cpus::Number(4)] {
            let job = Job::new("b", suite("debug", cpus, "ixgbe"), "k".into(), Some(3));
            let text = serde_json::to_string(&job).unwrap();
            assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job, "{text}");
        }
        let text = serde_json::to_string(&suite("debug", Cpus::Number(4), "a")).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"suite","config":"debug","cpus":4,"suite":"a"}"#
        );
    }

    #[test]
    fn jobs_on_one_kernel_are_one_batch() {
        let job = |work, ms| Job::new("b", work, "k".into(), ms);
        let lint = |patch: &str| Work::Lint {
            patch: patch.into(),
        };
        let jobs = [
            job(lint("a"), Some(10)),
            job(suite("debug", Cpus::Declared, "x"), Some(100)),
            job(lint("b"), None),
            job(suite("bench", Cpus::Declared, "x"), None),
            job(suite("debug", Cpus::Number(4), "x"), None),
        ];
        let batches: Vec<(String, usize)> = batches(&jobs)
            .into_iter()
            .map(|batch| (batch.name.clone(), batch.jobs.len()))
            .collect();
        assert_eq!(
            batches,
            [
                ("b/lint".to_owned(), 2),
                ("b/series-debug".to_owned(), 2),
                ("b/series-bench".to_owned(), 1),
            ]
        );
    }
}
