//! From samples to figures, tables, goals and charts. Pure.

use kdk_core::columns::columns;

use super::{Cell, ChartSpec, Figure, MeasuredRatio, ROW, Study, Table, Term};
use crate::clock::Clock;
use crate::goal::{Bound, Goal};
use crate::plot::{Chart, Line, Sheet};
use crate::ratio;
use crate::samples::{Group, Sample};

/// Stands where nothing was measured.
const NONE: &str = "-";

impl Study {
    /// Replaces the words that depend on the clock.
    fn words(&self, clock: Clock, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, time, counted) in self.units {
            let word = match clock {
                Clock::Time => time,
                Clock::Instructions(_) => counted,
            };
            text = text.replace(&format!("{{{name}}}"), word);
        }
        text
    }

    /// Returns the lines of the tables, an empty one after each.
    pub(crate) fn render_tables(&self, samples: &[Sample], clock: Clock) -> Vec<String> {
        let mut lines = Vec::new();
        for table in self.tables {
            let rows = rows(table, samples, clock);
            if rows.is_empty() {
                continue;
            }
            if !table.title.is_empty() {
                lines.push(self.words(clock, table.title));
            }
            let head = table.columns.iter();
            let head = head.map(|(head, _)| self.words(clock, head)).collect();
            lines.extend(columns(&[vec![head], rows].concat()));
            lines.push(String::new());
        }
        lines
    }

    /// Returns the goals that the samples can show.
    pub(crate) fn goals(&self, samples: &[Sample]) -> Vec<Goal> {
        let mut goals = Vec::new();
        for set in self.goals {
            for case in Group::of(samples, set.label).cases(set.cases) {
                for spec in set.goals {
                    let group = case.filter(spec.when);
                    let Some(measured) = spec.figure.of(&group, ROW) else {
                        continue;
                    };
                    let test = group.fill("{test}");
                    let (what, bound) = (group.fill(spec.what), spec.bound);
                    goals.push(Goal {
                        what,
                        measured,
                        bound,
                        test,
                    });
                }
            }
        }
        goals
    }

    /// Returns the goals that are ratios, with the noise of their rounds.
    pub(crate) fn measured_ratios(&self, samples: &[Sample]) -> Vec<MeasuredRatio> {
        let mut all = Vec::new();
        for set in self.goals {
            for case in Group::of(samples, set.label).cases(set.cases) {
                for spec in set.goals {
                    let group = case.filter(spec.when);
                    let Some([value, low, high]) = spec.figure.with_noise(&group) else {
                        continue;
                    };
                    all.push(MeasuredRatio {
                        name: group.fill(spec.what),
                        value,
                        low,
                        high,
                        less_is_better: matches!(spec.bound, Bound::AtMost(_) | Bound::Below(_)),
                    });
                }
            }
        }
        all
    }

    /// Returns the plot.
    pub(crate) fn sheet(&self, samples: &[Sample], clock: Clock, caption: String) -> Sheet {
        let mut charts = Vec::new();
        for spec in self.plot.charts {
            let group = Group::of(samples, spec.label).filter(spec.when);
            for case in group.cases(spec.cases) {
                charts.push(self.chart(spec, &case, clock));
            }
        }
        charts.retain(|chart| chart.lines.iter().any(|line| !line.points.is_empty()));
        Sheet {
            title: self.plot.title,
            caption,
            size: self.plot.size,
            columns: (self.plot.columns)(charts.len()).max(1),
            charts,
        }
    }

    fn chart(&self, spec: &ChartSpec, case: &Group<'_>, clock: Clock) -> Chart {
        let (key, scale) = spec.x;
        let lines = spec.lines.iter().map(|line| {
            let points = points(case, line.term, ROW, key).into_iter();
            Line {
                name: line.name.into(),
                look: line.look,
                hollow: line.hollow,
                // The axes are logarithmic.
                points: points
                    .map(|(x, y)| (x / scale, in_units(y, line.term, clock)))
                    .filter(|(_, y)| *y > 0.0)
                    .collect(),
            }
        });
        Chart {
            title: case.fill(spec.title),
            x: spec.axes.0,
            y: self.words(clock, spec.axes.1),
            legend: spec.legend,
            lines: lines.collect(),
        }
    }
}

fn rows(table: &Table, samples: &[Sample], clock: Clock) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for case in Group::of(samples, table.label).cases(table.cases) {
        let mut row = |group: &Group<'_>, variant: &str| {
            if !group.0.is_empty() {
                let cells = table.columns.iter();
                rows.push(
                    cells
                        .map(|(_, cell)| cell.render(&case, group, variant, clock))
                        .collect(),
                );
            }
        };
        match table.variants {
            [] => row(&case, ROW),
            variants => variants.iter().for_each(|v| row(&case.variant(v), v)),
        }
    }
    rows
}

impl Cell {
    /// Renders the cell of a row, whose samples are `row`, of a case.
    fn render(&self, case: &Group<'_>, row: &Group<'_>, variant: &str, clock: Clock) -> String {
        let number = |figure: &Figure, scale: f64, decimals: usize, suffix: &str| {
            let value = match figure {
                Figure::Median(term) => figure
                    .of(case, variant)
                    .map(|value| in_units(value, *term, clock)),
                _ => figure.of(case, variant),
            };
            value.map_or_else(
                || NONE.to_owned(),
                |value| format!("{:.decimals$}{suffix}", scale * value),
            )
        };
        match self {
            Self::Text(text) => row
                .fill(text)
                .replace("{variant}", variant)
                .replace("{count}", &row.0.len().to_string()),
            Self::Number(figure, decimals) => number(figure, 1.0, *decimals, ""),
            Self::Percent(figure) => number(figure, 100.0, 2, " %"),
        }
    }
}

/// Converts a value of a metric to what the clock counts.
fn in_units(value: f64, (metric, _): Term, clock: Clock) -> f64 {
    if metric.clocked {
        clock.of_ns(value)
    } else {
        value
    }
}

impl Figure {
    /// Returns the figure of a case; `row` is the variant that [`ROW`] stands
    /// for.
    pub(crate) fn of(&self, case: &Group<'_>, row: &str) -> Option<f64> {
        let over = |key: &str, figure: &Figure, better: fn(f64, f64) -> f64| {
            let groups = case.split(key);
            let each = groups.iter().filter_map(|group| figure.of(group, row));
            each.reduce(better)
        };
        match self {
            Self::Median(term) => middle(values(case, *term, row)),
            Self::Ratio(top, bottom) => middle(ratios(case, *top, *bottom, row)),
            Self::Sum(term) => values(case, *term, row).into_iter().reduce(|a, b| a + b),
            Self::Exponent(term, key) => exponent(&points(case, *term, row, key)),
            Self::Growth(term, key) => {
                let points = points(case, *term, row, key);
                Some(ratio(points.last()?.1, points.first()?.1))
            }
            Self::Least(key, figure) => over(key, figure, f64::min),
            Self::Most(key, figure) => over(key, figure, f64::max),
        }
    }
}

impl Figure {
    /// Returns the ratio of a case with the least and the greatest of its rounds;
    /// none for what is no ratio.
    fn with_noise(&self, case: &Group<'_>) -> Option<[f64; 3]> {
        let of_groups = |key: &str, figure: &Figure| -> Vec<[f64; 3]> {
            let groups = case.split(key).into_iter();
            groups
                .filter_map(|group| figure.with_noise(&group))
                .collect()
        };
        let by_value = |a: &[f64; 3], b: &[f64; 3]| a[0].total_cmp(&b[0]);
        match self {
            Self::Ratio(top, bottom) => {
                let ratios = ratios(case, *top, *bottom, ROW);
                let low = ratios.iter().copied().reduce(f64::min)?;
                let high = ratios.iter().copied().reduce(f64::max)?;
                Some([middle(ratios)?, low, high])
            }
            Self::Least(key, figure) => of_groups(key, figure).into_iter().min_by(by_value),
            Self::Most(key, figure) => of_groups(key, figure).into_iter().max_by(by_value),
            Self::Median(_) | Self::Sum(_) | Self::Exponent(..) | Self::Growth(..) => None,
        }
    }
}

/// Returns the ratio of each round.
fn ratios(case: &Group<'_>, top: Term, bottom: Term, row: &str) -> Vec<f64> {
    let (top, bottom) = (values(case, top, row), values(case, bottom, row));
    let pairs = top.into_iter().zip(bottom);
    pairs.map(|(top, bottom)| ratio(top, bottom)).collect()
}

/// Returns the metric of each round.
fn values(case: &Group<'_>, (metric, variant): Term, row: &str) -> Vec<f64> {
    let variant = if variant == ROW { row } else { variant };
    let samples = case.0.iter().filter(|sample| {
        let fits = |(key, value)| sample.int(key) == value;
        sample.variant == variant && metric.when.is_none_or(fits)
    });
    samples.filter_map(|sample| (metric.of)(sample)).collect()
}

/// Returns the median metric at each value of a key.
fn points(case: &Group<'_>, term: Term, row: &str, key: &str) -> Vec<(f64, f64)> {
    let groups = case.split(key);
    let point = |group: &Group<'_>| {
        let y = middle(values(group, term, row))?;
        Some((group.range(key).0 as f64, y))
    };
    groups.iter().filter_map(point).collect()
}

/// Returns the median; of two values in the middle, the greater.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// Returns the power of x with which y grows: the slope of the line through
/// the logarithms of both that has the least squares. None for fewer than two
/// points, and if a number is 0.
fn exponent(points: &[(f64, f64)]) -> Option<f64> {
    let points: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = points.len() as f64;
    let x = points.iter().map(|point| point.0).sum::<f64>() / count;
    let y = points.iter().map(|point| point.1).sum::<f64>() / count;
    let square = points.iter().map(|point| (point.0 - x).powi(2));
    let product = points.iter().map(|point| (point.0 - x) * (point.1 - y));
    let slope = product.sum::<f64>() / square.sum::<f64>();
    slope.is_finite().then_some(slope)
}

/// Renders goals and charts for snapshots.
#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::comparison::Metric;
    use crate::samples::tests::sample;

    /// Returns a line for each goal.
    pub fn goals(study: &Study, samples: &[Sample]) -> String {
        let lines: Vec<String> = study.goals(samples).iter().map(Goal::to_string).collect();
        lines.join("\n")
    }

    /// Returns the names and points of all charts.
    pub fn charts(study: &Study, samples: &[Sample]) -> String {
        let sheet = study.sheet(samples, Clock::Instructions(8), "caption".into());
        let mut lines = vec![format!("{} columns", sheet.columns)];
        for chart in &sheet.charts {
            lines.push(format!("{} | {} | {}", chart.title, chart.x, chart.y));
            let points = chart.lines.iter();
            lines.extend(points.map(|line| format!("  {} {:?}", line.name, line.points)));
        }
        lines.join("\n")
    }

    /// Returns the tables in both units.
    pub fn tables(study: &Study, samples: &[Sample]) -> String {
        let mut lines = study.render_tables(samples, Clock::Instructions(8));
        lines.extend(study.render_tables(samples, Clock::Time));
        lines.join("\n")
    }

    static TICKS: Metric = Metric {
        clocked: true,
        when: None,
        of: |sample| Some(sample.get("ticks")),
    };

    #[test]
    fn ratios_are_of_rounds_and_not_of_medians() {
        let rounds = [(100, 10), (900, 100), (500, 20)];
        let samples: Vec<Sample> = rounds
            .iter()
            .flat_map(|(a, b)| [("a", *a), ("b", *b)])
            .map(|(variant, ticks)| sample("run", "x/y", variant, &[("ticks", ticks)]))
            .collect();
        let case = Group::of(&samples, "run");
        let (a, b) = ((&TICKS, "a"), (&TICKS, ROW));
        assert_eq!(Figure::Median(a).of(&case, ""), Some(500.0));
        assert_eq!(Figure::Ratio(a, b).of(&case, "b"), Some(10.0));
        assert_eq!(Figure::Sum(b).of(&case, "b"), Some(130.0));
        assert_eq!(Figure::Median(b).of(&case, "c"), None);
    }

    #[test]
    fn powers_of_x_are_found() {
        let of = |ticks: &[u32]| {
            let points: Vec<(f64, f64)> = [256.0, 512.0, 1024.0]
                .into_iter()
                .zip(ticks.iter().copied().map(f64::from))
                .collect();
            exponent(&points).map(|exponent| (exponent * 1000.0).round() / 1000.0)
        };
        for (ticks, wanted) in [
            (&[100, 200, 400][..], Some(1.0)),
            (&[100, 400, 1600], Some(2.0)),
            (&[7, 7, 7], Some(0.0)),
            (&[100, 200], Some(1.0)),
            (&[100, 300, 400], Some(1.0)),
            (&[100], None),
            (&[], None),
            (&[0, 1, 2], None),
        ] {
            assert_eq!(of(ticks), wanted, "{ticks:?}");
        }
    }
}
