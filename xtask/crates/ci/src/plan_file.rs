//! The plan file: the jobs of every shard. One step of a pipeline writes it, and
//! all others read it, so that shards with different caches cannot disagree.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cache_key::CacheKey;
use crate::job::Job;
use crate::revision::Revision;
use crate::shards::Shard;
use crate::versioned::{self, BadFile};
use kdk_core::failure::Failure;

/// The version of the format that is written and read.
pub const SCHEMA: u32 = 1;

/// The most shards of a plan: GitHub runs at most this many jobs of a matrix.
pub const MOST_SHARDS: usize = 256;

/// The ids of revisions, by base.
pub type Revisions = BTreeMap<String, String>;

/// The content of a plan file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFile {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The revisions that are tested, one of each base.
    pub revisions: Vec<Revision>,
    /// What names the caches of the builds.
    pub cache: CacheKey,
    /// Whether the shards confine their builds.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sandbox: bool,
    /// The shards, in the order of their numbers.
    pub shards: Vec<PlannedShard>,
    /// The jobs that do not run.
    pub valid: Vec<ValidJob>,
}

/// The jobs of one shard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedShard {
    /// The number of the shard, from 1.
    pub shard: usize,
    /// How long its jobs are expected to take, in milliseconds.
    pub expected_ms: u64,
    /// The jobs of the shard.
    pub jobs: Vec<Job>,
}

/// A job that does not run: it has a valid result, or is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValidJob {
    /// The id of the job.
    pub id: String,
    /// The key of its result.
    pub key: String,
    /// Why it does not run: `valid: ..` or `unchanged ..`.
    pub why: String,
}

impl PlanFile {
    /// Returns the plan of `shards` for `revisions`.
    pub fn new(
        revisions: Vec<Revision>,
        cache: CacheKey,
        shards: Vec<Shard>,
        valid: Vec<ValidJob>,
    ) -> Self {
        let planned = |(at, shard): (usize, Shard)| PlannedShard {
            shard: at + 1,
            expected_ms: shard.expected_ms,
            jobs: shard.jobs,
        };
        Self {
            schema: SCHEMA,
            revisions,
            cache,
            sandbox: false,
            shards: shards.into_iter().enumerate().map(planned).collect(),
            valid,
        }
    }

    /// Returns the ids of the revisions, by base.
    pub fn ids(&self) -> Revisions {
        let revisions = self.revisions.iter();
        revisions
            .map(|one| (one.base.clone(), one.id.clone()))
            .collect()
    }

    /// Reads the plan file `path`.
    ///
    /// # Errors
    /// It does not exist, is truncated, or has another version of the format.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let plan = versioned::read(path, SCHEMA).and_then(Self::checked);
        plan.map_err(|bad| {
            let failure = bad.failure("the plan", path);
            match failure.advice() {
                Some(_) => failure,
                None => {
                    failure.help("write it with `cargo xtask ci plan --format json --out FILE`")
                }
            }
        })
    }

    /// Refuses a plan whose shards are not numbered in their order: its readers
    /// would disagree about which jobs a shard has.
    fn checked(self) -> Result<Self, BadFile> {
        let numbers = self.shards.iter().map(|shard| shard.shard);
        match numbers.eq(1..=self.shards.len()) {
            true => Ok(self),
            false => Err(BadFile::Malformed(
                "its shards are not numbered from 1 in their order".into(),
            )),
        }
    }

    /// Returns the plan as JSON.
    ///
    /// # Errors
    /// serde fails; there is no value for which it does.
    pub fn text(&self) -> Result<String, Failure> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| Failure::infra("write the plan", error.to_string()))?;
        Ok(text + "\n")
    }

    /// Returns the jobs of the shard `number` of `count`.
    ///
    /// # Errors
    /// The plan has another number of shards.
    pub fn shard(&self, number: usize, count: usize) -> Result<&PlannedShard, Failure> {
        let planned = self.shards.len();
        let shard = self.shards.iter().find(|shard| shard.shard == number);
        match shard {
            Some(shard) if planned == count => Ok(shard),
            _ => Err(Failure::usage(
                format!("run shard {number}/{count}"),
                format!("the plan has {planned} shards"),
            )
            .help("write the plan again with `--shards`, with the number that the pipeline uses")),
        }
    }

    /// Fails if the plan is not for the revisions `here`.
    ///
    /// # Errors
    /// [`Class::Usage`](kdk_core::failure::Class::Usage), with both revisions.
    pub fn check_revisions(&self, here: &Revisions) -> Result<(), Failure> {
        let ids = self.ids();
        let Some((base, planned)) = ids.iter().find(|(base, id)| here.get(*base) != Some(id))
        else {
            return Ok(());
        };
        let here = here.get(base).map_or("none", String::as_str);
        Err(Failure::usage(
            "follow the plan",
            format!("it is for the revision {planned} of {base}, and this checkout has {here}"),
        )
        .help(
            "check out the commit that was planned, on the same commit of the base, or plan again",
        ))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroUsize;

    use super::*;
    use crate::fixtures::revision;
    use crate::job::Work;
    use crate::shards::balance;
    use kdk_core::failure::rendered;

    fn plan() -> PlanFile {
        let lint = |patch: &str| {
            let work = Work::Lint {
                patch: patch.into(),
            };
            Job::new("main", work, format!("key-{patch}"), None)
        };
        let jobs = [lint("a"), lint("b")];
        let valid = ValidJob {
            id: "main/lint/c".into(),
            key: "key-c".into(),
            why: "valid: passed for revision r0".into(),
        };
        let revision = Revision {
            id: "r1".into(),
            ..revision("main", &["a", "b", "c"])
        };
        PlanFile::new(
            vec![revision],
            CacheKey::default(),
            balance(&jobs, NonZeroUsize::new(2).unwrap()),
            vec![valid],
        )
    }

    #[test]
    fn a_plan_that_cannot_be_used_has_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let good = plan().text().unwrap();
        let table = [
            ("missing", None),
            ("truncated", Some(good[..good.len() / 2].to_owned())),
            ("empty", Some(String::new())),
            ("other", Some("{\"schema\": 1}".to_owned())),
            ("older", Some("{\"schema\": 0}".to_owned())),
            ("newer", Some("{\"schema\": 9}".to_owned())),
        ];
        let mut texts = Vec::new();
        let mut shuffled = plan();
        shuffled.shards.reverse();
        let shuffled = ("shuffled", Some(shuffled.text().unwrap()));
        for (name, text) in table.into_iter().chain([shuffled]) {
            let path = dir.path().join(name);
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            let failure = PlanFile::read(&path).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{name}");
            texts.push(rendered(&failure).replace(&*dir.path().to_string_lossy(), "DIR"));
        }
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn a_plan_is_for_its_shards_and_its_revisions_only() {
        let plan = plan();
        let mut texts = Vec::new();
        for (number, count) in [(3, 3), (1, 3), (0, 2)] {
            texts.push(rendered(&plan.shard(number, count).unwrap_err()));
        }
        let other = Revisions::from([("main".into(), "r2".into())]);
        for here in [other, Revisions::new()] {
            texts.push(rendered(&plan.check_revisions(&here).unwrap_err()));
        }
        insta::assert_snapshot!(texts.join("\n"));
        assert_eq!(plan.shard(2, 2).unwrap().jobs[0].id, "main/lint/b");
        plan.check_revisions(&plan.ids()).unwrap();
    }

    #[test]
    fn a_plan_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plan.json");
        fs::write(&path, plan().text().unwrap()).unwrap();
        assert_eq!(PlanFile::read(&path).unwrap(), plan());
        insta::assert_snapshot!(plan().text().unwrap());
    }
}
