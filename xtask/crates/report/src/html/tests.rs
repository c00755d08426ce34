//! The list of tests by suite; failures come first.

use std::collections::BTreeMap;

use kdk_vm::verdict::{Outcome, Summary, Verdict, Where};
use maud::{Markup, html};

use super::text::{class, visible};
use crate::json::Report;
use kdk_core::terminal::seconds;

/// The number of failures up to which their details are open.
const UNFOLDED: usize = 5;

/// Returns the tests and their filter.
pub fn section(report: &Report) -> Markup {
    let suites = suites(&report.tests);
    let bad = report.tests.iter().filter(|test| is_bad(test)).count();
    let runs = runs(&report.tests);
    html! {
        section aria-labelledby="tests" {
            h2 id="tests" { "Tests" }
            @if report.tests.is_empty() {
                p.muted { "No test ran." }
            } @else {
                (filter(report.summary))
            }
            @for suite in &suites {
                // If a test failed, the other suites are closed.
                details.suite open[bad == 0 || suite.is_bad()] {
                    summary { (suite_line(suite)) }
                    ol {
                        @for (at, test) in &suite.tests { (item(*at, test, &runs[*at], bad <= UNFOLDED)) }
                    }
                }
            }
            p.muted id="none" hidden { "No test matches." }
        }
    }
}

/// Returns the filter, which stays hidden until the script runs.
fn filter(summary: Summary) -> Markup {
    let button = |show: &str, pressed: bool, name: &str, count: usize| {
        html! {
            button type="button" data-show=(show) aria-pressed=(pressed) {
                (name) " " span { (count) }
            }
        }
    };
    let bad = Verdict::ALL
        .iter()
        .filter(|verdict| !verdict.is_as_expected());
    let bad: usize = bad.map(|verdict| summary.get(*verdict)).sum();
    html! {
        form.filter id="filter" role="search" hidden {
            input type="search" id="text" autocomplete="off" spellcheck="false"
                placeholder="Name or text" aria-label="Show tests with this name or text";
            div role="group" aria-label="Show tests with this verdict" {
                (button("all", true, "All", summary.total()))
                (button("bad", false, "Not as expected", bad))
                @for verdict in Verdict::ALL {
                    @if summary.get(verdict) > 0 {
                        (button(verdict.word(), false, verdict.word(), summary.get(verdict)))
                    }
                }
            }
            output for="text" id="shown" {}
        }
    }
}

/// The tests of one suite with their places in the report.
struct Suite<'a> {
    name: &'a str,
    tests: Vec<(usize, &'a Outcome)>,
}

impl Suite<'_> {
    fn is_bad(&self) -> bool {
        self.tests.iter().any(|(_, test)| is_bad(test))
    }
}

/// Returns the suites; those with failures first, and in each its failures
/// first.
fn suites(outcomes: &[Outcome]) -> Vec<Suite<'_>> {
    let mut suites: Vec<Suite<'_>> = Vec::new();
    for (at, test) in outcomes.iter().enumerate() {
        let (name, _) = split(&test.name);
        match suites.iter_mut().find(|suite| suite.name == name) {
            Some(suite) => suite.tests.push((at, test)),
            None => suites.push(Suite {
                name,
                tests: vec![(at, test)],
            }),
        }
    }
    for suite in &mut suites {
        suite.tests.sort_by_key(|(_, test)| !is_bad(test));
    }
    suites.sort_by_key(|suite| !suite.is_bad());
    suites
}

fn suite_line(suite: &Suite<'_>) -> Markup {
    let summary = Summary::of(suite.tests.iter().map(|(_, test)| *test));
    let ms: u64 = suite.tests.iter().map(|(_, test)| test.ms).sum();
    html! {
        h3 { (visible(suite.name)) }
        span.tally {
            @for verdict in Verdict::ALL {
                @if summary.get(verdict) > 0 {
                    span.(class(verdict)) { (summary.get(verdict)) " " (verdict.word()) } " "
                }
            }
        }
        span.time { (seconds(ms)) }
    }
}

/// Returns which run of its test each outcome is; empty for a test that ran
/// once on this number of CPUs.
fn runs(outcomes: &[Outcome]) -> Vec<String> {
    let mut totals: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    for test in outcomes {
        *totals.entry((&test.name, test.cpus)).or_default() += 1;
    }
    let mut seen: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    outcomes
        .iter()
        .map(|test| {
            let number = seen.entry((&test.name, test.cpus)).or_default();
            *number += 1;
            match totals.get(&(test.name.as_str(), test.cpus)) {
                Some(total) if *total > 1 => format!("run {number} of {total}"),
                _ => String::new(),
            }
        })
        .collect()
}

/// Returns one test: a line, and its details below it, open if it failed and
/// `unfold` is set.
fn item(at: usize, test: &Outcome, run: &str, unfold: bool) -> Markup {
    // One line of detail is in the test's own line.
    let detail = Some(test.detail.clone()).filter(|text| text.lines().count() > 1);
    let blocks = [
        ("Detail", detail.unwrap_or_default()),
        ("Backtrace", test.trace().join("\n")),
        ("Registers", test.registers.join("\n")),
        ("Command to run it again", test.reproduce.clone()),
        ("Console", test.console.join("\n")),
    ];
    let blocks: Vec<_> = blocks
        .into_iter()
        .filter(|(_, text)| !text.is_empty())
        .collect();
    let verdict = test.verdict.word();
    html! {
        li.test id={ "t" (at) } data-verdict=(verdict) data-bad[is_bad(test)] {
            @if blocks.is_empty() {
                div.line { (line(test, run)) }
            } @else {
                details open[unfold && is_bad(test)] {
                    summary.line { (line(test, run)) }
                    div.body { @for (title, text) in &blocks { (block(title, text)) } }
                }
            }
        }
    }
}

fn line(test: &Outcome, run: &str) -> Markup {
    let (_, case) = split(&test.name);
    let place = match test.where_ {
        Where::Kernel => "kernel",
        Where::Userland => "userland",
    };
    let cpus = match test.cpus {
        1 => "1 CPU".to_owned(),
        more => format!("{more} CPUs"),
    };
    html! {
        span.badge.(class(test.verdict)) { (test.verdict.word()) }
        span.name {
            (visible(case))
            " " span.place { (place) }
            " " span.place { (cpus) }
            @if !run.is_empty() { " " span.place { (run) } }
            @if let Some(machine) = test.machine { " " span.place { "machine " (machine) } }
            @if let Some(first) = test.detail.lines().next() {
                span.why { (visible(first)) }
            }
        }
        span.time { (seconds(test.ms)) }
    }
}

fn block(title: &str, text: &str) -> Markup {
    html! {
        h4 { (title) }
        // Long lines scroll in their box; a keyboard must reach it.
        pre tabindex="0" role="region" aria-label=(title) { (visible(text)) }
    }
}

fn is_bad(test: &Outcome) -> bool {
    !test.verdict.is_as_expected()
}

fn split(name: &str) -> (&str, &str) {
    name.split_once('/').unwrap_or(("", name))
}

#[cfg(test)]
mod checks {
    use super::*;
    use crate::fixtures::outcome;
    use Verdict::{Crash, Fail, Pass};

    #[test]
    fn failures_come_first_and_keep_their_places() {
        let outcomes = [
            outcome("a/x", Pass, 1),
            outcome("b/x", Pass, 1),
            outcome("b/y", Crash, 1),
            outcome("c/x", Fail, 1),
            outcome("a/y", Pass, 1),
        ];
        let order: Vec<(&str, Vec<usize>)> = suites(&outcomes)
            .iter()
            .map(|suite| (suite.name, suite.tests.iter().map(|(at, _)| *at).collect()))
            .collect();
        assert_eq!(
            order,
            [("b", vec![2, 1]), ("c", vec![3]), ("a", vec![0, 4])]
        );
    }

    #[test]
    fn runs_of_one_test_are_counted() {
        let mut outcomes = ["a/x", "a/y", "a/x", "a/x"].map(|name| outcome(name, Pass, 1));
        outcomes[3].cpus = 4;
        assert_eq!(runs(&outcomes), ["run 1 of 2", "", "run 2 of 2", ""]);
    }

    #[test]
    fn one_test_as_markup() {
        let mut test = outcome("a/x", Crash, 1200);
        test.detail = "panic: <b>\nsecond line".into();
        test.backtrace = vec!["f() at f+0x1/frame 0x2".into()];
        test.machine = Some(2);
        insta::assert_snapshot!(item(7, &test, "", true).into_string());
        let plain = item(0, &outcome("a/x", Pass, 5), "run 1 of 2", true).into_string();
        insta::assert_snapshot!(plain);
    }
}
