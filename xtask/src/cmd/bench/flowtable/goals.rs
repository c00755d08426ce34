//! What has to be reached, and whether it was. Pure.

use super::figures::{Quantity, exponent, find, percents, series, time};
use super::notes::{Algorithm, Walk};
use crate::cmd::bench::goal::Goal;

/// How far an exponent may be from 1.
const LINEAR: f64 = 0.05;
/// The work for a bucket of the largest table may be so many times that of the
/// smallest, or the other way round.
const CONSTANT: f64 = 1.25;
/// Faster than the quadratic algorithm, and where.
const FASTER: f64 = 50.0;
const FULL: u64 = 100;
const COMPARED: u64 = 1 << 16;

/// The goals that these walks can show; `test` is the tests' name without the
/// size.
pub fn of(walks: &[Walk], test: &str) -> Vec<Goal> {
    let mut goals = Vec::new();
    for percent in percents(walks) {
        let its = series(walks, Algorithm::Series, percent);
        goals.extend(linear(&its, percent, test));
        goals.extend(constant(&its, percent, test));
    }
    goals.extend(complete(walks, test));
    goals.extend(faster(walks, test));
    goals
}

fn linear(walks: &[&Walk], percent: u64, test: &str) -> Option<Goal> {
    let seen = exponent(walks, time)?;
    Some(Goal {
        what: format!("exponent of the time in the table's size, {percent} % in use"),
        seen,
        need: format!("1 +- {LINEAR}"),
        reached: (seen - 1.0).abs() <= LINEAR,
        test: format!("{test}*"),
    })
}

fn constant(walks: &[&Walk], percent: u64, test: &str) -> Vec<Goal> {
    let kinds: [(&str, Quantity); 2] = [("time", time), ("mask words read", Walk::words)];
    let (Some(first), Some(last)) = (walks.first(), walks.last()) else {
        return Vec::new();
    };
    let goal = |(what, quantity): (&str, Quantity)| {
        let each = |walk: &Walk| quantity(walk) / walk.set.max(1) as f64;
        let seen = each(last) / each(first);
        Goal {
            what: format!(
                "{what} a bucket in use, {} buckets to {}, {percent} % in use",
                last.size, first.size
            ),
            seen,
            need: format!("{} to {CONSTANT}", 1.0 / CONSTANT),
            reached: (1.0 / CONSTANT..=CONSTANT).contains(&seen),
            test: format!("{test}{}", last.size),
        }
    };
    kinds.map(goal).to_vec()
}

/// Who is fast because work is left out has not won.
fn complete(walks: &[Walk], test: &str) -> Option<Goal> {
    let its = walks
        .iter()
        .filter(|walk| walk.algorithm == Algorithm::Series);
    let wrong = its.map(|walk| walk.visits.abs_diff(walk.set) + walk.set.abs_diff(walk.visited));
    let seen = wrong.reduce(|all, wrong| all + wrong)?;
    Some(Goal {
        what: "buckets left out, and visits too many or too few, all walks of the series".into(),
        seen: seen as f64,
        need: "0".into(),
        reached: seen == 0,
        test: format!("{test}*"),
    })
}

fn faster(walks: &[Walk], test: &str) -> Option<Goal> {
    let time = |algorithm| find(walks, algorithm, COMPARED, FULL).map(time);
    let seen = time(Algorithm::BitAtATime)? / time(Algorithm::Series)?;
    Some(Goal {
        what: format!("time, 10.0 to the series, {COMPARED} buckets, all in use"),
        seen,
        need: format!("at least {FASTER}"),
        reached: seen >= FASTER,
        test: format!("{test}{COMPARED}"),
    })
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
        let mut walks = sample();
        walks.retain(|walk| walk.percent == 100);
        for walk in &mut walks {
            // The quadratic one in the place of the series, and it skips one.
            walk.algorithm = match walk.algorithm {
                Algorithm::BitAtATime => Algorithm::Series,
                _ => Algorithm::BitAtATime,
            };
            walk.visited -= u64::from(walk.size == 4096);
        }
        insta::assert_snapshot!(told(&of(&walks, "a/b-")));
    }

    #[test]
    fn what_was_not_measured_is_no_goal() {
        assert!(of(&[], "").is_empty());
    }
}
