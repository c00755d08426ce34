//! Plots over revisions, as SVG in HTML. Places are in percent of the width, so
//! a plot is as wide as its page, and its text keeps its size.

use maud::{Markup, html};

use super::Line;
use crate::point::{Point, State};

/// The height of a plot in pixels.
const HEIGHT: f64 = 120.0;

/// The space above and below the values, in pixels.
const MARGIN: f64 = 10.0;

/// The most names of revisions below a plot.
const NAMES: usize = 5;

/// Returns the style class of a state.
pub fn class(state: State) -> &'static str {
    match state {
        State::Passed => "pass",
        State::Skipped => "skip",
        State::NotRun => "not-run",
        State::HostError => "timeout",
        State::Failed => "fail",
    }
}

/// Returns the number of jobs in each state by revision, as stacked bars.
pub fn jobs(points: &[Point]) -> Markup {
    let most = points.iter().map(|point| point.revision.jobs.len()).max();
    let most = most.unwrap_or(0).max(1);
    let scale = HEIGHT / most as f64;
    html! {
        div.plot {
            div.scale aria-hidden="true" { span { (most) } span { "0" } }
            div {
                svg width="100%" height=(HEIGHT) role="img"
                    aria-label="Jobs by revision: how many passed, failed or did not run" {
                    @for (at, point) in points.iter().enumerate() {
                        @for bar in stack(point, scale) {
                            rect.(class(bar.state)) x=(column(at, points.len(), 0.1))
                                width=(percent(0.8 / points.len() as f64))
                                y=(number(bar.top)) height=(number(bar.height)) {
                                title { (point.revision.short()) ": " (bar.count) " " (bar.state.name()) }
                            }
                        }
                    }
                }
                (names(points))
            }
        }
    }
}

/// A part of a bar.
struct Bar {
    state: State,
    count: usize,
    top: f64,
    height: f64,
}

fn stack(point: &Point, scale: f64) -> Vec<Bar> {
    let mut bottom = HEIGHT;
    let mut bars = Vec::new();
    for (state, count) in point.counts() {
        if count > 0 {
            let height = count as f64 * scale;
            bottom -= height;
            bars.push(Bar {
                state,
                count,
                top: bottom,
                height,
            });
        }
    }
    bars
}

/// Returns a ratio by revision: each value with its interval.
pub fn ratio(line: &Line, points: &[Point], fell: &[usize]) -> Markup {
    let range = Range::of(line);
    let places: Vec<(usize, f64)> = line
        .values
        .iter()
        .map(|(at, ratio)| (*at, range.y(ratio.value)))
        .collect();
    let x = |at: usize| column(at, points.len(), 0.5);
    html! {
        div.plot {
            div.scale aria-hidden="true" {
                span { (format!("{:.2}", range.high)) }
                span { (format!("{:.2}", range.low)) }
            }
            div {
                svg width="100%" height=(HEIGHT) role="img" aria-label={ (line.name) " by revision" } {
                    @for pair in places.windows(2) {
                        line.trend x1=(x(pair[0].0)) y1=(number(pair[0].1))
                            x2=(x(pair[1].0)) y2=(number(pair[1].1)) {}
                    }
                    @for (at, ratio) in &line.values {
                        line.noise x1=(x(*at)) x2=(x(*at))
                            y1=(number(range.y(ratio.low))) y2=(number(range.y(ratio.high))) {}
                        circle.(if fell.contains(at) { "fell" } else { "value" }) cx=(x(*at))
                            cy=(number(range.y(ratio.value))) r="4" {
                            title {
                                (points[*at].revision.short()) ": "
                                (format!("{:.3} ({:.3} to {:.3})", ratio.value, ratio.low, ratio.high))
                            }
                        }
                    }
                }
                (names(points))
            }
        }
    }
}

/// The values that a plot shows.
#[derive(Debug, PartialEq)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn of(line: &Line) -> Self {
        let finite = |value: &f64| value.is_finite();
        let lows = line
            .values
            .iter()
            .map(|(_, ratio)| ratio.low)
            .filter(finite);
        let highs = line
            .values
            .iter()
            .map(|(_, ratio)| ratio.high)
            .filter(finite);
        let (low, high) = (
            lows.fold(f64::INFINITY, f64::min),
            highs.fold(f64::NEG_INFINITY, f64::max),
        );
        if low > high {
            return Self {
                low: 0.0,
                high: 1.0,
            };
        }
        // A flat line is in the middle.
        let least = (low.abs() * 0.02).max(0.01);
        let more = (least - (high - low)).max(0.0) / 2.0;
        Self {
            low: low - more,
            high: high + more,
        }
    }

    /// Returns the place of a value, from the top.
    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        MARGIN + (1.0 - share) * (HEIGHT - 2.0 * MARGIN)
    }
}

/// Returns the names of some revisions, below their columns.
fn names(points: &[Point]) -> Markup {
    let step = points.len().div_ceil(NAMES).max(1);
    html! {
        div.axis aria-hidden="true" {
            @for (at, point) in points.iter().enumerate().rev().step_by(step) {
                span style={ "left:" (column(at, points.len(), 0.5)) } {
                    (point.revision.id.get(..6).unwrap_or(&point.revision.id))
                }
            }
        }
    }
}

/// Returns a place in column `at` of `count`, from 0 at its left to 1.
fn column(at: usize, count: usize, place: f64) -> String {
    percent((at as f64 + place) / count.max(1) as f64)
}

fn percent(share: f64) -> String {
    format!("{:.2}%", share * 100.0)
}

fn number(value: f64) -> String {
    format!("{value:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Ratio;

    fn line(values: &[(f64, f64)]) -> Line {
        let values = values.iter().enumerate().map(|(at, (low, high))| {
            let value = (low + high) / 2.0;
            (
                at,
                Ratio {
                    value,
                    low: *low,
                    high: *high,
                    less_is_better: false,
                },
            )
        });
        Line {
            name: "x".into(),
            values: values.collect(),
        }
    }

    #[test]
    fn a_range_has_all_values_and_some_height() {
        for (values, low, high) in [
            (&[(1.0, 2.0), (0.5, 1.5)][..], 0.5, 2.0),
            (&[(1.0, 1.0)], 0.99, 1.01),
            (&[(0.0, 0.0)], -0.005, 0.005),
            (&[], 0.0, 1.0),
            (&[(f64::NAN, f64::INFINITY)], 0.0, 1.0),
        ] {
            let range = Range::of(&line(values));
            assert!((range.low - low).abs() < 1e-9, "{range:?}");
            assert!((range.high - high).abs() < 1e-9, "{range:?}");
            for value in [low, high, f64::NAN, f64::INFINITY, -1e300] {
                let y = range.y(value);
                assert!((0.0..=HEIGHT).contains(&y), "{value}: {y}");
            }
        }
    }
}
