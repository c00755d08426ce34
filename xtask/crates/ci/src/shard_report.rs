//! What a shard says of itself: the file `shard.json` in its folder of results.
//! It is written last, so a folder without it is of a shard that did not end.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::plan_file::Revisions;
use kdk_core::cache_dir::write_atomically;
use kdk_core::failure::Failure;

/// The version of the format that is written and read.
pub const SCHEMA: u32 = 1;

/// The name of the file.
pub const FILE: &str = "shard.json";

/// The report of one shard about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardReport {
    /// The version of the format: [`SCHEMA`].
    pub schema: u32,
    /// The number of the shard, from 1.
    pub shard: usize,
    /// The number of shards.
    pub count: usize,
    /// The revisions that it tested.
    pub revisions: Revisions,
    /// The jobs that it was asked to run.
    pub jobs: Vec<JobRef>,
    /// When it began, in milliseconds since 1970.
    pub began: u64,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The name of the host that ran it.
    pub host: String,
    /// Why it ended early, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A job, and the key of the result that it should have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobRef {
    /// The id of the job.
    pub id: String,
    /// The key of its result.
    pub key: String,
}

impl ShardReport {
    /// Writes the report into the folder of results `dir`.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<(), Failure> {
        let path = path(dir);
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::infra("write the shard's report", error.to_string()))?;
        write_atomically(&path, &text)
            .map_err(|error| Failure::io("write the shard's report", &path, error))
    }
}

/// Returns the path of the report of a shard in its folder of results.
pub fn path(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::versioned;

    #[test]
    fn a_report_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let report = ShardReport {
            schema: SCHEMA,
            shard: 1,
            count: 2,
            revisions: Revisions::from([("main".into(), "r1".into())]),
            jobs: vec![JobRef {
                id: "main/lint/a".into(),
                key: "k".into(),
            }],
            began: 3,
            ms: 4,
            host: "h".into(),
            error: Some("interrupted".into()),
        };
        report.write(&dir.path().join("new")).unwrap();
        let path = path(&dir.path().join("new"));
        let found: ShardReport = versioned::read(&path, SCHEMA).unwrap();
        assert_eq!(found, report);
        insta::assert_snapshot!(std::fs::read_to_string(path).unwrap());
    }
}
