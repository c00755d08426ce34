//! `patches/<series>/results.json`: what the kit has found out about a series.
//! Written by the kit alone; the manifest is for people.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;

/// The file's name.
pub const FILE: &str = "results.json";

/// The form that is written.
const SCHEMA: u32 = 1;

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// Version of the file's form.
    pub schema: u32,
    /// What proves each patch, by its id.
    pub proofs: BTreeMap<String, Proof>,
    /// Series that were tested as a whole, by the id of the tree they make.
    pub tested: BTreeMap<String, Tested>,
    /// Mutants that were noticed, by suite and id.
    #[serde(default)]
    pub mutants: BTreeMap<String, Killed>,
}

/// A patch that was tested with and without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// Digest of all that the result depends on.
    pub key: String,
    /// `git patch-id --stable` of the patch.
    pub patch_id: String,
    /// Id of the tree with the whole series.
    pub tree: String,
    /// Id of the tree without the patch and what needs it.
    pub without: String,
    /// Its tests.
    pub tests: Vec<Row>,
}

/// A test with and without the patch that it proves. `PASS`, `FAIL`, .., or
/// `NO_BOOT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Its name.
    pub test: String,
    /// How it ended without.
    pub without: String,
    /// How it ended with.
    pub with: String,
    /// Why this proves nothing; empty if it does.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A series, or the first patches of one, that was tested as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tested {
    /// Digest of all that the result depends on.
    pub key: String,
    /// The patches in it.
    pub patches: Vec<String>,
    /// Counts by verdict.
    pub verdicts: BTreeMap<String, usize>,
}

/// A mutant that a test noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Killed {
    /// Digest of all that the result depends on.
    pub key: String,
    /// The tests that noticed it, and how each ended.
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
    /// Whether every test of it proves it, and there is one.
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
    /// The tests of the patch `id`; none if it was never tested.
    pub fn rows(&self, id: &str) -> &[Row] {
        self.proofs.get(id).map_or(&[], |proof| &proof.tests)
    }

    /// Reads what is known of the series in `dir`; nothing if there is no
    /// such file yet.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let path = path(dir);
        let bad = |why: String| {
            Failure::usage(format!("read {}", path.display()), why)
                .help("it is written by the kit: remove it, and run `cargo xtask prove` again")
        };
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            other => other.map_err(|error| Failure::io("read what was proven", &path, error))?,
        };
        let results: Self =
            serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))?;
        if results.schema != SCHEMA {
            let schema = results.schema;
            return Err(bad(format!(
                "it has schema {schema}; this kit reads {SCHEMA}"
            )));
        }
        Ok(results)
    }

    /// Writes it; what is said of patches that are not among `ids` goes.
    pub fn write(mut self, dir: &Path, ids: &[String]) -> Result<(), Failure> {
        self.proofs.retain(|id, _| ids.contains(id));
        let known = |tested: &Tested| tested.patches.iter().all(|id| ids.contains(id));
        self.tested.retain(|_, tested| known(tested));
        let path = path(dir);
        let mut text = serde_json::to_string_pretty(&self)
            .map_err(|error| Failure::infra("note what was proven", error.to_string()))?;
        text.push('\n');
        write_atomically(&path, text.as_bytes())
            .map_err(|error| Failure::io("note what was proven", &path, error))
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A proof by one test, `a/b`; what it does not prove, says `reason`.
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
    fn what_was_written_is_read_and_what_is_gone_is_dropped() {
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
    fn what_the_kit_did_not_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{}", "{\"schema\":2,\"proofs\":{},\"tested\":{}}"] {
            fs::write(dir.path().join(FILE), text).unwrap();
            assert_eq!(Results::read(dir.path()).unwrap_err().exit_code(), 2);
        }
    }
}
