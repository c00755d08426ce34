//! Jobs, results and revisions for tests.

use crate::job::{Job, Work};
use crate::point::Point;
use crate::result::{JobResult, JobVerdict};
use crate::revision::{self, PatchRef, Revision};

/// Returns the lint job of the patch `patch` on the base `b`.
pub fn job(patch: &str, key: &str) -> Job {
    let work = Work::Lint {
        patch: patch.into(),
    };
    Job::new("b", work, key.into(), None)
}

/// Returns a result of `job` of the host `h`.
pub fn result(job: &Job, verdict: JobVerdict) -> JobResult {
    JobResult {
        verdict,
        began: 1,
        ms: 10,
        host: "h".into(),
        ..JobResult::begin(job, "r")
    }
}

/// Returns the revision of the patches `patches` on the base `base`. The patch
/// id of a patch is its id.
pub fn revision(base: &str, patches: &[&str]) -> Revision {
    let reference = |id: &&str| PatchRef {
        id: (*id).to_owned(),
        patch_id: (*id).to_owned(),
        subject: format!("kern: Change {id}"),
    };
    Revision {
        schema: revision::SCHEMA,
        id: revision::id(base, "tree", patches.iter().copied()),
        base: base.to_owned(),
        tree: "tree".into(),
        number: 1,
        commit: None,
        began: 1,
        previous: None,
        patches: patches.iter().map(reference).collect(),
        jobs: Default::default(),
        unchanged: Default::default(),
        inputs: Default::default(),
    }
}

/// Returns the revision of the patches `patches` on the base `b`, without jobs.
pub fn point(patches: &[&str]) -> Point {
    Point {
        revision: revision("b", patches),
        results: Default::default(),
        left_out: 0,
    }
}

/// Adds the job `id` to a revision, with a result unless it has not run.
pub fn add<'a>(
    point: &'a mut Point,
    id: &str,
    verdict: Option<JobVerdict>,
) -> Option<&'a mut JobResult> {
    point
        .revision
        .jobs
        .insert(id.into(), format!("key of {id}"));
    let one = JobResult {
        job: id.into(),
        key: format!("key of {id}"),
        revision: point.revision.id.clone(),
        ..result(&job("a", "k"), verdict?)
    };
    point.results.insert(id.into(), one);
    point.results.get_mut(id)
}
