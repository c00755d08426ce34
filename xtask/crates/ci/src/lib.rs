//! Continuous integration of a patch series: which jobs a revision needs, what
//! they resulted in, and how that compares with earlier revisions.

pub mod bases;
pub mod cache_key;
pub mod collect;
pub mod comment;
pub mod compare;
#[cfg(test)]
mod fixtures;
mod import;
pub mod job;
mod kdk_tree;
pub mod keys;
pub mod matrix;
pub mod pipeline;
pub mod plan;
pub mod plan_file;
pub mod planner;
pub mod point;
pub mod render;
pub mod result;
pub mod revision;
pub mod run;
pub mod schedule;
pub mod shard_report;
pub mod shard_run;
pub mod shards;
pub mod store;
pub mod survey;
pub mod task;
pub mod trend;
pub mod versioned;
pub mod work;
