//! The figures as charts: an occupancy a column, time above and words read
//! below. Pure.

use super::figures::{Quantity, percents, series, time};
use super::notes::{Algorithm, Walk};
use crate::cmd::bench::clock::Clock;
use crate::cmd::bench::plot::{Chart, Legend, Line, Look, Sheet};

/// What is drawn.
pub fn sheet(walks: &[Walk], clock: Clock, caption: String) -> Sheet {
    let percents = percents(walks);
    let unit = match clock {
        Clock::Time => "ticks of the processor's counter",
        Clock::Instructions(_) => "instructions",
    };
    let of = |what: &str, percent: u64, y: &str, quantity: Quantity, clock: Clock| Chart {
        title: format!("{what}, {percent} % of the buckets in use"),
        x: "buckets of the table",
        y: y.into(),
        legend: Legend::Top,
        lines: lines(walks, percent, quantity, clock),
    };
    let times = percents
        .iter()
        .map(|percent| of("Time", *percent, unit, time, clock));
    let words = percents.iter().map(|percent| {
        let y = "words of the mask, 32 bits each";
        of("Mask read", *percent, y, Walk::words, Clock::Time)
    });
    Sheet {
        title: "flowtable: a walk over the buckets in use, nothing stale",
        caption,
        size: (2320, 1120),
        columns: percents.len().max(1),
        charts: times.chain(words).collect(),
    }
}

fn lines(walks: &[Walk], percent: u64, quantity: Quantity, clock: Clock) -> Vec<Line> {
    let line = |algorithm: Algorithm| Line {
        name: name(algorithm).into(),
        look: look(algorithm),
        second: algorithm == Algorithm::Tree,
        points: series(walks, algorithm, percent)
            .iter()
            .map(|walk| (walk.size as f64, clock.of_ns(quantity(walk))))
            .collect(),
    };
    Algorithm::ALL.map(line).to_vec()
}

fn name(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Series => "series",
        Algorithm::BitAtATime => "FreeBSD 10.0",
        Algorithm::Tree => "tree (leaves buckets out)",
    }
}

fn look(algorithm: Algorithm) -> Look {
    match algorithm {
        Algorithm::Series => Look::Subject,
        Algorithm::BitAtATime => Look::Rival,
        Algorithm::Tree => Look::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::sample;
    use super::*;

    #[test]
    fn charts_hold_what_was_measured() {
        let sheet = sheet(&sample(), Clock::Instructions(8), "caption".into());
        let mut told = vec![format!("{} columns", sheet.columns)];
        for chart in &sheet.charts {
            told.push(format!("{} | {} | {}", chart.title, chart.x, chart.y));
            let lines = chart.lines.iter();
            told.extend(lines.map(|line| format!("  {} {:?}", line.name, line.points)));
        }
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn without_walks_there_are_no_charts() {
        assert!(sheet(&[], Clock::Time, String::new()).charts.is_empty());
    }
}
