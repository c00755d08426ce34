//! The trees of a proof's kernels, and what else its result depends on.

use std::collections::BTreeMap;

use crate::programs::Programs;
use kdk_core::failure::Failure;
use kdk_core::store::Inputs;
use kdk_core::workspace::workspace;
use kdk_series::applied::AppliedSeries;
use kdk_series::base::apply::{self, Change};
use kdk_series::base::repo;
use kdk_series::format_patch::patch_id;
use kdk_series::load::Loaded;

/// What proves a series, by what goes into it.
#[derive(Debug)]
pub struct Trees {
    /// Id of the tree with all patches.
    pub whole: String,
    /// Id of the tree without a patch and what needs it, by its id.
    pub without: BTreeMap<String, String>,
    /// Id of the tree with the first patches, from none to all.
    pub steps: Vec<String>,
    /// `git patch-id --stable`, by the patch's id.
    pub patch_ids: BTreeMap<String, String>,
    /// What runs in the guest, and the kernel's configuration.
    programs: Programs,
}

/// Makes the commits of all kernels of a proof and looks at their trees.
///
/// # Errors
/// A patch does not apply, or one cannot be left out alone.
pub fn trees(applied: &AppliedSeries<'_>) -> Result<Trees, Failure> {
    let (series, git) = (applied.series, applied.git());
    let tree = |commit: &str| repo::tree_of(git, commit);
    let changes = series.changes()?;
    let mut without = BTreeMap::new();
    for id in series.ids() {
        let left = series.clone().without(std::slice::from_ref(&id))?.ids();
        let changes: Vec<Change> = changes
            .iter()
            .filter(|change| left.contains(&change.id))
            .cloned()
            .collect();
        let commit = apply::commit(git, applied.start(), &changes)
            .map_err(|failure| cannot_leave_out(&id, &failure))?;
        without.insert(id, tree(&commit)?);
    }
    let mut steps = vec![tree(applied.start())?];
    for commit in &applied.commits {
        steps.push(tree(commit)?);
    }
    let mut patch_ids = BTreeMap::new();
    for change in &changes {
        patch_ids.insert(change.id.clone(), patch_id(&change.diff)?);
    }
    Ok(Trees {
        whole: tree(applied.tip())?,
        without,
        steps,
        patch_ids,
        programs: Programs::read(workspace())?,
    })
}

fn cannot_leave_out(id: &str, failure: &Failure) -> Failure {
    Failure::usage(format!("leave the patch `{id}` out"), failure.in_one_line()).help(format!(
        "a patch that does not apply without `{id}` needs it: say so in its `needs`"
    ))
}

impl Trees {
    /// Digest of all that the tests `patterns` of a kernel with the tree
    /// `tree` depend on; `more` is what else is asked.
    pub fn key(&self, series: &Loaded, tree: &str, patterns: &[String], more: &str) -> String {
        let mut inputs = Inputs::new("proof", series.name());
        inputs.digest("whole", &self.whole);
        inputs.digest("tree", tree);
        inputs.digest("programs", self.programs.digest(patterns));
        inputs.bytes("tests", patterns.join("\n"));
        inputs.bytes("more", more);
        inputs.key()
    }
}
