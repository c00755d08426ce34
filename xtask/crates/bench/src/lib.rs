//! Benchmarks of kdk itself, and of what patch series change in the kernel.
//! Both variants of a comparison are measured in turn in one run.

pub mod bisect;
mod clock;
pub mod comparison;
pub mod executor;
mod fixture;
pub mod flowtable;
mod goal;
pub mod isolation;
pub mod ixgbe;
pub mod overhead;
mod plot;
mod publish;
pub mod samples;
pub mod sendfile;

use kdk_core::DEMO;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_guest::request::{GuestRequest, TestRequest};
use kdk_vm::plan::Isolation;

/// Returns the studies: the comparisons that patch series are measured by.
pub fn studies() -> [&'static comparison::Study; 3] {
    [&sendfile::STUDY, &flowtable::STUDY, &ixgbe::STUDY]
}

/// What to measure kdk's own cost with.
#[derive(Debug, Clone)]
pub struct CostRequest {
    /// The guest to measure.
    pub guest: GuestRequest,
    /// The name of its base.
    pub base: String,
    /// The number of measurements of each variant.
    pub rounds: usize,
}

/// The tests that the cost of a run is measured with. They are quick, and none
/// depends on a fresh kernel.
const TESTS: &str = "smoke/kqueue-*";

impl CostRequest {
    /// Returns the patterns of the tests. The demo guest has few tests, and all
    /// of them run.
    fn patterns(&self) -> Vec<String> {
        match self.base.as_str() {
            DEMO => Vec::new(),
            _ => vec![TESTS.into()],
        }
    }

    /// Returns the number of virtual CPUs: a measurement has machines of one
    /// kind.
    fn cpus(&self) -> u32 {
        self.guest.cpus.unwrap_or(1)
    }

    /// Returns the tests, each on a fresh kernel.
    fn tests(&self) -> TestRequest {
        TestRequest {
            patterns: self.patterns(),
            cpus: vec![self.cpus()],
            isolation: Isolation::Test,
            ..TestRequest::default()
        }
    }

    /// Returns the arguments of a `vm-test` of this guest with these tests.
    fn vm_test(&self) -> Vec<String> {
        let mut args: Vec<String> = vec!["vm-test".into(), "--base".into(), self.base.clone()];
        if self.guest.no_patches {
            args.push("--no-patches".into());
        }
        if self.guest.sandbox {
            args.push("--sandbox".into());
        }
        args.extend(["--cpus".into(), self.cpus().to_string()]);
        for pattern in self.patterns() {
            args.extend(["--tests".into(), pattern]);
        }
        args
    }

    /// Prints what the next lines are about.
    fn print_heading(&self, cx: &Context) {
        let Self { base, rounds, .. } = self;
        let text = format!("base {base}, {rounds} rounds; medians, seconds");
        cx.terminal.print(&text);
    }
}

/// Returns the error for tests that did not end as expected.
fn not_good(what: &str) -> Failure {
    Failure::tests(format!("{what}, so the time of the run is not comparable"))
        .help("run `cargo xtask vm-test` with the same base, and fix the failures first")
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

/// Returns a time and whether it reaches the goal of `most` milliseconds.
fn time_goal(ms: u64, most: u64) -> String {
    let word = word(ms <= most);
    format!("{} (goal {}: {word})", seconds(ms), seconds(most))
}

fn word(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

/// Returns a ratio. A divisor of 0 counts as 1.
fn ratio(top: f64, bottom: f64) -> f64 {
    top / if bottom == 0.0 { 1.0 } else { bottom }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_goals() {
        assert_eq!(median(&mut [5, 1, 9]), 5);
        assert_eq!(time_goal(1001, 1000), "1.001 (goal 1.000: MISSED)");
        assert_eq!(time_goal(1000, 1000), "1.000 (goal 1.000: reached)");
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(ratio(3.0, 2.0), 1.5);
        assert_eq!(ratio(3.0, 0.0), 3.0);
    }

    #[test]
    fn the_command_line_names_the_fixed_tests() {
        let mut request = CostRequest {
            guest: GuestRequest {
                no_patches: true,
                ..GuestRequest::default()
            },
            base: "b".into(),
            rounds: 1,
        };
        let args = "vm-test --base b --no-patches --cpus 1 --tests smoke/kqueue-*";
        assert_eq!(request.vm_test().join(" "), args);
        request.base = DEMO.into();
        assert!(request.tests().patterns.is_empty());
    }
}
