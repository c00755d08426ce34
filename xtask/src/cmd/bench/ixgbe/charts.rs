//! The figures as charts: what a frame costs, and what is left of three
//! queues when the fourth is stalled. Pure.

use super::figures::{find, sizes};
use super::notes::{Driver, Run};
use super::table::units;
use crate::cmd::bench::clock::Clock;
use crate::cmd::bench::plot::{Chart, Legend, Line, Look, Sheet};

/// What is drawn.
pub fn sheet(runs: &[Run], clock: Clock, caption: String) -> Sheet {
    let (work, rate) = units(clock);
    let cost = Chart {
        title: "Work of driver and stack for a frame, no ring stalled".into(),
        x: "bytes of a frame",
        y: format!("{work} a frame"),
        legend: Legend::Top,
        lines: Driver::ALL
            .map(|driver| Line {
                name: driver.name().into(),
                look: look(driver),
                second: driver == Driver::Tree,
                points: points(runs, driver, false, |run| {
                    run.cost().map(|ticks| clock.of_ns(ticks))
                }),
            })
            .to_vec(),
    };
    let others = |name: &str, driver, stalled, look, second| Line {
        name: name.into(),
        look,
        second,
        points: points(runs, driver, stalled, |run| Some(run.rate())),
    };
    let stall = Chart {
        title: "Three queues together, the ring of the fourth stalled".into(),
        x: "bytes of a frame",
        y: rate.into(),
        legend: Legend::Middle,
        lines: vec![
            others("series", Driver::Series, true, Look::Subject, false),
            others(
                "series, no ring stalled",
                Driver::Series,
                false,
                Look::Other,
                true,
            ),
            others(
                "without ixgbe-rx-drop",
                Driver::WithoutDrop,
                true,
                Look::Rival,
                false,
            ),
            others("tree", Driver::Tree, true, Look::Other, false),
        ],
    };
    Sheet {
        title: "ixgbe: frames from four receive queues to the stack",
        caption,
        size: (1600, 640),
        columns: 2,
        charts: vec![cost, stall],
    }
}

/// What there is of a driver, the shortest frames first. Nothing is no point:
/// the axes are logarithmic.
fn points(
    runs: &[Run],
    driver: Driver,
    stalled: bool,
    quantity: impl Fn(&Run) -> Option<f64>,
) -> Vec<(f64, f64)> {
    let at = |size: u64| Some((size as f64, quantity(find(runs, driver, size, stalled)?)?));
    sizes(runs)
        .into_iter()
        .filter_map(at)
        .filter(|point| point.1 > 0.0)
        .collect()
}

fn look(driver: Driver) -> Look {
    match driver {
        Driver::Series => Look::Subject,
        Driver::WithoutDrop => Look::Rival,
        Driver::Tree => Look::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::sample;
    use super::*;

    #[test]
    fn charts_hold_what_was_measured() {
        let mut runs = sample();
        for run in &mut runs {
            run.others *= u64::from(run.driver != Driver::Tree || !run.stalled);
        }
        let sheet = sheet(&runs, Clock::Instructions(8), "caption".into());
        let mut told = Vec::new();
        for chart in &sheet.charts {
            told.push(format!("{} | {} | {}", chart.title, chart.x, chart.y));
            let lines = chart.lines.iter();
            told.extend(lines.map(|line| format!("  {} {:?}", line.name, line.points)));
        }
        insta::assert_snapshot!(told.join("\n"));
    }
}
