#![no_std]
//! The test harness every guest shares: registry, runner, KTAP writer, leak
//! checks. It knows no kernel: what a test needs from its surroundings comes
//! through [`Platform`], so that kdk.ko, the demo guest, the userland suites
//! and the host's own unit tests run the very same code.

/// What the registry says a test should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// It passes.
    Pass,
    /// It fails, for the reason given (a known defect).
    Fail(&'static str),
}

/// Why a test stopped before its end without having failed an assertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It cannot run here, for the reason given.
    Skip(&'static str),
    /// It failed, for the reason given; assertions panic instead.
    Fail(&'static str),
}

/// What a test function returns.
pub type TestResult = Result<(), Stop>;

/// One registered test.
#[derive(Debug)]
pub struct Test {
    /// `suite/case`.
    pub name: &'static str,
    /// Body; it runs in its own thread, process or saved context.
    pub run: fn() -> TestResult,
    /// Time limit, milliseconds.
    pub limit_ms: u32,
    /// What is expected of it.
    pub expect: Expect,
    /// Whether it runs when no test is named (fault tests do not).
    pub default: bool,
}
