//! Continuous integration of a patch series: which jobs a revision needs, what
//! they resulted in, and how that compares with earlier revisions.

pub mod compare;
#[cfg(test)]
mod fixtures;
mod import;
pub mod job;
pub mod keys;
pub mod matrix;
pub mod planner;
pub mod render;
pub mod result;
pub mod revision;
pub mod run;
pub mod schedule;
pub mod store;
pub mod survey;
pub mod task;
pub mod work;
