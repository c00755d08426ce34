//! Tables of single decisions, and properties of whole bisections over random
//! histories.

use proptest::prelude::*;

use super::*;

/// What the runs on a commit show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    Pass,
    Fail,
    Neither,
}

const PLAIN: Point = Point {
    same_kernel: false,
    testable: true,
};

fn problem(points: Vec<Point>, width: usize) -> Problem {
    Problem {
        points,
        width,
        rules: Rules::default(),
    }
}

/// Makes the runs of `plan` and appends them to the log.
fn follow(events: &mut Vec<Event>, plan: &Plan, shows: &mut dyn FnMut(usize) -> Shows) {
    if plan.purpose == Purpose::Search && !plan.begun {
        let points = plan.requests.iter().map(|request| request.point).collect();
        events.push(Event::Round { points });
    }
    for Request { point, runs } in &plan.requests {
        let mut counts = Counts::default();
        for _ in 0..*runs {
            match shows(*point) {
                Shows::Pass => counts.good += 1,
                Shows::Fail => counts.bad += 1,
                Shows::Neither => counts.other += 1,
            }
        }
        events.push(Event::Run(Run {
            point: *point,
            purpose: plan.purpose,
            counts,
            ms: 0,
            logs: None,
            phases: Default::default(),
        }));
    }
}

/// Runs a bisection from `events` to its end.
fn finish(
    problem: &Problem,
    events: &mut Vec<Event>,
    shows: &mut dyn FnMut(usize) -> Shows,
) -> Decision {
    for _ in 0..10_000 {
        match decide(problem, events) {
            Decision::Test(plan) => {
                assert!(!plan.requests.is_empty());
                assert!(plan.requests.iter().all(|request| request.runs > 0));
                follow(events, &plan, shows);
            }
            end => return end,
        }
    }
    panic!("the bisection does not end");
}

fn answer(
    problem: &Problem,
    shows: &mut dyn FnMut(usize) -> Shows,
) -> (Result<Answer, Refusal>, Vec<Event>) {
    let mut events = Vec::new();
    match finish(problem, &mut events, shows) {
        Decision::Found(answer) => (Ok(answer), events),
        Decision::Refused(refusal) => (Err(refusal), events),
        Decision::Test(_) => unreachable!(),
    }
}

fn run(point: usize, purpose: Purpose, (good, bad, other): (u32, u32, u32)) -> Event {
    Event::Run(Run {
        point,
        purpose,
        counts: Counts {
            good,
            bad,
            other,
            why: "because".into(),
            ..Counts::default()
        },
        ms: 0,
        logs: None,
        phases: Default::default(),
    })
}

#[test]
fn the_endpoints_must_be_as_the_user_says() {
    use Purpose::Endpoint;
    let ten = problem(vec![PLAIN; 10], 1);
    let why = || "because".to_owned();
    for (events, want) in [
        (vec![run(9, Endpoint, (20, 0, 0))], Refusal::BadPasses(20)),
        (
            vec![run(9, Endpoint, (0, 0, 1))],
            Refusal::BadSkipped(why()),
        ),
        (
            vec![run(9, Endpoint, (19, 0, 1))],
            Refusal::BadSkipped(why()),
        ),
        (
            vec![run(9, Endpoint, (0, 20, 0)), run(0, Endpoint, (0, 1, 0))],
            Refusal::GoodFails(why()),
        ),
        (
            vec![run(9, Endpoint, (0, 20, 0)), run(0, Endpoint, (0, 0, 1))],
            Refusal::GoodSkipped(why()),
        ),
    ] {
        assert_eq!(decide(&ten, &events), Decision::Refused(want));
    }
    for points in [0, 1] {
        let short = problem(vec![PLAIN; points], 1);
        assert_eq!(decide(&short, &[]), Decision::Refused(Refusal::Empty));
    }
}

#[test]
fn the_endpoints_are_tested_first() {
    use Purpose::{Endpoint, Search};
    let ten = problem(vec![PLAIN; 10], 2);
    let plan = |events: &[Event]| match decide(&ten, events) {
        Decision::Test(plan) => {
            let requests = plan.requests.iter();
            let requests: Vec<_> = requests.map(|one| (one.point, one.runs)).collect();
            (plan.purpose, requests)
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(plan(&[]), (Endpoint, vec![(9, 20)]));
    let mut events = vec![run(9, Endpoint, (2, 3, 0))];
    assert_eq!(plan(&events), (Endpoint, vec![(9, 15)]));
    events.push(run(9, Endpoint, (8, 7, 0)));
    // The rate is 1/2, and 6 kernels are tested: ln(0.05 / 6) / ln(0.5) = 6.9.
    assert_eq!(plan(&events), (Endpoint, vec![(0, 7)]));
    events.push(run(0, Endpoint, (7, 0, 0)));
    assert_eq!(plan(&events), (Search, vec![(3, 7), (6, 7)]));
    // A round that a kill interrupted is completed.
    events.push(Event::Round { points: vec![3, 6] });
    events.push(run(3, Search, (5, 0, 0)));
    assert_eq!(plan(&events), (Search, vec![(3, 2), (6, 7)]));
    events.push(run(3, Search, (2, 0, 0)));
    assert_eq!(plan(&events), (Search, vec![(6, 7)]));
}

#[test]
fn the_first_rounds_are_known_before_any_test() {
    let of = |commits, width| next_rounds(&problem(vec![PLAIN; commits], width), &[]);
    assert_eq!(of(101, 1), [vec![50], vec![25], vec![75]]);
    let two = of(100, 2);
    assert_eq!(
        two,
        [vec![33, 66], vec![11, 22], vec![44, 55], vec![77, 88]]
    );
    // One commit is left.
    assert_eq!(of(3, 1), [vec![1], vec![], vec![]]);
    assert_eq!(of(2, 1), [Vec::<usize>::new(), Vec::new()]);
    // What the log has counts.
    let events = [
        run(100, Purpose::Endpoint, (0, 20, 0)),
        run(0, Purpose::Endpoint, (1, 0, 0)),
        run(50, Purpose::Search, (1, 0, 0)),
    ];
    let rounds = next_rounds(&problem(vec![PLAIN; 101], 1), &events);
    assert_eq!(rounds[0], [75]);
}

#[test]
fn a_rare_failure_is_measured_with_more_runs() {
    use Purpose::Endpoint;
    let runs = |runs, log: &[(u32, u32)]| {
        let mut ten = problem(vec![PLAIN; 10], 1);
        ten.rules.estimate_runs = runs;
        let events: Vec<Event> = log
            .iter()
            .map(|(good, bad)| run(9, Endpoint, (*good, *bad, 0)))
            .collect();
        match decide(&ten, &events) {
            Decision::Test(plan) => (plan.requests[0].point, plan.requests[0].runs),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(runs(20, &[(19, 1)]), (9, 20));
    assert_eq!(runs(20, &[(19, 1), (17, 3)]), (9, 20));
    assert_eq!(runs(20, &[(19, 1), (16, 4)]).0, 0);
    // Not for ever.
    assert_eq!(runs(20, &[(199, 1)]).0, 0);
    // One run says little even if it fails.
    assert_eq!(runs(1, &[(0, 1)]), (9, 4));
    assert_eq!(runs(1, &[(0, 1), (0, 4)]).0, 0);
}

#[test]
fn a_culprit_that_no_longer_fails_is_a_contradiction() {
    let three = problem(vec![PLAIN; 3], 1);
    let mut left = 21;
    // It fails on the endpoint, and once on the culprit.
    let (found, _) = answer(&three, &mut |point| match (point, left) {
        (1, 0) => Shows::Pass,
        (1 | 2, _) if left > 0 => {
            left -= 1;
            Shows::Fail
        }
        _ => Shows::Pass,
    });
    assert_eq!(found, Err(Refusal::CulpritPasses(1, 3)));
}

/// A culprit that matched once, and then fails in another way or does not boot.
#[test]
fn a_culprit_that_then_shows_neither_is_a_contradiction() {
    let three = problem(vec![PLAIN; 3], 1);
    let mut left = 1;
    let (found, _) = answer(&three, &mut |point| match point {
        0 => Shows::Pass,
        1 if left == 0 => Shows::Neither,
        1 => {
            left -= 1;
            Shows::Fail
        }
        _ => Shows::Fail,
    });
    assert_eq!(found, Err(Refusal::CulpritUnclear(1, String::new())));
}

#[test]
fn one_unclear_run_does_not_undo_the_good_endpoint() {
    use Purpose::{Confirm, Endpoint};
    let two = problem(vec![PLAIN; 2], 1);
    let mut events = vec![
        run(1, Endpoint, (0, 20, 0)),
        run(0, Endpoint, (1, 0, 0)),
        run(0, Confirm, (0, 0, 1)),
        run(1, Confirm, (0, 1, 0)),
    ];
    let Decision::Test(plan) = decide(&two, &events) else {
        panic!("the run is repeated");
    };
    assert_eq!(plan.requests, [Request { point: 0, runs: 1 }]);
    // It is not repeated for ever.
    events.push(run(0, Confirm, (0, 0, 2)));
    let refused = Refusal::GoodSkipped("because".into());
    assert_eq!(decide(&two, &events), Decision::Refused(refused));
    events.pop();
    events.push(run(0, Confirm, (1, 0, 0)));
    assert!(matches!(decide(&two, &events), Decision::Found(_)));
}

#[test]
fn an_endpoint_that_a_patch_conflicts_with_is_refused_before_any_test() {
    for at in [0, 4] {
        let mut five = problem(vec![PLAIN; 5], 1);
        five.points[at].testable = false;
        let refused = Decision::Refused(Refusal::Untestable(at));
        assert_eq!(decide(&five, &[]), refused);
    }
}

#[test]
fn the_tests_that_fail_on_the_bad_endpoint_decide() {
    let three = problem(vec![PLAIN; 3], 1);
    let failing = |point, purpose, names: &[&str]| {
        let Event::Run(mut run) = run(point, purpose, (0, 1, 0)) else {
            unreachable!();
        };
        run.counts.failing = names.iter().map(|name| (*name).to_owned()).collect();
        Event::Run(run)
    };
    let events = [
        failing(2, Purpose::Endpoint, &["a/x@1"]),
        failing(2, Purpose::Endpoint, &["a/x@1", "a/y@4"]),
        failing(2, Purpose::Confirm, &["a/later@1"]),
        failing(1, Purpose::Search, &["a/other@1"]),
    ];
    let decisive: Vec<String> = decisive(&three, &events).into_iter().collect();
    assert_eq!(decisive, ["a/x@1", "a/y@4"]);
}

/// A wrong group whose first commit cannot be tested, and whose second one is
/// the culprit.
#[test]
fn a_skipped_group_is_all_of_its_commits() {
    let mut points = vec![PLAIN; 6];
    points[3].same_kernel = true;
    let (found, _) = answer(&problem(points, 1), &mut |point| match point {
        0 | 1 => Shows::Pass,
        2 => Shows::Neither,
        _ => Shows::Fail,
    });
    assert_eq!(found.unwrap().suspects, [2, 3, 4]);
}

/// A wrong group: two commits count as one kernel, and the second one broke it.
#[test]
fn a_group_whose_commits_differ_is_split() {
    let mut points = vec![PLAIN; 8];
    points[4].same_kernel = true;
    points[5].same_kernel = true;
    let points = problem(points, 1);
    for culprit in 1..8 {
        let shows = &mut |point| {
            if point >= culprit {
                Shows::Fail
            } else {
                Shows::Pass
            }
        };
        let (found, _) = answer(&points, shows);
        let found = found.unwrap();
        assert_eq!(found.suspects, [culprit], "{found:?}");
        assert_eq!((found.good, found.bad), (culprit - 1, culprit));
    }
}

#[test]
fn a_range_without_changes_is_searched_all_the_same() {
    let mut points = vec![
        Point {
            same_kernel: true,
            ..PLAIN
        };
        6
    ];
    points[0] = PLAIN;
    let points = problem(points, 1);
    assert_eq!(points.rounds(), 0);
    let shows = &mut |point| if point >= 4 { Shows::Fail } else { Shows::Pass };
    assert_eq!(answer(&points, shows).0.unwrap().suspects, [4]);
}

#[test]
fn a_culprit_among_skips_is_a_set() {
    let points = problem(vec![PLAIN; 10], 1);
    let (found, _) = answer(&points, &mut |point| match point {
        0..3 => Shows::Pass,
        3..7 => Shows::Neither,
        _ => Shows::Fail,
    });
    let found = found.unwrap();
    assert_eq!((found.good, found.bad), (2, 7));
    assert_eq!(found.suspects, [3, 4, 5, 6, 7]);
}

/// A history: what the commits are, and what their kernels show.
#[derive(Debug, Clone)]
struct History {
    points: Vec<Point>,
    culprit: usize,
    /// Ranges that cannot be built, that fail in another way, and so on.
    broken: Vec<bool>,
    width: usize,
}

impl History {
    fn shows(&self, point: usize) -> Shows {
        match () {
            () if self.broken[point] => Shows::Neither,
            () if point >= self.culprit => Shows::Fail,
            () => Shows::Pass,
        }
    }

    fn problem(&self) -> Problem {
        problem(self.points.clone(), self.width)
    }
}

/// Returns histories. `skips` is the largest share of commits, in percent, that
/// cannot be tested; with `wrong`, groups may contain the culprit.
fn histories(skips: u32, wrong: bool) -> impl Strategy<Value = History> {
    (2..300_usize, 1..5_usize, any::<u64>(), 0..=skips).prop_map(
        move |(commits, width, seed, skips)| {
            let mut random = fastrand::Rng::with_seed(seed);
            let culprit = random.usize(1..commits);
            let mut points = vec![PLAIN; commits];
            let mut broken = vec![false; commits];
            for (at, point) in points.iter_mut().enumerate().skip(1) {
                point.same_kernel = random.u8(..) < 100 && (wrong || at != culprit);
            }
            // Ranges rather than single commits, as in real histories.
            let mut left = commits * skips as usize / 100;
            while left > 0 {
                let length = random.usize(1..=left);
                let from = random.usize(..commits);
                let conflict = random.bool();
                for at in from..(from + length).min(commits) {
                    match conflict {
                        true => points[at].testable = false,
                        false => broken[at] = true,
                    }
                    // What cannot be tested is no kernel of its neighbour.
                    points[at].same_kernel = false;
                    if let Some(next) = points.get_mut(at + 1) {
                        next.same_kernel = false;
                    }
                }
                left -= length;
            }
            for end in [0, commits - 1] {
                points[end].testable = true;
                broken[end] = false;
            }
            History {
                points,
                culprit,
                broken,
                width,
            }
        },
    )
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(1000))]

    #[test]
    fn without_skips_the_culprit_is_found_within_the_bound(history in histories(0, false)) {
        let problem = history.problem();
        let (found, events) = answer(&problem, &mut |point| history.shows(point));
        let found = found.unwrap();
        prop_assert_eq!(&found.suspects, &[history.culprit]);
        prop_assert!(found.rounds <= problem.rounds() as usize, "{} rounds", found.rounds);
        prop_assert_eq!(found.rounds, rounds_of(&events));
        // Of commits that change nothing, one is tested; the last one before
        // the culprit is tested once more, to confirm the answer.
        prop_assert_eq!((found.good, found.bad), (history.culprit - 1, history.culprit));
    }

    #[test]
    fn with_skips_the_culprit_is_never_wrong(history in histories(60, false)) {
        let problem = history.problem();
        let (found, events) = answer(&problem, &mut |point| history.shows(point));
        let found = found.unwrap();
        prop_assert!(found.suspects.contains(&history.culprit), "{:?}", found);
        // A skip costs a round, and one in which the search steps away from it.
        let is_skip = |event: &&Event| matches!(event, Event::Run(run) if run.counts.other > 0);
        let skips = events.iter().filter(is_skip).count();
        // The search steps away from commits, too, that are known to be untestable.
        let ends = history.points.windows(2);
        let ranges = ends.filter(|pair| pair[0].testable && !pair[1].testable).count();
        let most = problem.rounds() as usize + 2 * skips + ranges;
        prop_assert!(found.rounds <= most, "{} rounds, at most {most}", found.rounds);
        // Nothing that can be tested is left between the two.
        let tested = |at: &usize| history.points[*at].testable && !history.broken[*at];
        prop_assert!(!(found.good + 1..found.bad).any(|at| tested(&at)), "{:?}", found);
        prop_assert!(found.good < history.culprit && history.culprit <= found.bad);
    }

    #[test]
    fn with_wrong_groups_the_culprit_is_never_wrong(history in histories(30, true)) {
        let (found, _) = answer(&history.problem(), &mut |point| history.shows(point));
        let found = found.unwrap();
        prop_assert!(found.good < history.culprit && history.culprit <= found.bad, "{:?}", found);
        prop_assert!(found.suspects.contains(&history.culprit), "{:?}", found);
    }

    #[test]
    fn runs_that_now_and_then_show_neither_end_the_search_and_never_mislead(
        history in histories(20, true),
        seed in any::<u64>(),
    ) {
        let mut random = fastrand::Rng::with_seed(seed);
        let share = random.f64() * 0.6;
        let (found, _) = answer(&history.problem(), &mut |point| match random.f64() < share {
            true => Shows::Neither,
            false => history.shows(point),
        });
        // An endpoint that is unclear, or a culprit, is no answer.
        if let Ok(found) = found {
            prop_assert!(found.suspects.contains(&history.culprit), "{:?}", found);
        }
    }

    #[test]
    fn a_break_that_comes_and_goes_has_a_real_beginning(
        history in histories(30, false),
        fixed in any::<prop::sample::Index>(),
    ) {
        // Some commits after the culprit pass again.
        let fixed = fixed.index(history.points.len());
        let end = history.points.len() - 1;
        let shows = |point: usize| match history.shows(point) {
            Shows::Fail if point != end && (fixed..fixed + 20).contains(&point) => Shows::Pass,
            other => other,
        };
        let mut points = history.points.clone();
        points.iter_mut().for_each(|point| point.same_kernel = false);
        let problem = problem(points, history.width);
        let (found, _) = answer(&problem, &mut |point| shows(point));
        let found = found.unwrap();
        prop_assert_eq!(shows(found.good), Shows::Pass);
        prop_assert_eq!(shows(found.bad), Shows::Fail);
    }
}

proptest! {
    #![proptest_config(config(150))]

    #[test]
    fn a_bisection_continues_after_every_prefix_of_its_log(history in histories(40, true)) {
        let problem = history.problem();
        let (found, events) = answer(&problem, &mut |point| history.shows(point));
        for length in 0..events.len() {
            let mut events = events[..length].to_vec();
            let again = finish(&problem, &mut events, &mut |point| history.shows(point));
            let Decision::Found(again) = again else {
                panic!("{again:?}");
            };
            let of = |answer: &Answer| (answer.good, answer.bad, answer.suspects.clone());
            prop_assert_eq!(Ok(of(&again)), found.as_ref().map(of));
        }
    }
}

/// A failure so rare that the runs on the bad commit hardly measure it.
#[test]
fn a_rare_failure_leads_to_the_culprit_as_often_as_promised() {
    let mut random = fastrand::Rng::with_seed(18);
    for rate in [0.02, 0.05, 0.1] {
        let (mut right, mut answers, mut confidence) = (0, 0, 0.0);
        for _ in 0..1000 {
            let culprit = random.usize(1..200);
            let points = problem(vec![PLAIN; 200], 1);
            let (found, _) = answer(&points, &mut |point| match point >= culprit
                && random.f64() < rate
            {
                true => Shows::Fail,
                false => Shows::Pass,
            });
            if let Ok(found) = found {
                answers += 1;
                confidence += found.confidence;
                right += usize::from(found.suspects == [culprit]);
            }
        }
        let share = right as f64 / f64::from(answers);
        let confidence = confidence / f64::from(answers);
        assert!(share > 0.95, "{rate}: {right} of {answers} are right");
        assert!(share > confidence - 0.03, "{rate}: {share}, {confidence}");
    }
}

#[test]
fn a_flaky_test_leads_to_the_culprit_as_often_as_promised() {
    let mut random = fastrand::Rng::with_seed(18);
    let (mut right, mut answers, mut confidence) = (0, 0, 0.0);
    for _ in 0..3000 {
        let commits = random.usize(2..400);
        let culprit = random.usize(1..commits);
        let rate = random.f64().max(0.2);
        let points = problem(vec![PLAIN; commits], random.usize(1..4));
        let (found, _) = answer(
            &points,
            &mut |point| match point >= culprit && random.f64() < rate {
                true => Shows::Fail,
                false => Shows::Pass,
            },
        );
        // A culprit that does not fail again is no answer, and no wrong one.
        if let Ok(found) = found {
            answers += 1;
            confidence += found.confidence;
            right += usize::from(found.suspects == [culprit]);
        }
    }
    assert!(answers > 2900, "{answers} answers");
    let share = right as f64 / f64::from(answers);
    assert!(share > 0.95, "{right} of {answers} are right");
    assert!(
        share > confidence / f64::from(answers) - 0.01,
        "{share}, {confidence}"
    );
}
