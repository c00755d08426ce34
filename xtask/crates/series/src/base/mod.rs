//! The FreeBSD trees that kernels are built from.

pub mod add;
pub mod apply;
pub mod definition;
pub mod files;
pub mod fixtures;
pub mod osreldate;
pub mod record;
pub mod repo;
pub mod resolve;
pub mod source;
pub mod uncommitted;
pub mod upstream;
pub mod worktree;

use crate::base::definition::Builder;
use crate::base::record::Record;
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;

/// Returns the last added base with a modern tree, whose host tools and loader
/// build the old bases.
pub fn modern(cache: &CacheDir) -> Result<Option<Record>, Failure> {
    for record in record::all(cache)? {
        if record.definition()?.builder == Builder::MakePy {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// Returns the name of the lock on all files of a base.
pub fn lock_name(name: &str) -> String {
    format!("base-{name}")
}
