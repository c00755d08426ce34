//! The figures for people. Pure.

use super::figures::{find, sizes};
use super::notes::{Driver, Run};
use crate::cmd::bench::clock::Clock;
use kdk_core::columns::columns;

/// What stands where there is nothing to divide by.
const NONE: &str = "-";

/// A line for each size and driver: with no ring stalled, then with one.
pub fn runs(runs: &[Run], clock: Clock) -> Vec<String> {
    let (work, rate) = units(clock);
    let mut rows = vec![
        [
            "bytes",
            "driver",
            &format!("{work}/frame"),
            &format!("{rate} a CPU"),
            &format!("others: {rate}"),
            "one stalled: of those offered",
            rate,
            "ratio",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for size in sizes(runs) {
        for driver in Driver::ALL {
            let Some(free) = find(runs, driver, size, false) else {
                continue;
            };
            let cost = free.cost().map(|ticks| clock.of_ns(ticks));
            let mut row = vec![
                size.to_string(),
                driver.name().to_owned(),
                cost.map_or_else(|| NONE.into(), |work| format!("{work:.0}")),
                free.capacity()
                    .map_or_else(|| NONE.into(), |rate| format!("{rate:.0}")),
                format!("{:.0}", free.rate()),
            ];
            row.extend(match find(runs, driver, size, true) {
                Some(stalled) => [
                    format!("{:.2} %", 100.0 * stalled.share()),
                    format!("{:.0}", stalled.rate()),
                    format!("{:.3}", stalled.rate() / free.rate()),
                ],
                None => [NONE; 3].map(str::to_owned),
            });
            rows.push(row);
        }
    }
    columns(&rows)
}

/// Of work, and of frames in a time.
pub fn units(clock: Clock) -> (&'static str, &'static str) {
    match clock {
        Clock::Time => ("ticks", "frames/Gtick"),
        Clock::Instructions(_) => ("insn", "frames/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::sample;
    use super::*;

    #[test]
    fn the_tables() {
        let mut lines = runs(&sample(), Clock::Instructions(8));
        lines.extend(runs(&sample()[..3], Clock::Time));
        insta::assert_snapshot!(lines.join("\n"));
    }
}
