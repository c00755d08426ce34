//! `cargo xtask patches`, the real command line on a small tree.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

mod apply;
mod bisect;
mod ci;
mod drift;
mod edit;
mod export;
mod history;
mod lint;
mod rebase;
mod samples;
mod sandbox;
mod texts;
