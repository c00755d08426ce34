//! Defines a test.

use crate::name::is_valid_name;

/// The time limit of a test that sets none, in milliseconds.
pub const DEFAULT_LIMIT_MS: u32 = 5000;

/// The CPUs of a test that declares none.
pub const ONE_CPU: [u32; 1] = [1];

/// The most virtual CPUs that a test may declare.
pub const MAX_CPUS: u32 = 64;

/// The expected result of a test.
#[derive(Clone, Copy, Debug)]
pub enum Expect {
    /// The test passes.
    Pass,
    /// The test fails because of a known defect.
    Fail(&'static str),
    /// The test fails on kernels for which the function returns true, for the
    /// given reason, and passes on all others. The guest calls it each time
    /// that it lists or evaluates the test, outside of the test's own process.
    FailOn(fn() -> bool, &'static str),
    /// Like [`FailOn`](Self::FailOn), but the test may end such a kernel.
    CrashOn(fn() -> bool, &'static str),
}

/// The reason why a test stopped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The test cannot run here, for the given reason.
    Skip(&'static str),
    /// The test failed, for the given reason. Assertions panic instead.
    Fail(&'static str),
}

/// The result of a test function.
pub type TestResult = Result<(), Stop>;

/// One registered test.
#[derive(Debug)]
pub struct Test {
    /// The name, `suite/case`.
    pub name: &'static str,
    /// The test function, which runs in its own thread, process or saved
    /// context.
    pub run: fn() -> TestResult,
    /// The time limit in milliseconds, 1 or more, which the host enforces. It is
    /// the only limit on what a test waits for.
    pub limit_ms: u32,
    /// The expected result.
    pub expect: Expect,
    /// Whether it runs when no test is named (fault tests do not).
    pub default: bool,
    /// The numbers of virtual CPUs of the machines that it runs on, each once,
    /// in ascending order. It runs on each of them.
    pub cpus: &'static [u32],
    /// The memory that its machine has at least, in MiB; 0 for a test that
    /// needs no more than every machine has.
    pub mem_mib: u32,
    /// Additional kinds of allocation for the leak check: on FreeBSD, short
    /// descriptions of malloc types (`"temp"`).
    pub leak_types: &'static [&'static str],
}

impl Test {
    /// Returns a test that is expected to pass within [`DEFAULT_LIMIT_MS`] on
    /// one CPU and runs by default.
    ///
    /// # Panics
    /// Panics when `name` is not `suite/case` (see [`is_valid_name`]), at
    /// compile time if the test is a static, as [`kdk_test!`](crate::kdk_test)
    /// makes it.
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
            cpus: &ONE_CPU,
            mem_mib: 0,
            leak_types: &[],
        }
    }

    /// Returns the reason why it is expected to fail on this kernel, if it is.
    #[must_use]
    pub fn known_defect(&self) -> Option<&'static str> {
        match self.expect {
            Expect::Pass => None,
            Expect::Fail(why) => Some(why),
            Expect::FailOn(here, why) | Expect::CrashOn(here, why) => here().then_some(why),
        }
    }

    /// Returns the reason why it is expected to end this kernel, if it is.
    #[must_use]
    pub fn known_crash(&self) -> Option<&'static str> {
        match self.expect {
            Expect::CrashOn(..) => self.known_defect(),
            _ => None,
        }
    }

    /// Checks the options of this test and returns it.
    ///
    /// # Panics
    /// Panics when the limit is 0 or the CPUs are none, too many or out of
    /// order, at compile time as in [`new`](Self::new).
    #[must_use]
    pub const fn checked(self) -> Self {
        assert!(self.limit_ms > 0, "a test's limit_ms is 1 or more");
        assert!(
            are_valid_cpus(self.cpus),
            "a test's cpus are one or more numbers from 1 to 64, in ascending order"
        );
        self
    }
}

/// Returns whether a test may declare these CPUs. A constant function has no
/// iterators.
const fn are_valid_cpus(cpus: &[u32]) -> bool {
    let mut least = 1;
    let mut rest = cpus;
    while let [first, more @ ..] = rest {
        if *first < least || *first > MAX_CPUS {
            return false;
        }
        least = *first + 1;
        rest = more;
    }
    !cpus.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpus_of_a_test() {
        for (cpus, valid) in [
            (&ONE_CPU[..], true),
            (&[1, 4], true),
            (&[2, 3, 64], true),
            (&[], false),
            (&[0], false),
            (&[65], false),
            (&[4, 1], false),
            (&[2, 2], false),
        ] {
            assert_eq!(are_valid_cpus(cpus), valid, "{cpus:?}");
        }
    }
}
