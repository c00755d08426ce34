//! The bisection as git's own log, which `git bisect replay` reads.

use std::fmt::Write;

use crate::candidates::Candidates;
use crate::decide::known::{Verdict, tallies};
use crate::decide::{Answer, Event, Problem};

/// Returns the log: the verdicts in the order of the tests. `passes` passes make
/// a commit good.
pub fn export(
    candidates: &Candidates,
    problem: &Problem,
    events: &[Event],
    passes: u32,
    answer: Option<&Answer>,
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
    let mut written = vec![0, end];
    for event in events {
        let Event::Run(run) = event else {
            continue;
        };
        let verdict = tallies.get(run.point).and_then(|one| one.verdict(passes));
        let (Some(verdict), false) = (verdict, written.contains(&run.point)) else {
            continue;
        };
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
    if let Some([culprit]) = answer.map(|answer| answer.suspects.as_slice()) {
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
    use crate::candidates;
    use crate::decide::flaky::Rules;
    use crate::decide::{Decision, Point, Purpose, Run, decide};

    /// Runs a bisection in which the commits from `culprit` on fail, and those
    /// in `broken` do not build.
    fn bisect(problem: &Problem, culprit: usize, broken: &[usize]) -> (Vec<Event>, Answer) {
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
                events.push(Event::Run(Run {
                    point,
                    purpose: Purpose::Search,
                    good: count(!is_broken && point < culprit),
                    bad: count(!is_broken && point >= culprit),
                    other: count(is_broken),
                    why: String::new(),
                    ms: 0,
                    logs: None,
                    phases: Default::default(),
                }));
                // The purposes count what is measured and what is confirmed.
                if let Some(Event::Run(run)) = events.last_mut() {
                    run.purpose = plan.purpose;
                }
            }
        }
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
        let problem = Problem {
            points,
            width: 1,
            rules: Rules::default(),
        };
        for (culprit, broken, want) in [
            (7, vec![], "is the first bad commit"),
            (7, vec![5], "is the first bad commit"),
            (7, vec![6, 7, 8], "only 'skip'ped commits left"),
        ] {
            let (events, answer) = bisect(&problem, culprit, &broken);
            let text = export(&range, &problem, &events, 1, Some(&answer));
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
