//! Reads what the keys of a series' jobs are made from: the series, its trees,
//! the guest's programs, the ways to build kernels.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::kdk_tree::KdkTree;
use crate::keys::{Facts, MutantFacts, PatchFacts, Programs};
use crate::matrix::Contents;
use crate::revision::{self, PatchRef, Revision};
use kdk_core::clock::now;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;
use kdk_core::yaml;
use kdk_guest::build::digest::MUTANTS;
use kdk_guest::request::KernelChoice;
use kdk_prove::guest_sources::GuestSources;
use kdk_prove::{mutants, trees};
use kdk_series::applied::{AppliedSeries, apply_series, lock_base};
use kdk_series::base::definition::{self, Definition};
use kdk_series::base::repo;
use kdk_series::diff;
use kdk_series::format_patch::patch_id;
use kdk_series::history::SeriesRepo;
use kdk_series::load::{self, Loaded};
use kdk_series::manifest::{Class, Patch};
use kdk_series::{lint, mail};
use kdk_suites::Suites;

/// Stands for what an earlier commit has if it cannot be computed: it is unlike
/// all others.
const UNKNOWN: &str = "unknown";

/// A series with everything that the keys of its jobs are made from.
pub struct Survey {
    /// What the keys are made from, beside the programs.
    pub facts: Facts,
    /// What the matrix selects from.
    pub contents: Contents,
    /// The programs that its tests depend on.
    pub programs: SuitePrograms,
    /// The revision, without jobs.
    pub revision: Revision,
}

/// The programs of the test suites.
pub struct SuitePrograms {
    /// None if the sources cannot be read: then every result depends on all.
    sources: Option<GuestSources>,
    known: RefCell<BTreeMap<Vec<String>, String>>,
}

impl SuitePrograms {
    /// Reads the programs of the repository at `root`.
    ///
    /// # Errors
    /// A source cannot be read.
    pub fn read(root: &Path, suites: &Suites) -> Result<Self, Failure> {
        Ok(Self {
            sources: Some(GuestSources::read(root, suites.clone())?),
            known: RefCell::default(),
        })
    }

    /// Returns programs that are unlike all others.
    fn unknown() -> Self {
        Self {
            sources: None,
            known: RefCell::default(),
        }
    }
}

impl Programs for SuitePrograms {
    fn digest(&self, patterns: &[String]) -> Result<String, Failure> {
        let Some(sources) = &self.sources else {
            return Ok(UNKNOWN.into());
        };
        if let Some(known) = self.known.borrow().get(patterns) {
            return Ok(known.clone());
        }
        let digest = sources.digest(patterns)?;
        let mut known = self.known.borrow_mut();
        known.insert(patterns.to_vec(), digest.clone());
        Ok(digest)
    }
}

/// Surveys `series`, applied to its base, for builds that are confined or not.
///
/// # Errors
/// The series does not apply, or a source of a key cannot be read.
pub fn survey(
    cx: &Context,
    series: &Loaded,
    suites: &Suites,
    is_confined: bool,
) -> Result<Survey, Failure> {
    let programs = SuitePrograms::read(workspace(), suites)?;
    let applied = apply_series(&cx.cache, series, &|text| cx.terminal.line(&text))?;
    let trees = tree_ids(&applied)?;
    let definition = &applied.base.definition;
    let kdk = KdkTree::now();
    let mut survey = of_files(series, suites, (programs, &kdk), definition, trees)?;
    survey.facts.is_confined = is_confined;
    survey.revision.commit = commit_of(series)?;
    Ok(survey)
}

/// Returns the id of the revision that `series` is now.
///
/// # Errors
/// The series is for another base, or a file cannot be read.
pub fn revision_id(cx: &Context, series: &Loaded) -> Result<String, Failure> {
    let base = lock_base(&cx.cache, series.name(), &|text| cx.terminal.line(&text))?;
    series.check_base(base.resolved.osreldate)?;
    let tree = repo::tree_of(&base.resolved.git, &base.resolved.commit)?;
    let changes = series.changes()?;
    let ids = changes.iter().map(|change| patch_id(&change.diff));
    let ids = ids.collect::<Result<Vec<String>, Failure>>()?;
    let ids = ids.iter().map(String::as_str);
    Ok(revision::id(series.name(), &tree, ids))
}

/// Surveys the series `name` as the git revision `rev` of its repository has
/// it, on the base as it is now.
///
/// # Errors
/// There is no such commit, HEAD does not descend from it in a straight line,
/// or the series cannot be read.
pub fn survey_at(cx: &Context, name: &str, rev: &str, suites: &Suites) -> Result<Survey, Failure> {
    let repo = SeriesRepo::open(&load::folder())?;
    let commit = repo.commit(rev)?;
    repo.check_line(rev, &commit)?;
    let dir = tempfile::tempdir()
        .map_err(|error| Failure::io("read an older series", &std::env::temp_dir(), error))?;
    let series = repo.series_at(rev, &commit, name, &dir.path().join("patches"))?;
    // Another repository has no kdk: there the series alone is compared.
    let (programs, kdk) = match repo.contains(workspace()) {
        true => {
            let root = dir.path().join("tree");
            repo.export(&commit, &root)?;
            let programs = programs_at(&root);
            (programs, KdkTree::earlier(root, workspace())?)
        }
        false => (SuitePrograms::read(workspace(), suites)?, KdkTree::now()),
    };
    let definition = definition::find(name)?;
    // It may be for an older base: then only what needs no tree has a key.
    let applied = apply_series(&cx.cache, &series, &|text| cx.terminal.line(&text));
    let trees = match &applied {
        Ok(applied) => tree_ids(applied)?,
        Err(_) => Vec::new(),
    };
    let mut survey = of_files(&series, suites, (programs, &kdk), &definition, trees)?;
    survey.revision.commit = Some(commit);
    Ok(survey)
}

/// Reads the programs of the earlier repository at `root`.
fn programs_at(root: &Path) -> SuitePrograms {
    let read = Suites::read(root)
        .ok()
        .and_then(|own| GuestSources::read(root, own).ok());
    SuitePrograms {
        sources: read,
        ..SuitePrograms::unknown()
    }
}

/// Returns the ids of the trees with the first patches, from none to all.
fn tree_ids(applied: &AppliedSeries<'_>) -> Result<Vec<String>, Failure> {
    let commits = [applied.start()].into_iter();
    let all = commits.chain(applied.commits.iter().map(String::as_str));
    all.map(|commit| repo::tree_of(applied.git(), commit))
        .collect()
}

/// Surveys the files of a series whose trees are `trees`, with the programs and
/// the kdk of one commit.
fn of_files(
    series: &Loaded,
    suites: &Suites,
    (programs, kdk): (SuitePrograms, &KdkTree),
    definition: &Definition,
    trees: Vec<String>,
) -> Result<Survey, Failure> {
    let name = series.name();
    let manifest: Value = yaml::parse(load::MANIFEST, &series.text)?;
    let (mut patches, mut references) = (Vec::new(), Vec::new());
    let changes = series.changes()?;
    for (n, (patch, change)) in series.manifest.patches.iter().zip(&changes).enumerate() {
        let entry = manifest["patches"][n].to_string();
        let facts = patch_facts(patch, &change.diff, &entry)?;
        let message = mail::parts(&patch.id, &change.diff)?.message;
        references.push(PatchRef {
            id: patch.id.clone(),
            patch_id: facts.patch_id.clone(),
            subject: message.lines().next().unwrap_or(&patch.id).to_owned(),
        });
        patches.push(facts);
    }
    let mut kernels = BTreeMap::new();
    for config in KernelChoice::NAMES {
        if let Some(file) = definition.kernel.named(config) {
            kernels.insert(config.to_owned(), kernel(kdk, definition, file)?);
        }
    }
    let mutants = mutants_of(&kdk.root, suites, name)?;
    let base_tree = trees.first().cloned().unwrap_or_default();
    let ids = references.iter().map(|patch| patch.patch_id.as_str());
    let revision = Revision {
        schema: revision::SCHEMA,
        id: revision::id(name, &base_tree, ids),
        base: name.to_owned(),
        tree: base_tree,
        number: series.manifest.series.revision,
        commit: None,
        began: now(),
        previous: None,
        patches: references,
        jobs: BTreeMap::new(),
        unchanged: BTreeSet::new(),
        inputs: BTreeMap::new(),
    };
    Ok(Survey {
        contents: Contents {
            patches: patches
                .iter()
                .map(|patch| (patch.id.clone(), !patch.tests.is_empty()))
                .collect(),
            suites: suites.iter().map(|suite| suite.name.clone()).collect(),
            mutated: mutants.keys().cloned().collect(),
        },
        facts: Facts {
            base: name.to_owned(),
            osreldate: series.manifest.base.osreldate,
            trees,
            patches,
            kernels,
            mutants,
            lint_rules: match kdk.has_same_lint {
                true => lint::RULES.to_string(),
                false => UNKNOWN.into(),
            },
            has_other_jobs: !kdk.has_same_jobs,
            is_confined: false,
        },
        programs,
        revision,
    })
}

/// Returns the digest of how a kernel configuration of a base is built and
/// booted.
fn kernel(kdk: &KdkTree, definition: &Definition, config: &str) -> Result<String, Failure> {
    let digest = |root: &Path| trees::kernel_digest(root, definition, config);
    match kdk.has_same_kernels {
        true if kdk.root == workspace() => digest(&kdk.root),
        // The commit may not have the configuration.
        true => Ok(digest(&kdk.root).unwrap_or_else(|_| UNKNOWN.into())),
        false => Ok(UNKNOWN.into()),
    }
}

fn patch_facts(patch: &Patch, diff: &[u8], entry: &str) -> Result<PatchFacts, Failure> {
    let check = serde_json::json!({
        "cpus": patch.check.cpus,
        "expect_without": patch.check.expect_without,
        "direct_boot": patch.class == Class::Enabling,
    });
    let files = diff::parse(diff).into_iter();
    let paths: BTreeSet<String> = files
        .flat_map(|file| [file.old, file.new])
        .flatten()
        .collect();
    Ok(PatchFacts {
        id: patch.id.clone(),
        patch_id: patch_id(diff)?,
        file: digest(diff),
        entry: digest(entry.as_bytes()),
        needs: patch.needs.clone(),
        files: paths,
        tests: patch.check.tests.clone(),
        check: digest(check.to_string().as_bytes()),
    })
}

fn digest(content: &[u8]) -> String {
    let mut digest = blake3::hash(content).to_hex().to_string();
    digest.truncate(32);
    digest
}

/// Returns the mutants of each suite that has some of the series `series` in the
/// repository at `root`.
fn mutants_of(
    root: &Path,
    suites: &Suites,
    series: &str,
) -> Result<BTreeMap<String, MutantFacts>, Failure> {
    let mut all = BTreeMap::new();
    let folder = root.join(kdk_suites::FOLDER);
    // A commit may have manifests of another schema: those mutants may depend on
    // all tests.
    let described = mutants::all(&folder, series).unwrap_or_default();
    for suite in suites.with_program() {
        let dir = folder.join(&suite.name).join(MUTANTS).join(series);
        if !dir.is_dir() {
            continue;
        }
        let failed = |error| Failure::io("read the mutants", &dir, error);
        let mut paths = Vec::new();
        for entry in fs::read_dir(&dir).map_err(failed)? {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort();
        let mut hash = blake3::Hasher::new();
        for path in paths.iter().filter(|path| path.is_file()) {
            let content = fs::read(path).map_err(failed)?;
            let name = path.file_name().unwrap_or_default();
            hash.update(name.as_encoded_bytes());
            hash.update(blake3::hash(&content).as_bytes());
        }
        let digest = hash.finalize().to_hex().to_string();
        let own = described.iter().filter(|one| one.suite == suite.name);
        let tests: BTreeSet<String> = own
            .flat_map(|mutant| [mutant.tests(), mutant.complete_suite()].concat())
            .collect();
        let tests = tests.into_iter().collect();
        all.insert(suite.name.clone(), MutantFacts { digest, tests });
    }
    Ok(all)
}

/// Returns the commit of the repository that has the series as it is, if there
/// is one.
fn commit_of(series: &Loaded) -> Result<Option<String>, Failure> {
    let Ok(repo) = SeriesRepo::open(&load::folder()) else {
        return Ok(None);
    };
    match repo.is_clean(series.name())? {
        true => Ok(repo.commit("HEAD").ok()),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_guest::build::userland;

    #[test]
    fn an_earlier_kdk_has_its_own_configurations_and_mutants() {
        let suites = userland::suites().unwrap();
        let definition = definition::find("releng-15.1").unwrap();
        let config = definition.kernel.config.clone();
        let now = KdkTree::now();
        let same = kernel(&now, &definition, &config).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut old = KdkTree {
            root: dir.path().to_owned(),
            ..now.clone()
        };
        // It has no configurations.
        assert_eq!(kernel(&old, &definition, &config).unwrap(), UNKNOWN);
        let configs = dir.path().join("vm/conf");
        fs::create_dir_all(&configs).unwrap();
        for entry in fs::read_dir(workspace().join("vm/conf")).unwrap().flatten() {
            fs::copy(entry.path(), configs.join(entry.file_name())).unwrap();
        }
        assert_eq!(kernel(&old, &definition, &config).unwrap(), same);
        let path = configs.join(&config);
        let text = fs::read_to_string(&path).unwrap() + "\nnooptions WITNESS\n";
        fs::write(&path, text).unwrap();
        let changed = kernel(&old, &definition, &config).unwrap();
        assert!(changed != same && changed != UNKNOWN, "{changed}");
        old.has_same_kernels = false;
        assert_eq!(kernel(&old, &definition, &config).unwrap(), UNKNOWN);
        let of = |root: &Path| mutants_of(root, &suites, "releng-15.1").unwrap();
        assert_ne!(of(&now.root).len(), 0);
        assert_eq!(of(&old.root).len(), 0);
    }
}
