//! The patch series: what it says of itself, its files, and the same as
//! commits on its base.

pub mod bind;
pub mod canon;
pub mod lint;
pub mod load;
pub mod mail;
pub mod manifest;
pub mod merge;
