//! The results of a series: `patches/SERIES/results.json`. Only kdk writes this
//! file; people write the manifest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::load::LARGEST;
use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};

/// The file's name.
pub const FILE: &str = "results.json";

/// The version of the format that kdk writes.
const SCHEMA: u32 = 1;

/// The results of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// The version of the format.
    pub schema: u32,
    /// The proof of each patch, by the patch's id.
    pub proofs: BTreeMap<String, Proof>,
    /// The prefixes that passed their tests, by the id of their tree.
    pub tested: BTreeMap<String, Tested>,
    /// The mutants that were killed, by suite and id.
    #[serde(default)]
    pub mutants: BTreeMap<String, Killed>,
}

/// The results of a patch's tests with and without the patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Digest of everything that the result depends on.
    pub key: String,
    /// `git patch-id --stable` of the patch.
    pub patch_id: String,
    /// Id of the tree with the complete series.
    pub tree: String,
    /// Id of the tree without the patch and the patches that need it.
    pub without: String,
    /// The results of its tests.
    pub tests: Vec<Row>,
}

/// The results of one test, as verdicts (`PASS`, `FAIL`, ..), `NO_BOOT` or
/// `NO_BUILD`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The test's name.
    pub test: String,
    /// The result without the patch.
    pub without: String,
    /// The result with the patch.
    pub with: String,
    /// Why the test does not prove the patch; empty if it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A prefix of a series that passed its tests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tested {
    /// Digest of everything that the result depends on.
    pub key: String,
    /// The patches of the prefix.
    pub patches: Vec<String>,
    /// The number of tests by verdict.
    pub verdicts: BTreeMap<String, usize>,
}

/// A mutant that a test killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Killed {
    /// Digest of everything that the result depends on.
    pub key: String,
    /// The tests that killed it, and how each ended.
    pub by: BTreeMap<String, String>,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            schema: SCHEMA,
            proofs: BTreeMap::new(),
            tested: BTreeMap::new(),
            mutants: BTreeMap::new(),
        }
    }
}

impl Proof {
    /// Returns whether there is a test and every test proves the patch.
    pub fn holds(&self) -> bool {
        !self.tests.is_empty() && self.tests.iter().all(|row| row.reason.is_empty())
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            test,
            without,
            with,
            ..
        } = self;
        write!(f, "{test}: {without} without, {with} with")
    }
}

impl Results {
    /// Returns the results of the patch `id`; none if it was never tested.
    pub fn rows(&self, id: &str) -> &[Row] {
        self.proofs.get(id).map_or(&[], |proof| &proof.tests)
    }

    /// Reads the results of the series in the folder `dir`. There are none if
    /// the file does not exist.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let path = path(dir);
        let bad = |why: String| {
            Failure::usage(format!("read {}", path.display()), why)
                .help("only kdk writes this file: remove it and run `cargo xtask prove` again")
        };
        let text = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            _ => input::read("read the results", &path, LARGEST, Links::Refuse)?,
        };
        let results: Self =
            serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if results.schema != SCHEMA {
            let schema = results.schema;
            return Err(bad(format!(
                "it has schema {schema}; kdk reads schema {SCHEMA}"
            )));
        }
        Ok(results)
    }

    /// Writes the results to the folder `dir`, without those of patches that
    /// are not among `ids`.
    pub fn write(mut self, dir: &Path, ids: &[String]) -> Result<(), Failure> {
        self.proofs.retain(|id, _| ids.contains(id));
        let known = |tested: &Tested| tested.patches.iter().all(|id| ids.contains(id));
        self.tested.retain(|_, tested| known(tested));
        let path = path(dir);
        let mut text = serde_json::to_string_pretty(&self)
            .map_err(|error| Failure::infra("write the results", error.to_string()))?;
        text.push('\n');
        write_atomically(&path, text.as_bytes())
            .map_err(|error| Failure::io("write the results", &path, error))
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns a proof with the one test `a/b`. `reason` is why it is no proof.
    pub fn proof(key: &str, reason: &str) -> Proof {
        Proof {
            key: key.into(),
            patch_id: "p".into(),
            tree: "t".into(),
            without: "w".into(),
            tests: vec![row(reason)],
        }
    }

    fn row(reason: &str) -> Row {
        Row {
            test: "a/b".into(),
            without: "FAIL".into(),
            with: "PASS".into(),
            reason: reason.into(),
        }
    }

    #[test]
    fn a_proof_needs_a_test_and_every_one_to_hold() {
        let mut proof = proof("k", "");
        assert!(proof.holds());
        proof.tests.push(row("passes without"));
        assert!(!proof.holds());
        proof.tests.clear();
        assert!(!proof.holds());
    }

    #[test]
    fn results_are_read_back_without_those_of_dropped_patches() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Results::read(dir.path()).unwrap(), Results::default());
        let mut results = Results::default();
        for id in ["a", "b"] {
            results.proofs.insert(id.into(), proof("k", ""));
            let tested = Tested {
                key: "k".into(),
                patches: vec![id.into()],
                verdicts: BTreeMap::new(),
            };
            results.tested.insert(format!("tree of {id}"), tested);
        }
        results.clone().write(dir.path(), &["b".into()]).unwrap();
        results.proofs.remove("a");
        results.tested.remove("tree of a");
        assert_eq!(Results::read(dir.path()).unwrap(), results);
    }

    #[test]
    fn a_file_of_another_form_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", "{\"schema\":2,\"proofs\":{},\"tested\":{}}"] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(Results::read(dir.path()).unwrap_err().exit_code(), 2);
        }
    }
}
