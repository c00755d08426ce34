//! Continuous integration of a patch series: which jobs a revision needs, what
//! they resulted in, and how that compares with earlier revisions.

pub mod job;
pub mod result;
pub mod revision;
