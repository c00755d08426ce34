//! The bisection as git's own log, which `git bisect replay` reads.

use std::fmt::Write;

use crate::candidates::Candidates;
use crate::decide::known::{Verdict, tallies};
use crate::decide::{self, Answer, Event, Problem, Refusal};

/// Returns the log: the verdicts in the order of the tests. git knows no commit
/// that passes after the first bad one, so such commits are left out.
pub fn export(
    candidates: &Candidates,
    problem: &Problem,
    events: &[Event],
    result: Result<&Answer, &Refusal>,
) -> String {
    let (good, bad) = (candidates.good(), candidates.bad());
    let mut text = String::new();
    let mut line = |line: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{line}");
    };
    let end = candidates.commits.len() - 1;
    line(comment("bad", candidates, end));
    line(comment("good", candidates, 0));
    line(format!(
        "git bisect start '--first-parent' '{bad}' '{good}'"
    ));
    let tallies = tallies(problem, events);
    // Before the endpoints have their verdicts there are no others.
    let passes = decide::passes(problem, events).unwrap_or(u32::MAX);
    let verdict = |at: usize| tallies.get(at).and_then(|one| one.verdict(passes));
    let first_bad = (0..=end).find(|at| verdict(*at) == Some(Verdict::Bad));
    let mut written = vec![0, end];
    for event in events {
        let Event::Run(run) = event else {
            continue;
        };
        let (Some(verdict), false) = (verdict(run.point), written.contains(&run.point)) else {
            continue;
        };
        if verdict == Verdict::Good && first_bad.is_some_and(|bad| bad < run.point) {
            continue;
        }
        written.push(run.point);
        let word = match verdict {
            Verdict::Good => "good",
            Verdict::Bad => "bad",
            Verdict::Skip => "skip",
        };
        line(comment(word, candidates, run.point));
        line(format!(
            "git bisect {word} {}",
            candidates.commits[run.point].commit
        ));
    }
    let untestable = |at: &usize| !problem.points[*at].testable && !written.contains(at);
    for at in (0..=end).filter(untestable) {
        line(comment("skip", candidates, at));
        line(format!("git bisect skip {}", candidates.commits[at].commit));
    }
    if let Ok([culprit]) = result.map(|answer| answer.suspects.as_slice()) {
        line(comment("first bad commit", candidates, *culprit));
    }
    text
}

fn comment(word: &str, candidates: &Candidates, at: usize) -> String {
    let commit = &candidates.commits[at];
    format!("# {word}: [{}] {}", commit.commit, commit.subject)
}

#[cfg(test)]
mod tests {
    use kdk_core::git::Git;
    use kdk_series::base::fixtures;

    use super::*;
    use crate::candidates::{self, Candidate};
    use crate::decide::flaky::Rules;
    use crate::decide::{Counts, Decision, Point, Purpose, Refusal, Run, decide};

    /// Runs a bisection in which the commits from `culprit` on fail, but for
    /// those in `fixed`, and those in `broken` do not build.
    fn bisect(
        problem: &Problem,
        culprit: usize,
        fixed: &[usize],
        broken: &[usize],
    ) -> (Vec<Event>, Answer) {
        let mut events = Vec::new();
        loop {
            let plan = match decide(problem, &events) {
                Decision::Test(plan) => plan,
                Decision::Found(answer) => return (events, answer),
                Decision::Refused(refusal) => panic!("{refusal:?}"),
            };
            for request in plan.requests {
                let (point, is_broken) = (request.point, broken.contains(&request.point));
                let count = |yes: bool| if yes { request.runs } else { 0 };
                let passes = point < culprit || fixed.contains(&point);
                events.push(Event::Run(Run {
                    point,
                    purpose: plan.purpose,
                    counts: Counts {
                        good: count(!is_broken && passes),
                        bad: count(!is_broken && !passes),
                        other: count(is_broken),
                        ..Counts::default()
                    },
                    ms: 0,
                    logs: None,
                    phases: Default::default(),
                }));
            }
        }
    }

    #[test]
    fn a_commit_that_is_half_tested_has_no_verdict() {
        let commit = |commit: &str| Candidate {
            commit: commit.into(),
            subject: "x".into(),
            is_merge: false,
        };
        let range = Candidates {
            commits: ["c0", "c1", "c2"].map(commit).into(),
        };
        let run = |point, purpose, good, bad| {
            Event::Run(Run {
                point,
                purpose,
                counts: Counts {
                    good,
                    bad,
                    ..Counts::default()
                },
                ms: 0,
                logs: None,
                phases: Default::default(),
            })
        };
        let plain = Point {
            same_kernel: false,
            testable: true,
        };
        let problem = Problem {
            points: vec![plain; 3],
            width: 1,
            rules: Rules::default(),
        };
        let mut events = vec![
            run(2, Purpose::Endpoint, 10, 10),
            run(0, Purpose::Endpoint, 5, 0),
            run(1, Purpose::Search, 4, 0),
        ];
        let refusal = Refusal::CulpritPasses(2, 15);
        let half = export(&range, &problem, &events, Err(&refusal));
        assert!(!half.contains("c1"), "{half}");
        events.push(run(1, Purpose::Search, 1, 0));
        let tested = export(&range, &problem, &events, Err(&refusal));
        assert!(tested.contains("git bisect good c1\n"), "{tested}");
    }

    #[test]
    fn git_replays_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let tree = fixtures::tree(dir.path(), "src", 1_501_000);
        let mut ids = vec![fixtures::git(&tree, &["rev-parse", "HEAD"])];
        for number in 1..12 {
            fixtures::write(&tree.join("sys/kern/b.c"), &format!("{number}\n"));
            ids.push(fixtures::commit(
                &tree,
                &format!("kern: It's change {number}"),
            ));
        }
        let git = Git::new(tree.join(".git"));
        let range = candidates::list(&git, &ids[0], &ids[11]).unwrap();
        let mut points = vec![
            Point {
                same_kernel: false,
                testable: true
            };
            12
        ];
        points[2].testable = false;
        let problem = |width| Problem {
            points: points.clone(),
            width,
            rules: Rules::default(),
        };
        for (width, culprit, fixed, broken, want) in [
            (1, 7, vec![], vec![], "is the first bad commit"),
            (1, 7, vec![], vec![5], "is the first bad commit"),
            (1, 7, vec![], vec![6, 7, 8], "only 'skip'ped commits left"),
            // Both 4 and 7 are tested in the first round, and 7 passes again.
            (2, 4, vec![6, 7, 8], vec![], "is the first bad commit"),
        ] {
            let problem = problem(width);
            let (events, answer) = bisect(&problem, culprit, &fixed, &broken);
            assert_eq!(answer.fluctuates, !fixed.is_empty(), "{events:?}");
            let text = export(&range, &problem, &events, Ok(&answer));
            let file = dir.path().join("log");
            std::fs::write(&file, &text).unwrap();
            let run = std::process::Command::new("git")
                .args(["bisect", "replay"])
                .arg(&file)
                .current_dir(&tree)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stdout) + String::from_utf8_lossy(&run.stderr);
            assert!(said.contains(want), "{said}\n{text}");
            if broken.len() < 2 {
                let bad = fixtures::git(&tree, &["rev-parse", "refs/bisect/bad"]);
                assert_eq!(bad, ids[culprit], "{text}");
                assert!(said.contains(&ids[culprit]), "{said}");
            }
            fixtures::git(&tree, &["bisect", "reset"]);
        }
    }
}
