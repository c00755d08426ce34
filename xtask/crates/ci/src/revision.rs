//! A revision of a series: its patches, in their order, on a base.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A revision of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The digest of the base's tree and of the patch ids, in their order. A
    /// revision with the same id builds the same kernels.
    pub id: String,
    /// The base, which is also the name of the series.
    pub base: String,
    /// The id of the base's tree.
    pub tree: String,
    /// The number of the revision in the manifest.
    pub number: u32,
    /// The commit of this repository, if the series is committed there as it
    /// was tested.
    pub commit: Option<String>,
    /// When its jobs were first planned, in milliseconds since 1970.
    pub began: u64,
    /// The revision that it is compared with, by id.
    pub previous: Option<String>,
    /// The patches, in apply order.
    pub patches: Vec<PatchRef>,
    /// The key of each job's result, by the job's id. A job without a result in
    /// the store has not ended.
    pub jobs: BTreeMap<String, String>,
    /// The jobs that the last plan left out: nothing that they depend on has
    /// changed since a commit of the caller's choice.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub unchanged: BTreeSet<String>,
    /// What each key was made from, by the job's id.
    #[serde(default)]
    pub inputs: BTreeMap<String, Inputs>,
}

/// What the key of a result is made from: digests and ids by their names.
pub type Inputs = BTreeMap<String, String>;

/// A patch of a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRef {
    /// The id in the manifest.
    pub id: String,
    /// The result of `git patch-id --stable`.
    pub patch_id: String,
    /// The first line of its message; the id where it has none.
    pub subject: String,
}

/// The version of the format that is written.
pub const SCHEMA: u32 = 1;

/// The number of characters of an abbreviated id.
const SHORT: usize = 10;

impl Revision {
    /// Returns the abbreviated id, for people.
    pub fn short(&self) -> &str {
        short(&self.id)
    }

    /// Returns the patch `id`, if the revision has it.
    pub fn patch(&self, id: &str) -> Option<&PatchRef> {
        self.patches.iter().find(|patch| patch.id == id)
    }
}

/// Returns the abbreviated form of a revision's id.
pub fn short(id: &str) -> &str {
    id.get(..SHORT).unwrap_or(id)
}

/// Returns the id of the revision with the patch ids `patch_ids` on a base with
/// the tree `tree`.
pub fn id<'a>(base: &str, tree: &str, patch_ids: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = blake3::Hasher::new();
    let mut add = |part: &str| {
        hash.update(part.as_bytes()).update(b"\n");
    };
    add(base);
    add(tree);
    patch_ids.into_iter().for_each(add);
    let mut id = hash.finalize().to_hex().to_string();
    id.truncate(40);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_base_and_the_order_of_the_patches() {
        let first = id("b", "tree", ["1", "2"]);
        assert_eq!(first.len(), 40);
        assert_eq!(short(&first).len(), 10);
        for other in [
            id("c", "tree", ["1", "2"]),
            id("b", "other", ["1", "2"]),
            id("b", "tree", ["2", "1"]),
            id("b", "tree", ["1"]),
            id("b", "tree", ["1", "2", "3"]),
        ] {
            assert_ne!(first, other);
        }
    }
}
