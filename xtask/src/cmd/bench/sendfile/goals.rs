//! What has to be reached, and whether it was. Pure.

use super::figures::{cpu, throughput};
use super::notes::{Calls, Case, Method, Pace};
use crate::cmd::bench::goal::Goal;
use crate::cmd::bench::ratio;

/// A slow client must not hold the others up.
const STARVED: f64 = 8.0;
/// From here on copying has to cost more.
const COPIED: u64 = 64 << 10;
/// Who does not use the flag must not pay for it.
const UNTOUCHED: f64 = 1.01;

/// The goals that these cases can show.
pub fn of_cases(cases: &[Case]) -> Vec<Goal> {
    cases.iter().flat_map(of_case).collect()
}

fn of_case(case: &Case) -> Vec<Goal> {
    let setup = &case.setup;
    let goal = |what: &str, seen: f64, need: &str, reached: bool| Goal {
        what: format!("{}: {what}", case.name),
        seen,
        need: need.into(),
        reached,
        test: case.name.clone(),
    };
    let mut goals = Vec::new();
    match setup.pace {
        Pace::Rated(_) if setup.sockets == 64 && setup.workers == 1 => {
            let seen = case.ratio(throughput, Method::Kqueue, Method::Sync);
            let what = "throughput, SF_KQUEUE to SF_SYNC";
            let need = format!("at least {STARVED}");
            goals.push(goal(what, seen, &need, seen >= STARVED));
        }
        Pace::Rated(_) => {}
        Pace::Free => {
            let seen = case.ratio(cpu, Method::Kqueue, Method::Sync);
            let what = "CPU per byte, SF_KQUEUE to SF_SYNC";
            goals.push(goal(what, seen, "at most 1", seen <= 1.0));
            if setup.chunk >= COPIED {
                let seen = case.ratio(cpu, Method::Kqueue, Method::Write);
                let what = "CPU per byte, SF_KQUEUE to write(2)";
                goals.push(goal(what, seen, "below 1", seen < 1.0));
            }
        }
    }
    goals
}

/// What a call without the flag costs with the series, against the kernel
/// without.
pub fn of_calls(test: &str, with: &[Calls], without: &[Calls]) -> Vec<Goal> {
    with.iter()
        .zip(without)
        .map(|(with, without)| {
            let seen = ratio(with.median, without.median);
            Goal {
                what: format!(
                    "sendfile(2) of {} bytes without the flag, with the series to without",
                    with.length
                ),
                seen,
                need: format!("at most {UNTOUCHED}"),
                reached: seen <= UNTOUCHED,
                test: test.into(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::{sample, setup};
    use super::*;

    #[test]
    fn each_configuration_has_its_goals() {
        let rated = setup(Pace::Rated(1), 16 << 10);
        let free = |chunk| setup(Pace::Free, chunk);
        let mut four = rated.clone();
        four.workers = 4;
        let cases = [
            sample("bench/rated", rated.clone(), &[[800, 100, 900]]),
            sample("bench/starved", rated, &[[799, 100, 900]]),
            sample("bench/four", four, &[[1, 1, 1]]),
            sample("bench/16k", free(16 << 10), &[[100, 100, 200]]),
            sample("bench/64k", free(64 << 10), &[[100, 101, 100]]),
            sample("bench/256k", free(256 << 10), &[[101, 100, 100]]),
        ];
        let told: Vec<String> = of_cases(&cases).iter().map(Goal::to_string).collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn a_call_without_the_flag_may_cost_a_hundredth_more() {
        let calls = |median| Calls {
            length: 1,
            median,
            sum: 0,
        };
        for (with, without, reached) in [
            (1010, 1000, true),
            (1011, 1000, false),
            (900, 1000, true),
            (0, 0, true),
        ] {
            let goals = of_calls("bench/calls", &[calls(with)], &[calls(without)]);
            assert_eq!(goals.len(), 1);
            assert_eq!(goals[0].reached, reached, "{with} {without}");
        }
    }
}
