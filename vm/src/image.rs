//! Builds the root image of a FreeBSD guest without root privileges. makefs(8)
//! writes a tree that is described as data as UFS1, which every kernel mounts,
//! with owners, modes and times from an mtree(5) list. This module also builds
//! the FAT disk that bhyve's firmware boots from.

mod fat;
mod makefs;
mod tree;

pub use fat::write_fat;
pub use makefs::{Makefs, makefs_args, write};
pub(crate) use tree::place;
pub use tree::{Content, Entry, Tree};
