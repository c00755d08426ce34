//! What all parts of the command line share: failures, the cache folder, the
//! artefact store, events, git, YAML, and the terminal.

pub mod cache_dir;
pub mod clock;
pub mod columns;
pub mod context;
pub mod event;
pub mod failure;
pub mod git;
pub mod host;
pub mod input;
mod integrity;
pub mod logs;
mod printer;
pub mod store;
pub mod terminal;
mod vm_errors;
pub mod workspace;
pub mod yaml;

/// The base name of the demo guest.
pub const DEMO: &str = "demo";
