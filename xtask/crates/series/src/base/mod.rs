//! The FreeBSD trees that kernels are built from.

pub mod acquire;
pub mod apply;
pub mod belongings;
pub mod definition;
pub mod fixtures;
pub mod identity;
pub mod official;
pub mod open;
pub mod record;
pub mod repo;
pub mod source;
pub mod uncommitted;
pub mod worktree;

use crate::base::definition::Builder;
use crate::base::record::Record;
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;

/// An added base with a modern tree, whose host tools and loader the old ones
/// borrow: the last one added.
pub fn modern(home: &Home) -> Result<Option<Record>, Failure> {
    for record in record::all(home)? {
        if record.definition()?.builder == Builder::MakePy {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

/// The lock on everything that belongs to a base.
pub fn lock_name(name: &str) -> String {
    format!("base-{name}")
}
