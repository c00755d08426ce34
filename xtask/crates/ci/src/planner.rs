//! Plans the jobs of a revision: reads the series, the matrix and the results,
//! and decides what runs.

use crate::import;
use crate::job::Work;
use crate::keys::{Keyed, keyed};
use crate::matrix::{Depth, Matrix};
use crate::revision::{Revision, short};
use crate::schedule::{self, Earlier, Schedule};
use crate::store::CiStore;
use crate::survey::{self, Survey};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::base::record;
use kdk_series::load::{self, Loaded};
use kdk_suites::Suites;

/// What to plan.
#[derive(Debug, Clone)]
pub struct PlanRequest {
    /// The bases; none for those of the matrix that have been added.
    pub bases: Vec<String>,
    /// A commit of the series' repository: what has not changed since does not
    /// run.
    pub since: Option<String>,
    /// How much is run.
    pub depth: Depth,
    /// Whether builds are confined.
    pub sandbox: bool,
}

/// The plan for one base.
pub struct Planned {
    /// The series that is planned.
    pub series: Loaded,
    /// The jobs, and what is decided about them.
    pub schedule: Schedule,
    /// The revision that results are compared with.
    pub previous: Option<Revision>,
    /// Returns the keys of work on the same series.
    survey: Survey,
    depth: Depth,
}

impl Planned {
    /// Returns the key of the result of `work` on the same revision; none if it
    /// has none.
    ///
    /// # Errors
    /// A digest cannot be computed.
    pub fn key(&self, work: &Work) -> Result<Option<String>, Failure> {
        let Survey {
            facts, programs, ..
        } = &self.survey;
        Ok(keyed(work, facts, programs, self.depth)?.map(|keys| keys.key))
    }
}

/// Returns the bases to run on: those that are named, else those of the matrix
/// that have been added.
///
/// # Errors
/// A named base is not in the matrix or was not added, or none was.
pub fn bases(cx: &Context, matrix: &Matrix, named: &[String]) -> Result<Vec<String>, Failure> {
    if !named.is_empty() {
        for name in named {
            if !matrix.bases.contains(name) {
                return Err(Failure::usage(
                    format!("run CI on {name}"),
                    "ci/matrix.yaml does not have this base",
                )
                .help(format!("its bases are {}", matrix.bases.join(", "))));
            }
            record::find(&cx.cache, name)?;
        }
        return Ok(named.to_vec());
    }
    let added = record::all(&cx.cache)?;
    let is_added = |name: &&String| added.iter().any(|record| record.name == **name);
    let (here, missing): (Vec<&String>, Vec<&String>) = matrix.bases.iter().partition(is_added);
    let Some(first) = matrix.bases.first().filter(|_| here.is_empty()) else {
        for name in missing {
            let text = format!("{name} is skipped: it has not been added");
            cx.terminal.line(&text);
        }
        return Ok(here.into_iter().cloned().collect());
    };
    Err(
        Failure::usage("run CI", "no base of ci/matrix.yaml has been added").help(format!(
            "add one: `cargo xtask base add {first}`, or name a checkout with --src"
        )),
    )
}

/// Plans the jobs on the base `base`.
///
/// # Errors
/// The series or the commit to compare with cannot be read.
pub fn plan(
    cx: &Context,
    matrix: &Matrix,
    suites: &Suites,
    base: &str,
    request: &PlanRequest,
) -> Result<Planned, Failure> {
    let store = CiStore::open(&cx.cache, base);
    let series = load::must(base)?;
    let survey = survey::survey(cx, &series, suites, request.sandbox)?;
    let works = matrix.works(base, request.depth, &survey.contents);
    let mut all = Vec::new();
    for work in works {
        if let Some(keys) = keyed(&work, &survey.facts, &survey.programs, request.depth)? {
            all.push((work, keys));
        }
    }
    let mut revision = survey.revision.clone();
    let earlier = match &request.since {
        Some(rev) => named(cx, base, rev, suites, &all, request)?,
        None => last(&store, &revision)?,
    };
    let previous = match earlier.revision.clone() {
        // A commit with the same patches is no revision to compare with.
        Some(same) if same.id == revision.id => last(&store, &revision)?.revision,
        other => other,
    };
    revision.previous = previous.as_ref().map(|revision| revision.id.clone());
    let tree = survey.facts.trees.last();
    if !request.sandbox {
        import::proofs(cx, &store, &series, (&revision, tree), &all)?;
    }
    let results = store.results();
    let history = History::new(&store)?;
    let expected = |job: &str| history.expected(job);
    let stored = |key: &str| results.get(key);
    let schedule = schedule::decide(revision, all, &earlier, &stored, &expected)?;
    Ok(Planned {
        series,
        schedule,
        previous,
        survey,
        depth: request.depth,
    })
}

/// Returns the revision to compare with that the user named.
fn named(
    cx: &Context,
    base: &str,
    rev: &str,
    suites: &Suites,
    now: &[(Work, Keyed)],
    request: &PlanRequest,
) -> Result<Earlier, Failure> {
    let mut old = survey::survey_at(cx, base, rev, suites)?;
    old.facts.is_confined = request.sandbox;
    let mut revision = old.revision;
    for (work, _) in now {
        if let Some(keys) = keyed(work, &old.facts, &old.programs, request.depth)? {
            let id = work.id(base);
            revision.jobs.insert(id.clone(), keys.key);
            revision.inputs.insert(id, keys.inputs);
        }
    }
    Ok(Earlier {
        name: rev.to_owned(),
        revision: Some(revision),
        is_named: true,
    })
}

/// Returns the last revision of the store that is not `now`. A revision that
/// was planned before keeps the one that it was compared with.
fn last(store: &CiStore, now: &Revision) -> Result<Earlier, Failure> {
    let known = store.revision(&now.id)?.and_then(|known| known.previous);
    let known = known.filter(|previous| *previous != now.id);
    let before = match known {
        Some(previous) => store.revision(&previous)?,
        None => None,
    };
    let revision = match before {
        Some(before) => Some(before),
        None => {
            let mut all = store.revisions()?;
            let at = all.iter().position(|one| one.id == now.id);
            all.truncate(at.unwrap_or(all.len()));
            all.pop()
        }
    };
    let name = revision.as_ref().map(|one| short(&one.id).to_owned());
    Ok(Earlier {
        name: name.map(|id| format!("revision {id}")).unwrap_or_default(),
        revision,
        is_named: false,
    })
}

/// How long jobs took for earlier revisions.
struct History<'a> {
    store: &'a CiStore,
    /// The last revision first.
    revisions: Vec<Revision>,
}

impl<'a> History<'a> {
    fn new(store: &'a CiStore) -> Result<Self, Failure> {
        let mut revisions = store.revisions()?;
        revisions.reverse();
        Ok(Self { store, revisions })
    }

    /// Returns how long the job `id` took the last time that it ended.
    fn expected(&self, id: &str) -> Option<u64> {
        let keys = self.revisions.iter().filter_map(|one| one.jobs.get(id));
        let results = self.store.results();
        // A result that cannot be read is reported when it is needed.
        let ended = keys.filter_map(|key| results.get(key).ok().flatten());
        // One that was taken over has no time.
        ended
            .filter(|one| one.is_final() && one.ms > 0)
            .map(|one| one.ms)
            .next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::revision;
    use kdk_core::cache_dir::CacheDir;

    #[test]
    fn a_revision_is_never_compared_with_itself() {
        let dir = tempfile::tempdir().unwrap();
        let interrupt = kdk_vm::interrupt::Interrupt::new();
        let cache = CacheDir::at(dir.path().to_owned(), &interrupt).unwrap();
        let store = CiStore::open(&cache, "b");
        let (mut first, mut now) = (revision("b", &["a"]), revision("b", &["a", "c"]));
        (first.began, now.began) = (1, 2);
        now.previous = Some(now.id.clone());
        store.put_revision(&first).unwrap();
        store.put_revision(&now).unwrap();
        let earlier = last(&store, &now).unwrap();
        assert_eq!(earlier.revision.unwrap().id, first.id);
        now.previous = Some(first.id.clone());
        store.put_revision(&now).unwrap();
        assert_eq!(last(&store, &now).unwrap().revision.unwrap().id, first.id);
    }
}
