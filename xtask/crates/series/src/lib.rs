//! The patch series: its manifest, its files, the same as commits on its base,
//! and every operation on it.

pub mod applied;
pub mod base;
pub mod checkout;
pub mod cherry_pick;
pub mod commit_meta;
pub mod diff;
pub mod drift;
pub mod edit;
pub mod edit_worktree;
pub mod export;
pub mod format_patch;
pub mod history;
pub mod journal;
pub mod lint;
pub mod load;
pub mod mail;
pub mod manifest;
pub mod merge;
pub mod operation;
pub mod person;
pub mod preimage;
pub mod range_diff;
pub mod rebase;
pub mod results;
pub mod sequencer;
pub mod temp_repo;
pub mod trailers;
pub mod update;
