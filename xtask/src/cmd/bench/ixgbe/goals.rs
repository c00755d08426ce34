//! What has to be reached, and whether it was. Pure.

use super::figures::{find, left, sizes};
use super::notes::{Driver, Run};
use crate::cmd::bench::goal::Goal;

/// What has to be left of the other queues' rates.
const LEFT: f64 = 0.95;
/// What may be left without the patch: else it is not the stall that was
/// measured.
const LOST: f64 = 0.05;
/// A frame may cost so many times what it costs without the patches.
const COST: f64 = 1.05;

/// The goals that these runs can show; `test` is the tests' name without the
/// size. Of all sizes the worst is judged.
pub fn of(runs: &[Run], test: &str) -> Vec<Goal> {
    let judged = |what: &str, seen: f64, need: String, reached: bool| Goal {
        what: what.into(),
        seen,
        need,
        reached,
        test: format!("{test}*"),
    };
    let least = |what: &str, quantity: fn(&Run) -> f64| {
        let seen = left(runs, Driver::Series, quantity)
            .into_iter()
            .reduce(f64::min)?;
        Some(judged(what, seen, format!("at least {LEFT}"), seen >= LEFT))
    };
    let lost = || {
        let seen = left(runs, Driver::WithoutDrop, Run::rate)
            .into_iter()
            .reduce(f64::max)?;
        let what =
            "frames/s of the three other queues, one ring stalled to none, without ixgbe-rx-drop";
        Some(judged(what, seen, format!("at most {LOST}"), seen <= LOST))
    };
    let cost = || {
        let seen = costs(runs).into_iter().reduce(f64::max)?;
        let what = "work for a frame, series to tree, no ring stalled";
        Some(judged(what, seen, format!("at most {COST}"), seen <= COST))
    };
    let all = || {
        let seen = wrong(runs)?;
        let what = "frames lost or out of order, series, no ring stalled";
        Some(judged(what, seen as f64, "0".into(), seen == 0))
    };
    [
        least(
            "frames/s of the three other queues, one ring stalled to none, series",
            Run::rate,
        ),
        least(
            "frames of the three other queues, of those offered, one ring stalled to none, series",
            Run::share,
        ),
        lost(),
        all(),
        cost(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What a frame costs with the series, to what it costs without.
fn costs(runs: &[Run]) -> Vec<f64> {
    let at = |size| {
        let of = |driver| find(runs, driver, size, false)?.cost();
        Some(of(Driver::Series)? / of(Driver::Tree)?)
    };
    sizes(runs).into_iter().filter_map(at).collect()
}

/// Frames that should have come, or in another order.
fn wrong(runs: &[Run]) -> Option<u64> {
    let its = runs
        .iter()
        .filter(|run| run.driver == Driver::Series && !run.stalled);
    // The last queue gets a third of what the others get together.
    let wrong = its.map(|run| {
        let all = run.offered + run.offered / 3;
        run.astray + all.abs_diff(run.others + run.own)
    });
    wrong.reduce(|all, wrong| all + wrong)
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::sample;
    use super::*;
    use crate::cmd::bench::goal::told;

    #[test]
    fn each_is_judged() {
        insta::assert_snapshot!(told(&of(&sample(), "a/b-")));
    }

    #[test]
    fn each_can_be_missed() {
        let mut runs = sample();
        for run in &mut runs {
            // The stall is the series', which loses and works more besides.
            run.driver = match run.driver {
                Driver::Series => Driver::WithoutDrop,
                Driver::WithoutDrop => Driver::Series,
                Driver::Tree => Driver::Tree,
            };
            if run.driver == Driver::Series && !run.stalled {
                run.own -= 1;
                run.astray += 1;
                run.receiving *= 2;
            }
        }
        insta::assert_snapshot!(told(&of(&runs, "a/b-")));
    }

    #[test]
    fn what_was_not_measured_is_no_goal() {
        assert!(of(&[], "").is_empty());
    }
}
