//! The figures as charts: four on one sheet. Pure.

use super::figures::{Quantity, cpu, p50, p99, throughput};
use super::notes::{Case, Method, Pace};
use crate::cmd::bench::clock::Clock;
use crate::cmd::bench::plot::{Chart, Legend, Line, Look, Sheet};

/// What is drawn.
pub fn sheet(cases: &[Case], clock: Clock, caption: String) -> Sheet {
    Sheet {
        title: "sendfile(2) from shared memory: SF_KQUEUE, SF_SYNC, and write(2)",
        caption,
        size: (1500, 1060),
        columns: 2,
        charts: charts(cases, clock),
    }
}

/// The charts that these cases can fill; what is on four workers stands in the
/// table alone.
fn charts(cases: &[Case], clock: Clock) -> Vec<Chart> {
    let free = |case: &&Case| case.setup.pace == Pace::Free;
    let plain: Vec<&Case> = cases
        .iter()
        .filter(|case| case.setup.workers == 1)
        .collect();
    let by_sockets: Vec<&Case> = {
        let known = ["-1", "-64", "-1024"];
        let named = |case: &&&Case| known.iter().any(|end| case.name.ends_with(end));
        plain.iter().copied().filter(|case| named(&case)).collect()
    };
    let rated: Vec<&Case> = by_sockets
        .iter()
        .copied()
        .filter(|case| !free(case))
        .collect();
    let unthrottled: Vec<&Case> = by_sockets.into_iter().filter(free).collect();
    let sizes: Vec<&Case> = plain
        .into_iter()
        .filter(|case| free(case) && case.setup.sockets == 64)
        .collect();
    let sockets = |case: &Case| case.setup.sockets as f64;
    let mib = |run: &super::notes::Run| throughput(run) / f64::from(1 << 20);
    let unit = clock.unit();
    let charts = [
        Chart {
            title: "Readers rate-limited: throughput".into(),
            x: "sockets of one worker",
            y: "MiB/s".into(),
            legend: Legend::Top,
            lines: lines(&rated, sockets, mib, "", false),
        },
        Chart {
            title: "Readers unthrottled: throughput".into(),
            x: "sockets of one worker",
            y: "MiB/s".into(),
            legend: Legend::Top,
            lines: lines(&unthrottled, sockets, mib, "", false),
        },
        Chart {
            title: "Readers unthrottled, 64 sockets: CPU".into(),
            x: "KiB of a buffer",
            y: format!("{unit} per byte, whole machine"),
            legend: Legend::Top,
            lines: lines(
                &sizes,
                |case| case.setup.chunk as f64 / 1024.0,
                cpu,
                "",
                false,
            )
            .into_iter()
            .map(|line| told_in(line, clock))
            .collect(),
        },
        Chart {
            title: "Readers rate-limited: until a buffer can be used again".into(),
            x: "sockets of one worker",
            y: "ms".into(),
            legend: Legend::Top,
            lines: [
                lines(&rated, sockets, p50, ", median", false),
                lines(&rated, sockets, p99, ", 99 %", true),
            ]
            .concat(),
        },
    ];
    let is_full = |chart: &Chart| chart.lines.iter().any(|line| !line.points.is_empty());
    charts.into_iter().filter(is_full).collect()
}

fn lines(
    cases: &[&Case],
    x: impl Fn(&Case) -> f64,
    y: Quantity,
    suffix: &str,
    second: bool,
) -> Vec<Line> {
    let line = |method: Method| {
        let point = |case: &&Case| (x(case), case.median(method, y));
        let mut points: Vec<(f64, f64)> = cases.iter().map(point).collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        Line {
            name: format!("{}{suffix}", method.name()),
            look: look(method),
            second,
            points,
        }
    };
    Method::ALL.map(line).to_vec()
}

fn told_in(mut line: Line, clock: Clock) -> Line {
    for point in &mut line.points {
        point.1 = clock.of_ns(point.1);
    }
    line
}

fn look(method: Method) -> Look {
    match method {
        Method::Kqueue => Look::Subject,
        Method::Sync => Look::Rival,
        Method::Write => Look::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::{sample, setup};
    use super::*;

    fn cases() -> Vec<Case> {
        let rounds = [[8_000_000, 1_000_000, 9_000_000]];
        let mut many = setup(Pace::Rated(1), 16 << 10);
        many.sockets = 1024;
        let mut four = setup(Pace::Free, 64 << 10);
        four.workers = 4;
        vec![
            sample("bench/free-64", setup(Pace::Free, 64 << 10), &rounds),
            sample("bench/free-64-4k", setup(Pace::Free, 4 << 10), &rounds),
            sample("bench/free-64-own", four, &rounds),
            sample("bench/rated-1024", many, &rounds),
            sample("bench/rated-64", setup(Pace::Rated(1), 16 << 10), &rounds),
        ]
    }

    #[test]
    fn charts_hold_what_was_measured() {
        let charts = charts(&cases(), Clock::Instructions(8));
        let told: Vec<String> = charts
            .iter()
            .flat_map(|chart| {
                chart.lines.iter().map(move |line| {
                    let Line { name, points, .. } = line;
                    format!(
                        "{} | {} | {}: {name} {points:?}",
                        chart.title, chart.x, chart.y
                    )
                })
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
        assert!(super::charts(&[], Clock::Time).is_empty());
    }
}
