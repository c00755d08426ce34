//! The patch series: what it says of itself, its files, and the same as
//! commits on its base.

pub mod bind;
pub mod canon;
pub mod checkout;
pub mod drift;
pub mod export;
pub mod history;
pub mod lint;
pub mod load;
pub mod lock;
pub mod mail;
pub mod manifest;
pub mod merge;
pub mod person;
pub mod range_diff;
pub mod scratch;
pub mod trailers;
