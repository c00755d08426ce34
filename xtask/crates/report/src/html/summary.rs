//! The top of the page: the result of the run, and its parameters.

use kdk_vm::verdict::{Outcome, Verdict};
use maud::{Markup, html};

use super::text::{class, duration, visible};
use crate::history::compare::Comparison;
use crate::history::flaky::flaky;
use crate::history::slowest::slowest;
use crate::json::Report;
use kdk_core::DEMO;
use kdk_core::terminal::seconds;

/// The number of tests in the list of failures and in that of the slowest
/// tests.
const FAILURES: usize = 25;
const SLOWEST: usize = 5;

/// The number of names and globs of the selection that are shown.
const NAMED: usize = 8;

/// Returns the result of the run in one sentence.
pub fn state(report: &Report) -> String {
    let (bad, total) = (bad(report).count(), report.tests.len());
    match report.run.exit {
        0 if total == 0 => "no test was selected".into(),
        0 => format!("all {total} tests ended as expected"),
        1 if total == 0 => "no test ran".into(),
        1 => format!("{bad} of {total} tests did not end as expected"),
        2 => "the command line or a manifest is wrong".into(),
        3 => "the build failed".into(),
        4 => "the kernel did not boot".into(),
        _ => "the host failed, or the run was stopped".into(),
    }
}

/// Returns what an exit code stands for.
fn fault(exit: u8) -> &'static str {
    match exit {
        0 => "all as expected",
        1 => "the tests",
        2 => "usage or manifest",
        3 => "build",
        4 => "boot",
        _ => "host",
    }
}

/// Returns the title, the verdict and the counts.
pub fn header(report: &Report) -> Markup {
    let mood = if report.run.exit == 0 { "good" } else { "bad" };
    html! {
        header.(mood) {
            p.kicker { "fbsd-kdk test report" }
            h1 { (visible(&report.run.base)) }
            p.state { (state(report)) }
            @if !report.run.uname.is_empty() { p.uname { (visible(&report.run.uname)) } }
            @if report.run.guest == DEMO {
                p.notice { "demo guest: no FreeBSD kernel was tested" }
            }
            @if let Some(error) = &report.run.error {
                p.notice.error { strong { "The run ended early: " } (visible(error)) }
                @if !report.run.symbolized.is_empty() {
                    pre tabindex="0" role="region" aria-label="Backtrace" {
                        (visible(&report.run.symbolized.join("\n")))
                    }
                }
            }
            (counts(report))
        }
    }
}

/// Returns the counts by verdict, and their shares as one bar.
fn counts(report: &Report) -> Markup {
    let counts: Vec<(Verdict, usize)> = Verdict::ALL
        .map(|verdict| (verdict, report.summary.get(verdict)))
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect();
    html! {
        @if !counts.is_empty() {
            ul.counts aria-label="Tests by verdict" {
                @for (verdict, count) in &counts {
                    li.(class(*verdict)) { b { (count) } " " span { (verdict.word()) } }
                }
            }
            div.shares aria-hidden="true" {
                @for (verdict, count) in &counts {
                    span.(class(*verdict)) style={ "flex-grow:" (count) } {}
                }
            }
        }
    }
}

/// Returns the list of tests that did not end as expected.
pub fn failures(report: &Report) -> Markup {
    let all: Vec<(usize, &Outcome)> = bad(report).collect();
    html! {
        @if !all.is_empty() {
            section.card.failures aria-labelledby="failures" {
                h2 id="failures" { "Not as expected" }
                ol {
                    @for (at, test) in all.iter().take(FAILURES) {
                        li {
                            span.badge.(class(test.verdict)) { (test.verdict.word()) }
                            a href={ "#t" (at) } { (visible(&test.label())) }
                            @if let Some(line) = test.detail.lines().next() {
                                span.why { (visible(line)) }
                            }
                        }
                    }
                }
                @if all.len() > FAILURES {
                    p.muted { "and " (all.len() - FAILURES) " more, below" }
                }
            }
        }
    }
}

/// Returns the parameters of the run.
pub fn facts(report: &Report) -> Markup {
    let run = &report.run;
    let began = run
        .began
        .map(|at| at.format("%Y-%m-%d %H:%M:%S UTC").to_string());
    let release = run.osreldate.map(|number| number.to_string());
    let machine = [&run.accel, &run.boot].map(String::as_str);
    let machine = machine.into_iter().filter(|word| !word.is_empty());
    let facts = [
        ("Exit", format!("{} ({})", run.exit, fault(run.exit))),
        ("Began", began.unwrap_or_default()),
        ("Took", duration(report.took_ms())),
        ("FreeBSD version", release.unwrap_or_default()),
        (
            "Kernel config",
            run.kernel_config.clone().unwrap_or_default(),
        ),
        ("Machine", machine.collect::<Vec<&str>>().join(", ")),
        ("Isolation", run.isolation.clone()),
        ("Guests side by side", beyond(run.jobs.into(), 1)),
        ("Seed", beyond(run.seed, 0)),
        ("Selection", some_of(&run.selection)),
    ];
    html! {
        section.card aria-labelledby="run" {
            h2 id="run" { "Run" }
            dl {
                @for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
                    dt { (name) } dd { (visible(value)) }
                }
                dt { "Patches" }
                dd {
                    @if run.patches.is_empty() { "none" }
                    @for patch in &run.patches { code { (visible(patch)) } " " }
                }
            }
        }
    }
}

/// Returns a number as text, or nothing if it is not above `usual`.
fn beyond(number: u64, usual: u64) -> String {
    Some(number)
        .filter(|number| *number > usual)
        .map(|number| number.to_string())
        .unwrap_or_default()
}

/// Joins the first few of `names`.
fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).map(String::as_str);
    let shown = shown.collect::<Vec<&str>>().join(" ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Returns the changes, the flaky tests and the slowest tests.
pub fn notes(report: &Report, changes: &Comparison) -> Markup {
    let slow = slowest(&report.tests, SLOWEST);
    let most = slow.first().map_or(1, |one| one.ms.max(1));
    let repeated = flaky(&report.tests);
    let changed = changes.kinds();
    html! {
        section.card aria-labelledby="notes" {
            @if !changed.is_empty() {
                h2 { "Changes since the previous run" }
                dl {
                    @for (what, names) in &changed {
                        dt { (what) }
                        dd { @for name in names { code { (visible(name)) } " " } }
                    }
                }
            }
            @if repeated.iter().any(|one| one.failures > 0) {
                h2 { "Failed in repeated runs" }
                ul { @for one in repeated.iter().filter(|one| one.failures > 0) {
                    li { (visible(&one.text())) }
                } }
            }
            h2 id="notes" { "Slowest tests" }
            @if slow.is_empty() { p.muted { "no test ran" } }
            ol.slowest {
                @for one in slow {
                    li style={ "--share:" (100 * one.ms / most) "%" } {
                        span { (visible(&one.label())) }
                        span.time { (seconds(one.ms)) }
                    }
                }
            }
        }
    }
}

fn bad(report: &Report) -> impl Iterator<Item = (usize, &Outcome)> {
    let all = report.tests.iter().enumerate();
    all.filter(|(_, test)| !test.verdict.is_as_expected())
}

#[cfg(test)]
mod checks {
    use super::*;
    use crate::fixtures::{failing_run, good_run, report};

    #[test]
    fn the_result_of_a_run() {
        let with = |mut report: Report, exit| {
            report.run.exit = exit;
            state(&report)
        };
        let none = || report(Vec::new());
        for (got, want) in [
            (with(good_run(), 0), "all 3 tests ended as expected"),
            (
                with(failing_run(), 1),
                "5 of 8 tests did not end as expected",
            ),
            (with(none(), 0), "no test was selected"),
            (with(none(), 1), "no test ran"),
            (with(none(), 2), "the command line or a manifest is wrong"),
            (with(none(), 3), "the build failed"),
            (with(failing_run(), 4), "the kernel did not boot"),
            (with(none(), 5), "the host failed, or the run was stopped"),
        ] {
            assert_eq!(got, want);
        }
    }
}
