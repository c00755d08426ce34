//! The trees of a series' kernels, and the keys of the results on them.

use std::collections::BTreeMap;
use std::path::Path;

use crate::guest_sources::{self, GuestSources};
use crate::key::{self, KernelInputs, Key, Kind};
use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;
use kdk_doctor::tools;
use kdk_guest::build::guest::BuildTarget;
use kdk_guest::build::kmod::c::CODE_FLAGS;
use kdk_guest::build::{legacy, make_py};
use kdk_series::applied::AppliedSeries;
use kdk_series::base::apply::{self, Change};
use kdk_series::base::definition::{Builder, Definition};
use kdk_series::base::repo;
use kdk_series::format_patch::patch_id;
use kdk_series::load::Loaded;
use kdk_series::manifest::Without;

/// Everything that the results of a series depend on.
#[derive(Debug)]
pub struct Trees {
    /// Id of the tree with all patches.
    pub all: String,
    /// Id of the tree without a patch and the patches that need it, by the
    /// patch's id.
    pub without: BTreeMap<String, String>,
    /// Ids of the trees with the first patches, from none to all.
    pub prefixes: Vec<String>,
    /// `git patch-id --stable`, by the patch's id.
    pub patch_ids: BTreeMap<String, String>,
    /// The sources of the guest's programs.
    sources: GuestSources,
    /// How the kernels are built and booted.
    kernel: KernelInputs,
    /// The numbers of virtual CPUs that the caller asks for; none for those of
    /// the manifests and of the tests.
    pub cpus: Vec<u32>,
}

/// One result, before the key is computed.
#[derive(Debug, Clone, Copy)]
pub struct Tested<'a> {
    /// What the result is.
    pub kind: Kind,
    /// Id of the tree that is tested.
    pub tree: &'a str,
    /// Patterns of the tests.
    pub patterns: &'a [String],
    /// The number of virtual CPUs, if a manifest sets it.
    pub cpus: Option<u32>,
    /// How the tests of a proof must end without the patch.
    pub expect_without: Option<Without>,
    /// Whether the kernel boots directly in any case.
    pub direct_boot: bool,
}

/// Commits the trees of all kernels of a series, and returns their ids.
///
/// # Errors
/// A patch does not apply, or another patch needs it and does not say so.
pub fn trees(applied: &AppliedSeries<'_>) -> Result<Trees, Failure> {
    let (series, git) = (applied.series, applied.git());
    let definition = &applied.base.definition;
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
            .map_err(|failure| cannot_exclude(&id, &failure))?;
        without.insert(id, tree(&commit)?);
    }
    let mut prefixes = vec![tree(applied.start())?];
    for commit in &applied.commits {
        prefixes.push(tree(commit)?);
    }
    let mut patch_ids = BTreeMap::new();
    for change in &changes {
        patch_ids.insert(change.id.clone(), patch_id(&change.diff)?);
    }
    Ok(Trees {
        all: tree(applied.tip())?,
        without,
        prefixes,
        patch_ids,
        sources: guest_sources::of_this_repository()?,
        kernel: kernel_inputs(workspace(), definition, &definition.kernel.config)?,
        cpus: Vec::new(),
    })
}

/// Returns how kernels with the configuration `config` of the base `definition`
/// are built and booted. `root` is the repository with the configuration.
fn kernel_inputs(
    root: &Path,
    definition: &Definition,
    config: &str,
) -> Result<KernelInputs, Failure> {
    let (recipe, cflags) = match definition.builder {
        Builder::MakePy => (make_py::RECIPE, &[][..]),
        Builder::Legacy => (legacy::RECIPE, &legacy::CFLAGS[..]),
    };
    let options = [
        BuildTarget::Module.options(),
        BuildTarget::Userland.options(),
        &[CODE_FLAGS],
        cflags,
    ];
    Ok(KernelInputs {
        builder: definition.builder,
        recipe,
        options: options.concat(),
        compilers: tools::compiler_versions(),
        config: guest_sources::kernel_config(root, config)?,
        boot: definition.boot.clone(),
    })
}

/// Returns a digest of how kernels with the configuration `config` of the base
/// `definition` are built and booted. `root` is the repository with the
/// configuration.
///
/// # Errors
/// The configuration cannot be read.
pub fn kernel_digest(
    root: &Path,
    definition: &Definition,
    config: &str,
) -> Result<String, Failure> {
    key::digest(&kernel_inputs(root, definition, config)?)
}

/// What results on a tree depend on, beside the tree: the guest's programs, and
/// how kernels are built and booted.
#[derive(Debug)]
pub struct GuestInputs {
    sources: GuestSources,
    kernel: KernelInputs,
}

impl GuestInputs {
    /// Returns the inputs of guests of the base `definition`.
    ///
    /// # Errors
    /// The sources of the guest's programs cannot be read.
    pub fn of(definition: &Definition) -> Result<Self, Failure> {
        Ok(Self {
            sources: guest_sources::of_this_repository()?,
            kernel: kernel_inputs(workspace(), definition, &definition.kernel.config)?,
        })
    }

    /// Returns the key of the outcomes of tests on the tree `tree`. `patterns`
    /// select the tests, and `tests` is all that identifies them.
    ///
    /// # Errors
    /// The host failed.
    pub fn key(
        &self,
        tree: &str,
        (patterns, tests): (&[String], &[String]),
        cpus: &[u32],
    ) -> Result<String, Failure> {
        let key = Key {
            kind: Kind::Commit,
            series: "",
            all: tree,
            tree,
            programs: &self.sources.digest(patterns)?,
            kernel: &self.kernel,
            tests,
            cpus,
            expect_without: None,
            direct_boot: false,
        };
        key.digest()
    }
}

/// Returns the numbers of virtual CPUs that tests run on, where a manifest sets
/// `own` and the caller asks for `asked`; none for those that each test
/// declares.
pub fn effective_cpus(own: Option<u32>, asked: &[u32]) -> Vec<u32> {
    match asked {
        [] => own.into_iter().collect(),
        asked => asked.to_vec(),
    }
}

fn cannot_exclude(id: &str, failure: &Failure) -> Failure {
    Failure::usage(format!("exclude the patch `{id}`"), failure.in_one_line()).help(format!(
        "add `{id}` to the `needs` of the patch that does not apply without it"
    ))
}

impl Trees {
    /// Returns a digest of all that the results of tests depend on that
    /// `patterns` select, on any kernel of the series.
    ///
    /// # Errors
    /// The host failed.
    pub fn inputs(&self, patterns: &[String]) -> Result<String, Failure> {
        key::digest(&(
            &self.all,
            &self.without,
            &self.prefixes,
            &self.kernel,
            self.sources.digest(patterns)?,
        ))
    }

    /// Returns the key of a result.
    ///
    /// # Errors
    /// The host failed.
    pub fn key(&self, series: &Loaded, tested: &Tested<'_>) -> Result<String, Failure> {
        let key = Key {
            kind: tested.kind,
            series: series.name(),
            all: &self.all,
            tree: tested.tree,
            programs: &self.sources.digest(tested.patterns)?,
            kernel: &self.kernel,
            tests: tested.patterns,
            cpus: &effective_cpus(tested.cpus, &self.cpus),
            expect_without: tested.expect_without,
            direct_boot: tested.direct_boot,
        };
        key.digest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_cpus_that_the_tests_run_on() {
        for (own, asked, want) in [
            (None, &[][..], &[][..]),
            (Some(2), &[], &[2]),
            (None, &[4, 1], &[4, 1]),
            (Some(2), &[4], &[4]),
        ] {
            assert_eq!(effective_cpus(own, asked), want);
        }
    }
}
