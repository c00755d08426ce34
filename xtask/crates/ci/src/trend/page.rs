//! The trend as one HTML page, which loads nothing.

use maud::{DOCTYPE, Markup, html};

use super::plot::{self, class};
use super::{Line, Trend};
use crate::point::{Point, State, without_base};
use crate::result::JobVerdict;
use crate::revision::short;
use kdk_report::html::{duration, head_with, visible};

/// The style of what only this page has.
const STYLE: &str = include_str!("trend.css");

/// The most revisions that the plots and tables show.
const SHOWN: usize = 30;

/// Returns the page.
pub fn page(trend: &Trend) -> Markup {
    let first = trend.points.len().saturating_sub(SHOWN);
    let points = &trend.points[first..];
    let base = points.last().map_or("", |point| &point.revision.base);
    html! {
        (DOCTYPE)
        html lang="en" {
            (head_with(&format!("{}: CI", visible(base)), STYLE))
            body {
                a.to-tests href="#revisions" { "Skip to the revisions" }
                (header(trend, points))
                main {
                    (findings(trend))
                    (revisions(points, first))
                    (patches(points))
                    (benchmarks(trend, points, first))
                    div.columns {
                        (flaky(trend))
                        (phases(trend))
                    }
                }
            }
        }
    }
}

fn header(trend: &Trend, points: &[Point]) -> Markup {
    let last = points.last();
    let state = last.map_or(State::NotRun, Point::worst);
    html! {
        header.(if state <= State::Skipped { "good" } else { "bad" }) {
            p.kicker { "fbsd-kdk CI" }
            h1 { (visible(last.map_or("", |point| &point.revision.base))) }
            @if let Some(point) = last {
                p.state { "revision " (point.revision.number) " " (state.name()) }
                p.uname {
                    (short(&point.revision.id)) ", " (point.revision.patches.len()) " patches, "
                    (trend.points.len())
                    @if trend.points.len() == 1 { " revision" } @else { " revisions" }
                    @if point.left_out > 0 { ", " (point.left_out) " unchanged jobs not run" }
                }
                ul.counts {
                    @for (state, count) in point.counts() {
                        @if count > 0 { li.(class(state)) { b { (count) } " " span { (state.name()) } } }
                    }
                }
            }
        }
    }
}

/// Returns what became worse.
fn findings(trend: &Trend) -> Markup {
    let newly = newly_failed(&trend.points);
    html! {
        section.card.failures[!newly.is_empty() || !trend.regressions.is_empty()]
            aria-labelledby="findings" {
            h2 id="findings" { "What became worse" }
            @if newly.is_empty() && trend.regressions.is_empty() {
                p.muted { "Nothing since the revision before, and no benchmark became worse by more than its noise." }
            }
            ol {
                @for (id, why) in &newly {
                    li {
                        span.badge.fail { "FAILED" }
                        span.name { (visible(without_base(id))) }
                        span.why { "passed in the revision before: " (visible(why)) }
                    }
                }
                @for one in &trend.regressions {
                    li {
                        span.badge.timeout { "WORSE" }
                        a href={ "#" (anchor(&one.revision)) } { "revision " (short(&one.revision)) }
                        span.why {
                            (visible(&one.name)) ": "
                            (format!("{:.3} ({:.3} to {:.3})", one.now.value, one.now.low, one.now.high))
                            ", was " (format!("{:.3} ({:.3} to {:.3})", one.before.value, one.before.low, one.before.high))
                            " in " (short(&one.since))
                        }
                    }
                }
            }
        }
    }
}

/// Returns the jobs of the last revision that failed and passed in the one
/// before.
fn newly_failed(points: &[Point]) -> Vec<(&str, &str)> {
    let [.., before, last] = points else {
        return Vec::new();
    };
    let failed = last.results.iter().filter(|(id, result)| {
        result.verdict == JobVerdict::Failed && before.state(id) == State::Passed
    });
    failed
        .map(|(id, result)| (id.as_str(), result.why.as_str()))
        .collect()
}

fn anchor(id: &str) -> String {
    format!("r-{}", short(id))
}

fn revisions(points: &[Point], first: usize) -> Markup {
    html! {
        section.card aria-labelledby="revisions" {
            h2 id="revisions" { "Jobs by revision" }
            @if first > 0 { p.muted { "The last " (points.len()) " of " (points.len() + first) " revisions." } }
            (plot::jobs(points))
            div.scroll tabindex="0" role="region" aria-label="Jobs by revision, as a table" {
                table {
                    thead {
                        tr {
                            th scope="col" { "revision" }
                            th scope="col" { "id" }
                            @for state in State::ALL.iter().rev() { th.time scope="col" { (state.name()) } }
                            th.time scope="col" { "took" }
                        }
                    }
                    tbody {
                        @for point in points.iter().rev() {
                            tr id=(anchor(&point.revision.id)) {
                                th scope="row" { (point.revision.number) }
                                td { code { (short(&point.revision.id)) } }
                                @for (state, count) in point.counts().into_iter().rev() {
                                    td.time.(class(state)).hue[count > 0] { (count) }
                                }
                                td.time { (duration(took(point))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Returns how long the jobs took that ran for this revision.
fn took(point: &Point) -> u64 {
    let results = point.results.values();
    let own = results.filter(|result| result.revision == point.revision.id);
    own.map(|result| result.ms).sum()
}

/// Returns the verdict of each patch in each revision.
fn patches(points: &[Point]) -> Markup {
    let Some(last) = points.last() else {
        return html! {};
    };
    html! {
        section.card aria-labelledby="patches" {
            h2 id="patches" { "Patches by revision" }
            div.scroll tabindex="0" role="region" aria-label="The verdict of each patch in each revision" {
                table.grid {
                    thead {
                        tr {
                            th scope="col" { "patch" }
                            @for point in points.iter().rev() {
                                th scope="col" { abbr title=(short(&point.revision.id)) { (point.revision.number) } }
                            }
                        }
                    }
                    tbody {
                        @for patch in &last.revision.patches {
                            tr {
                                th scope="row" title=(visible(&patch.subject)) { (visible(&patch.id)) }
                                @for (at, point) in points.iter().enumerate().rev() {
                                    (cell(points, at, &patch.id, point))
                                }
                            }
                        }
                    }
                }
            }
            p.muted {
                @for state in State::ALL { span.key { span.mark.(class(state)) aria-hidden="true" {} (state.name()) } }
                span.key { span.mark.change aria-hidden="true" {} "the patch changed" }
            }
        }
    }
}

fn cell(points: &[Point], at: usize, id: &str, point: &Point) -> Markup {
    let Some(patch) = point.revision.patch(id) else {
        return html! { td { span.visually-hidden { "not in this revision" } } };
    };
    let before = at
        .checked_sub(1)
        .and_then(|at| points[at].revision.patch(id));
    let changed = before.is_some_and(|before| before.patch_id != patch.patch_id);
    let state = point.state_of(id);
    let text = match changed {
        true => format!("{}, changed", state.name()),
        false => state.name().to_owned(),
    };
    html! {
        td.changed[changed] {
            span.mark.(class(state)) title=(text) { span.visually-hidden { (text) } }
        }
    }
}

fn benchmarks(trend: &Trend, points: &[Point], first: usize) -> Markup {
    if trend.lines.is_empty() {
        return html! {};
    }
    html! {
        section.card aria-labelledby="benchmarks" {
            h2 id="benchmarks" { "Benchmarks by revision" }
            p.muted { "Each value with its noise. A ring is a value that became worse by more than that." }
            div.plots {
                @for line in &trend.lines {
                    @let shown = within(line, first);
                    @if !shown.values.is_empty() { (benchmark(trend, &shown, points)) }
                }
            }
        }
    }
}

/// Returns the values of the revisions that are shown, by their new positions.
fn within(line: &Line, first: usize) -> Line {
    let values = line
        .values
        .iter()
        .filter_map(|(at, ratio)| Some((at.checked_sub(first)?, *ratio)));
    Line {
        name: visible(&line.name),
        values: values.collect(),
    }
}

fn benchmark(trend: &Trend, line: &Line, points: &[Point]) -> Markup {
    let fell: Vec<usize> = line
        .values
        .iter()
        .map(|(at, _)| *at)
        .filter(|at| {
            let id = &points[*at].revision.id;
            let mut regressions = trend.regressions.iter();
            regressions.any(|one| one.revision == *id && visible(&one.name) == line.name)
        })
        .collect();
    html! {
        figure {
            figcaption { (line.name) }
            (plot::ratio(line, points, &fell))
            details.phases {
                summary { "Values" }
                table {
                    thead { tr { th scope="col" { "revision" } th.time scope="col" { "value" } th.time scope="col" { "noise" } } }
                    tbody {
                        @for (at, ratio) in line.values.iter().rev() {
                            tr {
                                th scope="row" { code { (short(&points[*at].revision.id)) } @if fell.contains(at) { " worse" } }
                                td.time { (format!("{:.3}", ratio.value)) }
                                td.time { (format!("{:.3} to {:.3}", ratio.low, ratio.high)) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn flaky(trend: &Trend) -> Markup {
    html! {
        section.card aria-labelledby="flaky" {
            h2 id="flaky" { "Flaky tests" }
            @if trend.flaky.is_empty() {
                p.muted { "No test passed in some runs of one kernel and failed in others." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Flaky tests" {
                    table {
                        thead {
                            tr {
                                th scope="col" { "test" }
                                th.time scope="col" { "failed" }
                                th.time scope="col" { "95 % interval" }
                            }
                        }
                        tbody {
                            @for one in &trend.flaky {
                                @let (low, high) = one.interval();
                                tr {
                                    th.name scope="row" { (visible(&one.name)) }
                                    td.time { (one.failures) " of " (one.runs) }
                                    td.time { (format!("{:.1} to {:.1} %", 100.0 * low, 100.0 * high)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn phases(trend: &Trend) -> Markup {
    let most = trend.phases.first().map_or(1, |one| one.ms.max(1));
    html! {
        section.card aria-labelledby="phases" {
            h2 id="phases" { "Slowest phases" }
            @if trend.phases.is_empty() { p.muted { "No phase was measured." } }
            ol.slowest {
                @for one in &trend.phases {
                    li style={ "--share:" (one.ms * 100 / most) "%" } {
                        span { (visible(&one.phase)) " of " (visible(&one.job)) }
                        span.time { (duration(one.ms)) }
                    }
                }
            }
        }
    }
}
