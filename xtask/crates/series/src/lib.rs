//! The patch series: what it says of itself, its files, and the same as
//! commits on its base.

pub mod base;
pub mod bind;
pub mod canon;
pub mod checkout;
pub mod desk;
pub mod diff;
pub mod draft;
pub mod drift;
pub mod edit;
pub mod export;
pub mod going;
pub mod history;
pub mod journal;
pub mod lint;
pub mod load;
pub mod lock;
pub mod mail;
pub mod manifest;
pub mod merge;
pub mod note;
pub mod person;
pub mod range_diff;
pub mod rebase;
pub mod reconstruct;
pub mod replay;
pub mod scratch;
pub mod trailers;
pub mod work;
