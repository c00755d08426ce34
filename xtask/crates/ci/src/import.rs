//! Takes over the proofs that `cargo xtask prove` has stored beside the series.

use crate::job::{Job, Work};
use crate::keys::Keyed;
use crate::result::{JobResult, JobVerdict};
use crate::revision::Revision;
use crate::store::CiStore;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_prove::trees::{self, Trees};
use kdk_series::applied::apply_series;
use kdk_series::load::Loaded;
use kdk_series::results::{Proof, Results};

/// Stores a result for each proof job of `all` that has none, if the series'
/// own results have a valid proof. `tree` is the id of the tree with the complete
/// series: proofs on another one are not valid, which is seen before the trees
/// without each patch are made.
///
/// # Errors
/// The results beside the series cannot be read, or the host failed.
pub fn proofs(
    cx: &Context,
    store: &CiStore,
    series: &Loaded,
    (revision, tree): (&Revision, Option<&String>),
    all: &[(Work, Keyed)],
) -> Result<(), Failure> {
    let proven = Results::read(&series.dir)?.proofs;
    let results = store.results();
    let mut trees: Option<Trees> = None;
    for (work, keys) in all {
        let Work::Prove { patch } = work else {
            continue;
        };
        let is_current = |proof: &&Proof| proof.holds() && Some(&proof.tree) == tree;
        let Some(proof) = proven.get(patch).filter(is_current) else {
            continue;
        };
        if results
            .get(&keys.key)?
            .is_some_and(|known| known.is_final())
        {
            continue;
        }
        let trees = match &mut trees {
            Some(trees) => trees,
            none => none.insert(trees_of(cx, series)?),
        };
        if kdk_prove::key(series, trees, series.patch(patch)?)? == proof.key {
            results.put(&imported(revision, work.clone(), keys, proof))?;
        }
    }
    Ok(())
}

fn trees_of(cx: &Context, series: &Loaded) -> Result<Trees, Failure> {
    let applied = apply_series(&cx.cache, series, &|text| cx.terminal.line(&text))?;
    trees::trees(&applied)
}

/// Returns the result that a proof stands for.
fn imported(revision: &Revision, work: Work, keys: &Keyed, proof: &Proof) -> JobResult {
    let mut job = Job::new(&revision.base, work, keys.key.clone(), None);
    job.also.clone_from(&keys.also);
    let mut result = JobResult::begin(&job, &revision.id);
    result.verdict = JobVerdict::Passed;
    result.counts = [("PROVEN".to_owned(), proof.tests.len())].into();
    result
}
