//! From a base to a tested guest: builds, machines, test runs, crash reports.

pub mod build;
pub mod guest;
pub mod hypervisor;
pub mod program;
pub mod remote;
pub mod report;
pub mod request;
pub mod run_tests;
pub mod symbolize;
