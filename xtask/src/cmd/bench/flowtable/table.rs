//! The figures for people. Pure.

use super::figures::{exponent, find, percents, series, sizes, time};
use super::notes::{Algorithm, Walk};
use crate::cmd::bench::clock::Clock;
use kdk_core::columns::columns;

/// What stands where nothing was measured.
const NONE: &str = "-";

/// A line for each occupancy and size, all algorithms side by side.
pub fn walks(walks: &[Walk], clock: Clock) -> Vec<String> {
    let unit = match clock {
        Clock::Time => "ticks",
        Clock::Instructions(_) => "insn",
    };
    let mut head = vec!["in use".to_owned(), "buckets".into(), "set".into()];
    for algorithm in Algorithm::ALL {
        let name = algorithm.name();
        head.extend([format!("{name}: visited"), "words".into(), unit.into()]);
    }
    head.extend([format!("series: {unit}/set"), "10.0/series".into()]);
    let mut rows = vec![head];
    for percent in percents(walks) {
        for size in sizes(walks) {
            let of = |algorithm| find(walks, algorithm, size, percent);
            let Some(its) = of(Algorithm::Series) else {
                continue;
            };
            let mut row = vec![
                format!("{percent} %"),
                size.to_string(),
                its.set.to_string(),
            ];
            for algorithm in Algorithm::ALL {
                row.extend(match of(algorithm) {
                    Some(walk) => [
                        walk.visited.to_string(),
                        format!("{:.0}", walk.words()),
                        format!("{:.0}", clock.of_ns(time(walk))),
                    ],
                    None => [NONE; 3].map(str::to_owned),
                });
            }
            let each = clock.of_ns(time(its)) / its.set.max(1) as f64;
            row.push(format!("{each:.1}"));
            row.push(match of(Algorithm::BitAtATime) {
                Some(other) => format!("{:.1}", time(other) / time(its)),
                None => NONE.into(),
            });
            rows.push(row);
        }
    }
    columns(&rows)
}

/// Exponents in the table's size, and the sizes they were found with.
pub fn exponents(walks: &[Walk]) -> Vec<String> {
    let head = ["in use", "algorithm", "time", "words read", "sizes"].map(str::to_owned);
    let mut rows = vec![head.to_vec()];
    for percent in percents(walks) {
        for algorithm in Algorithm::ALL {
            let its = series(walks, algorithm, percent);
            let (Some(first), Some(last)) = (its.first(), its.last()) else {
                continue;
            };
            let told = |exponent: Option<f64>| {
                exponent.map_or_else(|| NONE.to_owned(), |exponent| format!("{exponent:.3}"))
            };
            rows.push(vec![
                format!("{percent} %"),
                algorithm.name().into(),
                told(exponent(&its, time)),
                told(exponent(&its, Walk::words)),
                format!("{} of {} to {}", its.len(), first.size, last.size),
            ]);
        }
    }
    let mut lines = vec!["fitted exponents in the table's size at a fixed occupancy".to_owned()];
    lines.extend(columns(&rows));
    lines
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::sample;
    use super::*;

    #[test]
    fn the_tables() {
        let mut all = sample();
        all.retain(|walk| walk.algorithm != Algorithm::BitAtATime || walk.size < 65536);
        let mut lines = walks(&all, Clock::Instructions(8));
        lines.extend(walks(&all[..4], Clock::Time));
        lines.extend(exponents(&all));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
