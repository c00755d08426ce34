//! The root image of a FreeBSD guest, made without being root: a tree
//! described as data, written as UFS1 (which every kernel mounts) by
//! makefs(8), with owners, modes and times from an mtree(5) list; and the FAT
//! disk that firmware boots from, where it cannot be shown a directory.

mod fat;
mod makefs;
mod tree;

pub use fat::write_fat;
pub use makefs::{Makefs, makefs_args, write};
pub(crate) use tree::place;
pub use tree::{Content, Entry, Tree};
