//! Decides which results of the shards count, and what is missing.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use super::folder::Folder;
use crate::plan_file::{PlanFile, Revisions};
use crate::result::JobResult;
use crate::revision::short;
use crate::shard_report::{JobRef, ShardReport};
use crate::versioned::BadFile;

/// Why the results are not complete. Each of these prevents a green result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A shard left no folder.
    Missing {
        /// The number of the shard.
        shard: usize,
    },
    /// A folder does not say which shard it is of.
    Unnamed {
        /// The folder of the shard.
        dir: PathBuf,
        /// Why its `shard.json` cannot be used.
        bad: BadFile,
    },
    /// A shard tested another revision.
    OtherRevision {
        /// The number of the shard.
        shard: usize,
        /// The folder of the shard.
        dir: PathBuf,
        /// The name of the base.
        base: String,
        /// The revision of the shard, if it tested one of this base.
        found: Option<String>,
        /// The revision that was planned.
        wanted: Option<String>,
    },
    /// A shard is of another number of shards.
    OtherCount {
        /// The number of the shard.
        shard: usize,
        /// The folder of the shard.
        dir: PathBuf,
        /// The number of shards that it knows of.
        found: usize,
        /// The number of shards that was planned.
        wanted: usize,
    },
    /// Two folders are of one shard.
    Twice {
        /// The number of the shard.
        shard: usize,
        /// The folder that does not count.
        dir: PathBuf,
    },
    /// A shard ended early.
    Stopped {
        /// The number of the shard.
        shard: usize,
        /// The reason for it.
        why: String,
    },
    /// A shard names no job, and there is no plan that says why.
    NoJobs {
        /// The number of the shard.
        shard: usize,
    },
    /// A job that the plan takes for passed has failed since.
    NoLongerValid {
        /// The job that did not run.
        job: String,
        /// Why it failed.
        why: String,
    },
    /// A job of a shard has no result.
    NoResult {
        /// The number of the shard.
        shard: usize,
        /// The job that was planned.
        job: String,
        /// Why its result cannot be used.
        bad: BadFile,
    },
    /// The file of a result has the result of another job.
    OtherJob {
        /// The number of the shard.
        shard: usize,
        /// The job that was planned.
        job: String,
        /// The job that the file names.
        found: String,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { shard } => write!(f, "shard {shard} is missing"),
            Self::Unnamed {
                dir,
                bad: BadFile::Missing,
            } => write!(f, "the shard of {} did not end", dir.display()),
            Self::Unnamed { dir, bad } => write!(f, "{}/shard.json {bad}", dir.display()),
            Self::OtherRevision {
                shard,
                dir,
                base,
                found,
                wanted,
            } => {
                let name = |id: &Option<String>| {
                    let id = id.as_deref().map(short);
                    id.map_or_else(
                        || format!("no revision of {base}"),
                        |id| format!("{id} of {base}"),
                    )
                };
                write!(
                    f,
                    "shard {shard} ({}) tested {}, not {}",
                    dir.display(),
                    name(found),
                    name(wanted)
                )
            }
            Self::OtherCount {
                shard,
                dir,
                found,
                wanted,
            } => write!(
                f,
                "shard {shard} ({}) is one of {found} shards, not of {wanted}",
                dir.display()
            ),
            Self::Twice { shard, dir } => {
                write!(
                    f,
                    "shard {shard} is there twice: {} does not count",
                    dir.display()
                )
            }
            Self::NoJobs { shard } => write!(
                f,
                "shard {shard} ran no job: only a plan (--plan) says that there was none for it"
            ),
            Self::NoLongerValid { job, why } => write!(
                f,
                "the plan takes {job} for passed, but it failed since: {why}"
            ),
            Self::Stopped { shard, why } => write!(f, "shard {shard} ended early: {why}"),
            Self::NoResult {
                shard,
                job,
                bad: BadFile::Missing,
            } => write!(f, "shard {shard} has no result of {job}"),
            Self::NoResult { shard, job, bad } => {
                write!(f, "shard {shard}: the result of {job} {bad}")
            }
            Self::OtherJob { shard, job, found } => {
                write!(f, "shard {shard}: the result of {job} is one of {found}")
            }
        }
    }
}

/// What the shards' folders say together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Collected {
    /// The revisions that were tested.
    pub revisions: Revisions,
    /// The shards, in the order of their numbers.
    pub shards: Vec<CollectedShard>,
    /// The jobs of the plan that did not run because they have a valid result.
    pub valid: Vec<JobRef>,
    /// Why the results are not complete.
    pub problems: Vec<Problem>,
}

/// What the folder of one shard says.
#[derive(Debug, Clone, PartialEq)]
pub struct CollectedShard {
    /// The number of the shard.
    pub shard: usize,
    /// The report of the shard, if it has one that counts.
    pub report: Option<ShardReport>,
    /// Its folder, if there is one that counts.
    pub dir: Option<PathBuf>,
    /// Its jobs with their results. A job without a result has none.
    pub jobs: Vec<(JobRef, Option<JobResult>)>,
}

/// What the shards should have run.
struct Expected {
    revisions: Revisions,
    count: usize,
    /// The jobs of each shard, if a plan says so.
    jobs: Option<Vec<Vec<JobRef>>>,
}

/// Compares the folders with the plan. Without a plan the first usable folder
/// decides about the revision and the number of shards, and each shard about its
/// jobs.
pub fn judge(plan: Option<&PlanFile>, folders: &[Folder]) -> Collected {
    let mut problems = Vec::new();
    for folder in folders {
        if let Err(bad) = &folder.report {
            problems.push(Problem::Unnamed {
                dir: folder.path.clone(),
                bad: bad.clone(),
            });
        }
    }
    let named: Vec<(&Folder, &ShardReport)> = folders
        .iter()
        .filter_map(|folder| Some((folder, folder.report.as_ref().ok()?)))
        .collect();
    let expected = match (plan, named.first()) {
        (Some(plan), _) => of_plan(plan),
        (None, Some((_, first))) => Expected {
            revisions: first.revisions.clone(),
            count: first.count,
            jobs: None,
        },
        (None, None) => Expected {
            revisions: Revisions::new(),
            count: 0,
            jobs: None,
        },
    };
    let mut usable: Vec<(&Folder, &ShardReport)> = Vec::new();
    let mut seen = BTreeSet::new();
    for (folder, report) in named {
        let problem = foreign(&expected, folder, report).or_else(|| {
            (!seen.insert(report.shard)).then(|| Problem::Twice {
                shard: report.shard,
                dir: folder.path.clone(),
            })
        });
        match problem {
            Some(problem) => problems.push(problem),
            None => usable.push((folder, report)),
        }
    }
    let mut shards = Vec::new();
    for number in 1..=expected.count {
        let found = usable.iter().find(|(_, report)| report.shard == number);
        let planned = expected
            .jobs
            .as_ref()
            .and_then(|jobs| jobs.get(number - 1))
            .map(Vec::as_slice);
        shards.push(shard(number, found.copied(), planned, &mut problems));
    }
    Collected {
        revisions: expected.revisions,
        shards,
        valid: plan.map(valid).unwrap_or_default(),
        problems,
    }
}

fn of_plan(plan: &PlanFile) -> Expected {
    let job = |job: &crate::job::Job| JobRef {
        id: job.id.clone(),
        key: job.key.clone(),
    };
    let jobs = plan.shards.iter();
    Expected {
        revisions: plan.ids(),
        count: plan.shards.len(),
        jobs: Some(
            jobs.map(|shard| shard.jobs.iter().map(job).collect())
                .collect(),
        ),
    }
}

fn valid(plan: &PlanFile) -> Vec<JobRef> {
    let valid = plan.valid.iter().map(|job| JobRef {
        id: job.id.clone(),
        key: job.key.clone(),
    });
    valid.collect()
}

/// Returns why a folder does not belong to the others.
fn foreign(expected: &Expected, folder: &Folder, report: &ShardReport) -> Option<Problem> {
    let bases: BTreeSet<&String> = expected
        .revisions
        .keys()
        .chain(report.revisions.keys())
        .collect();
    let other = bases
        .into_iter()
        .find(|base| report.revisions.get(*base) != expected.revisions.get(*base));
    if let Some(base) = other {
        return Some(Problem::OtherRevision {
            shard: report.shard,
            dir: folder.path.clone(),
            base: base.clone(),
            found: report.revisions.get(base).cloned(),
            wanted: expected.revisions.get(base).cloned(),
        });
    }
    let in_range = (1..=expected.count).contains(&report.shard);
    (report.count != expected.count || !in_range).then(|| Problem::OtherCount {
        shard: report.shard,
        dir: folder.path.clone(),
        found: report.count,
        wanted: expected.count,
    })
}

/// Returns what a shard's folder says, and adds what is missing to `problems`.
fn shard(
    number: usize,
    found: Option<(&Folder, &ShardReport)>,
    planned: Option<&[JobRef]>,
    problems: &mut Vec<Problem>,
) -> CollectedShard {
    let Some((folder, report)) = found else {
        problems.push(Problem::Missing { shard: number });
        let jobs = planned.unwrap_or_default().iter();
        return CollectedShard {
            shard: number,
            report: None,
            dir: None,
            jobs: jobs.map(|job| (job.clone(), None)).collect(),
        };
    };
    if let Some(why) = &report.error {
        problems.push(Problem::Stopped {
            shard: number,
            why: why.clone(),
        });
    }
    if planned.is_none() && report.jobs.is_empty() {
        problems.push(Problem::NoJobs { shard: number });
    }
    let mut jobs = Vec::new();
    for job in planned.unwrap_or(&report.jobs) {
        let result = match result_of(folder, number, job) {
            Ok(result) => Some(result),
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        jobs.push((job.clone(), result));
    }
    CollectedShard {
        shard: number,
        report: Some(report.clone()),
        dir: Some(folder.path.clone()),
        jobs,
    }
}

fn result_of(folder: &Folder, shard: usize, job: &JobRef) -> Result<JobResult, Problem> {
    let missing = Err(BadFile::Missing);
    match folder.results.get(&job.key).unwrap_or(&missing) {
        Ok(result) if result.job == job.id && result.key == job.key => Ok(result.clone()),
        Ok(result) => Err(Problem::OtherJob {
            shard,
            job: job.id.clone(),
            found: result.job.clone(),
        }),
        Err(bad) => Err(Problem::NoResult {
            shard,
            job: job.id.clone(),
            bad: bad.clone(),
        }),
    }
}
