//! The timeline: when each phase and each test ran.

use kdk_vm::verdict::Outcome;
use maud::{Markup, html};

use super::text::{class, visible};
use crate::json::{PhaseEntry, Report};
use kdk_core::event::Phase;
use kdk_core::terminal::seconds;

/// The heights of a row and of its bar, in pixels.
const ROW: usize = 22;
const BAR: usize = 12;

/// The steps between marks of the time axis, in milliseconds.
const STEPS: [u64; 20] = [
    10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000,
    300_000, 600_000, 900_000, 1_800_000, 3_600_000, 7_200_000,
];

/// The largest number of marks after the first.
const MARKS: u64 = 6;

/// Returns the picture, and the phases as a table; nothing if no time is known.
/// If builds took most of the time, the tests have a picture of their own.
pub fn section(report: &Report) -> Markup {
    let whole = Window {
        from_ms: 0,
        ms: report.took_ms(),
    };
    let close = close_up(report).filter(|close| 2 * close.ms < whole.ms);
    html! {
        @if whole.ms > 0 {
            section.card aria-labelledby="timeline" {
                h2 id="timeline" { "Timeline" }
                @if let Some(close) = close {
                    (picture(&phase_rows(report), whole, "When each phase ran"))
                    h3 { "The tests alone" }
                    (picture(&close.within(rows(report)), close, "When each test ran"))
                } @else {
                    (picture(&rows(report), whole, "When each phase and each test ran"))
                }
                (table(&report.phases))
            }
        }
    }
}

/// The stretch of time that a picture shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    from_ms: u64,
    ms: u64,
}

impl Window {
    /// Returns the rows that have bars in this window.
    fn within(self, mut rows: Vec<Row>) -> Vec<Row> {
        rows.retain_mut(|row| {
            row.bars
                .retain(|bar| bar.start_ms >= self.from_ms && bar.end() <= self.from_ms + self.ms);
            !row.bars.is_empty()
        });
        rows
    }

    /// Returns the position of a time in this window, for a style or an
    /// attribute.
    fn at(self, ms: u64) -> String {
        percent(ms.saturating_sub(self.from_ms), self.ms)
    }
}

/// Returns the phase that runs the tests.
fn close_up(report: &Report) -> Option<Window> {
    let tests = report.phases.iter().find(|one| one.name == Phase::Tests)?;
    Some(Window {
        from_ms: tests.start_ms?,
        ms: tests.ms,
    })
}

fn picture(rows: &[Row], window: Window, label: &str) -> Markup {
    let height = ROW * rows.len();
    html! {
        div.timeline {
            div.labels aria-hidden="true" { @for row in rows { span { (row.label) } } }
            div {
                svg width="100%" height=(height) role="group" aria-label=(label) {
                    @for (at, _) in marks(window.ms) {
                        line x1=(percent(at, window.ms)) x2=(percent(at, window.ms))
                            y1="0" y2=(height) {}
                    }
                    @for (at, row) in rows.iter().enumerate() {
                        @for bar in &row.bars { (rect(bar, at, window)) }
                    }
                }
                div.axis aria-hidden="true" {
                    @for (at, label) in marks(window.ms) {
                        span style={ "left:" (percent(at, window.ms)) } { (label) }
                    }
                }
            }
        }
    }
}

/// One line of the picture.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    label: String,
    bars: Vec<Bar>,
}

/// Something that took time.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bar {
    start_ms: u64,
    ms: u64,
    class: &'static str,
    title: String,
    /// The test's place in the report, and whether a keyboard stops there.
    test: Option<(usize, bool)>,
}

impl Bar {
    fn end(&self) -> u64 {
        self.start_ms + self.ms
    }
}

/// Returns a row for each phase; then the tests, in the row of their phase if
/// one is enough.
fn rows(report: &Report) -> Vec<Row> {
    let mut rows = phase_rows(report);
    let mut tests = test_rows(&report.tests);
    match rows.last_mut() {
        Some(phase) if tests.len() == 1 && phase.label == Phase::Tests.name() => {
            phase.bars.append(&mut tests[0].bars);
        }
        _ => rows.append(&mut tests),
    }
    rows
}

/// Returns a row for each phase, in order; more where machines started side by
/// side.
fn phase_rows(report: &Report) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    let mut phases: Vec<&PhaseEntry> = report.phases.iter().collect();
    phases.sort_by_key(|phase| (phase.start_ms, phase.name));
    let mut names: Vec<Phase> = Vec::new();
    for phase in &phases {
        if !names.contains(&phase.name) {
            names.push(phase.name);
        }
    }
    // The tests' row is the last: theirs follow.
    names.sort_by_key(|name| *name == Phase::Tests);
    for name in names {
        let bars = phases.iter().filter(|phase| phase.name == name);
        let bars: Vec<Bar> = bars.filter_map(|phase| phase_bar(phase)).collect();
        for lane in lanes(bars) {
            rows.push(Row {
                label: name.name().into(),
                bars: lane,
            });
        }
    }
    rows
}

/// Returns a row for each of the machines side by side; where they are not
/// known, as many as do not overlap.
fn test_rows(outcomes: &[Outcome]) -> Vec<Row> {
    let mut guests: Vec<Option<usize>> = outcomes.iter().map(|test| test.worker).collect();
    guests.sort_unstable();
    guests.dedup();
    let mut rows = Vec::new();
    for guest in &guests {
        let tests = outcomes.iter().enumerate();
        let bars = tests
            .filter(|(_, test)| test.worker == *guest)
            .filter_map(|(at, test)| test_bar(at, test));
        let label = match guest {
            Some(number) if guests.len() > 1 => format!("guest {number}"),
            _ => Phase::Tests.name().into(),
        };
        rows.extend(lanes(bars.collect()).into_iter().map(|bars| Row {
            label: label.clone(),
            bars,
        }));
    }
    rows
}

fn phase_bar(phase: &PhaseEntry) -> Option<Bar> {
    let (class, why) = match &phase.error {
        Some(error) => ("phase fail", error.as_str()),
        None if phase.cached => ("phase cached", phase.why.as_str()),
        None if phase.name == Phase::Tests => ("phase outer", phase.why.as_str()),
        None => ("phase", phase.why.as_str()),
    };
    Some(Bar {
        start_ms: phase.start_ms?,
        ms: phase.ms,
        class,
        title: visible(&format!("{}, {}: {why}", phase.name, seconds(phase.ms))),
        test: None,
    })
}

fn test_bar(at: usize, test: &Outcome) -> Option<Bar> {
    Some(Bar {
        start_ms: test.start_ms?,
        ms: test.ms,
        class: class(test.verdict),
        title: visible(&format!(
            "{}, {}: {}",
            test.label(),
            seconds(test.ms),
            test.verdict
        )),
        test: Some((at, !test.verdict.is_as_expected())),
    })
}

/// Puts each bar into the first lane whose last one has ended.
fn lanes(mut bars: Vec<Bar>) -> Vec<Vec<Bar>> {
    bars.sort_by_key(|bar| bar.start_ms);
    let mut lanes: Vec<Vec<Bar>> = Vec::new();
    for bar in bars {
        let ended = |lane: &&mut Vec<Bar>| {
            let last = lane.last();
            last.is_none_or(|last| last.end() <= bar.start_ms)
        };
        match lanes.iter_mut().find(ended) {
            Some(lane) => lane.push(bar),
            None => lanes.push(vec![bar]),
        }
    }
    lanes
}

fn rect(bar: &Bar, row: usize, window: Window) -> Markup {
    let shape = html! {
        rect class=(bar.class) x=(window.at(bar.start_ms)) y=(ROW * row + (ROW - BAR) / 2)
            width=(percent(bar.ms, window.ms)) height=(BAR) rx="2" {
            title { (bar.title) }
        }
    };
    match bar.test {
        // Of a hundred tests, a keyboard stops at those that matter.
        Some((at, stop)) => html! {
            a href={ "#t" (at) } tabindex=[(!stop).then_some(-1)] aria-label=(bar.title) { (shape) }
        },
        None => shape,
    }
}

/// Returns where the axis has marks, and their texts.
fn marks(total: u64) -> Vec<(u64, String)> {
    let step = STEPS.into_iter().find(|step| total / step <= MARKS);
    let step = step.unwrap_or(total / MARKS).max(1);
    (0..=total / step)
        .map(|number| number * step)
        .map(|at| (at, mark(at, step, total)))
        .collect()
}

fn mark(at: u64, step: u64, total: u64) -> String {
    match at {
        0 => "0".into(),
        _ if total >= 60_000 => format!("{}:{:02}", at / 60_000, at / 1000 % 60),
        _ if step >= 1000 => format!("{} s", at / 1000),
        _ => format!("{}.{:02} s", at / 1000, at % 1000 / 10),
    }
}

fn percent(ms: u64, total: u64) -> String {
    format!("{:.3}%", 100.0 * ms as f64 / total.max(1) as f64)
}

fn table(phases: &[PhaseEntry]) -> Markup {
    html! {
        details.phases {
            summary { "Phases as a table" }
            div.scroll tabindex="0" role="region" aria-label="Phases" {
                table {
                    thead { tr {
                        th scope="col" { "Phase" }
                        th.time scope="col" { "Start" }
                        th.time scope="col" { "Took" }
                        th scope="col" { "Why" }
                    } }
                    tbody { @for phase in phases { tr {
                        th scope="row" { (phase.name) }
                        td.time { @if let Some(start) = phase.start_ms { (seconds(start)) } }
                        td.time { (seconds(phase.ms)) @if phase.cached { " (cached)" } }
                        td { (visible(phase.error.as_deref().unwrap_or(&phase.why))) }
                    } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod checks {
    use super::*;
    use crate::fixtures::{failing_run, good_run, outcome, report};
    use kdk_vm::verdict::Verdict;

    fn shape(report: &Report) -> Vec<String> {
        let bar = |bar: &Bar| format!("{}+{} {}", bar.start_ms, bar.ms, bar.class);
        rows(report)
            .iter()
            .map(|row| {
                let bars: Vec<String> = row.bars.iter().map(bar).collect();
                format!("{}: {}", row.label, bars.join(", "))
            })
            .collect()
    }

    #[test]
    fn one_guest_shares_the_row_of_its_phase() {
        let rows = shape(&good_run());
        insta::assert_snapshot!(rows.join("\n"));
    }

    #[test]
    fn what_never_started_has_no_bar_and_machines_share_a_row() {
        let rows = shape(&failing_run());
        insta::assert_snapshot!(rows.join("\n"));
    }

    #[test]
    fn several_guests_have_a_row_each_and_overlaps_have_lanes() {
        let at = |lane, start, ms| {
            let mut one = outcome("a/x", Verdict::Pass, ms);
            (one.worker, one.start_ms) = (lane, Some(start));
            one
        };
        let guests = report(vec![
            at(Some(2), 0, 9),
            at(Some(1), 0, 5),
            at(Some(1), 5, 1),
        ]);
        assert_eq!(
            shape(&guests),
            ["guest 1: 0+5 pass, 5+1 pass", "guest 2: 0+9 pass"]
        );
        let unknown = report(vec![at(None, 0, 9), at(None, 3, 5), at(None, 9, 1)]);
        assert_eq!(
            shape(&unknown),
            ["tests: 0+9 pass, 9+1 pass", "tests: 3+5 pass"]
        );
    }

    #[test]
    fn short_tests_after_a_long_build_have_a_picture_of_their_own() {
        let mut run = good_run();
        assert_eq!(section(&run).into_string().matches("<svg").count(), 1);
        for phase in &mut run.phases {
            phase.start_ms = phase.start_ms.map(|start| 60_000 + start);
        }
        run.phases[1].start_ms = Some(100);
        run.phases[1].ms = 63_300;
        for test in &mut run.tests {
            test.start_ms = test.start_ms.map(|start| 60_000 + start);
        }
        assert_eq!(section(&run).into_string().matches("<svg").count(), 2);
        let close = close_up(&run).unwrap();
        let rows = close.within(rows(&run));
        let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str()).collect();
        assert_eq!(labels, ["boot", "tests"]);
        assert_eq!(close.at(close.from_ms + close.ms / 4), "25.000%");
    }

    #[test]
    fn without_times_there_is_no_picture() {
        let untimed = report(vec![outcome("a/x", Verdict::Pass, 5)]);
        assert!(section(&untimed).into_string().is_empty());
    }

    #[test]
    fn the_axis_has_round_marks_and_few() {
        for (total, want) in [
            (1, "0"),
            (60, "0 0.01 s 0.02 s 0.03 s 0.04 s 0.05 s 0.06 s"),
            (900, "0 0.20 s 0.40 s 0.60 s 0.80 s"),
            (23_400, "0 5 s 10 s 15 s 20 s"),
            (59_999, "0 10 s 20 s 30 s 40 s 50 s"),
            (100_000, "0 0:15 0:30 0:45 1:00 1:15 1:30"),
            (1_800_000, "0 5:00 10:00 15:00 20:00 25:00 30:00"),
        ] {
            let texts: Vec<String> = marks(total).into_iter().map(|(_, text)| text).collect();
            assert_eq!(texts.join(" "), want);
        }
        assert_eq!(marks(1 << 40).len(), 7);
        assert_eq!(percent(1, 3), "33.333%");
        assert_eq!(percent(0, 0), "0.000%");
    }
}
