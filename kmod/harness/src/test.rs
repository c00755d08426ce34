//! What a test is.

use crate::name::is_valid_name;

/// The time limit of a test that names none, milliseconds.
pub const DEFAULT_LIMIT_MS: u32 = 5000;

/// What the registry says a test should do.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// It passes.
    Pass,
    /// It fails, for the reason given (a known defect).
    Fail(&'static str),
    /// It fails on kernels that the function says yes of, for the reason
    /// given, and passes on all others. The guest asks each time it lists or
    /// judges the test, outside of the test's own process.
    FailOn(fn() -> bool, &'static str),
    /// As [`FailOn`](Self::FailOn), but there the test may end the kernel.
    CrashOn(fn() -> bool, &'static str),
}

/// Why a test stopped before its end.
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
    /// Time limit, milliseconds, 1 or more.
    pub limit_ms: u32,
    /// What is expected of it.
    pub expect: Expect,
    /// Whether it runs when no test is named (fault tests do not).
    pub default: bool,
    /// Kinds of allocation watched for leaks besides the platform's own: on
    /// FreeBSD, short descriptions of malloc types (`"temp"`).
    pub leak_types: &'static [&'static str],
}

impl Test {
    /// A test that is expected to pass within [`DEFAULT_LIMIT_MS`] and runs by
    /// default.
    ///
    /// # Panics
    /// When `name` is no `suite/case` (see [`is_valid_name`]): at compile time
    /// where the test is a static, as [`kdk_test!`](crate::kdk_test) makes it.
    #[must_use]
    pub const fn new(name: &'static str, run: fn() -> TestResult) -> Self {
        assert!(
            is_valid_name(name),
            "a test's name is suite/case: a-z, 0-9 and '-', one slash, 64 bytes at most"
        );
        Self {
            name,
            run,
            limit_ms: DEFAULT_LIMIT_MS,
            expect: Expect::Pass,
            default: true,
            leak_types: &[],
        }
    }

    /// Why it fails on this kernel, if that is what is expected of it here.
    #[must_use]
    pub fn known_defect(&self) -> Option<&'static str> {
        match self.expect {
            Expect::Pass => None,
            Expect::Fail(why) => Some(why),
            Expect::FailOn(here, why) | Expect::CrashOn(here, why) => here().then_some(why),
        }
    }

    /// Why it may end this kernel, if that is what is expected of it here.
    #[must_use]
    pub fn known_crash(&self) -> Option<&'static str> {
        match self.expect {
            Expect::CrashOn(..) => self.known_defect(),
            _ => None,
        }
    }

    /// This test, its options checked as well.
    ///
    /// # Panics
    /// When the limit is 0: every test has one, or a run could never end. At
    /// compile time, as for [`new`](Self::new).
    #[must_use]
    pub const fn checked(self) -> Self {
        assert!(self.limit_ms > 0, "a test's limit_ms is 1 or more");
        self
    }
}
