//! Carries out the decisions: tests kernels side by side, and logs each result
//! as soon as there is one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::channel;

use kdk_vm::interrupt::Interrupt;

use crate::decide::{
    Answer, Counts, Decision, Event, Plan, Problem, Purpose, Refusal, Request, Run, decide,
    decisive,
};
use crate::log::Log;
use kdk_core::clock;
use kdk_core::event::Phase;
use kdk_core::failure::{Class, Failure};

/// How often a kernel is tested again after the host has failed.
const RETRIES: usize = 2;

/// A kernel to test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kernel {
    /// The position of the commit.
    pub point: usize,
    /// How often the tests run.
    pub runs: u32,
    /// Whether earlier verdicts on the same kernel do not count.
    pub fresh: bool,
    /// The number of the checkout to use, from 0.
    pub place: usize,
}

/// The result of testing a kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tested {
    /// What the runs show.
    pub counts: Counts,
    /// How long it took, in milliseconds.
    pub ms: u64,
    /// The folder of its logs; none for earlier verdicts.
    pub logs: Option<String>,
    /// How long its phases took that had work to do, in milliseconds.
    pub phases: BTreeMap<Phase, u64>,
}

/// A way to test kernels.
pub trait Tester: Sync {
    /// Prepares the tests of several kernels, which [`Tester::test`] will ask
    /// for next, where that can be done for all at once.
    ///
    /// # Errors
    /// The host failed.
    fn ahead(&self, kernels: &[Kernel]) -> Result<(), Failure> {
        let _ = kernels;
        Ok(())
    }

    /// Builds, boots and tests a kernel. It is good only if the tests `decisive`
    /// pass.
    ///
    /// # Errors
    /// The host failed, or the request is wrong. Neither is a result.
    fn test(&self, kernel: Kernel, decisive: &BTreeSet<String>) -> Result<Tested, Failure>;
}

/// A bisection that is running.
pub struct Session<'a> {
    /// The range to search.
    pub problem: &'a Problem,
    /// What tests its kernels.
    pub tester: &'a dyn Tester,
    /// The flag that stops it.
    pub interrupt: &'a Interrupt,
    /// Prints a message.
    pub say: &'a (dyn Fn(String) + Sync),
    /// Describes a commit.
    pub describe: &'a (dyn Fn(usize) -> String + Sync),
}

impl Session<'_> {
    /// Runs the bisection from the end of its log to an answer, or to the reason
    /// why there is none.
    ///
    /// # Errors
    /// The host failed, or the user stopped it. The log has what is done.
    pub fn run(&self, log: &mut Log) -> Result<Result<Answer, Refusal>, Failure> {
        log.append(Event::Session { at: clock::now() })?;
        loop {
            match decide(self.problem, log.events()) {
                Decision::Found(answer) => return Ok(Ok(answer)),
                Decision::Refused(refusal) => return Ok(Err(refusal)),
                Decision::Test(plan) => self.carry_out(&plan, log)?,
            }
        }
    }

    fn carry_out(&self, plan: &Plan, log: &mut Log) -> Result<(), Failure> {
        if plan.purpose == Purpose::Search && !plan.begun {
            let points = plan.requests.iter().map(|request| request.point).collect();
            log.append(Event::Round { points })?;
        }
        for requests in plan.requests.chunks(self.problem.width.max(1)) {
            self.side_by_side(plan.purpose, requests, log)?;
        }
        Ok(())
    }

    fn side_by_side(
        &self,
        purpose: Purpose,
        requests: &[Request],
        log: &mut Log,
    ) -> Result<(), Failure> {
        // Cached outcomes may be the very runs that the log has, so they count
        // only where it has none.
        let has_runs = |point| {
            let mut events = log.events().iter();
            events.any(|event| matches!(event, Event::Run(run) if run.point == point))
        };
        let kernel = |(place, request): (usize, &Request)| Kernel {
            point: request.point,
            runs: request.runs,
            fresh: purpose == Purpose::Confirm || has_runs(request.point),
            place,
        };
        let kernels: Vec<Kernel> = requests.iter().enumerate().map(kernel).collect();
        let decisive = decisive(self.problem, log.events());
        self.ahead(&kernels, log)?;
        let (sender, results) = channel();
        std::thread::scope(|scope| {
            for kernel in kernels {
                let (sender, decisive) = (sender.clone(), &decisive);
                let work = move || {
                    self.test(kernel, purpose, decisive, &|event| {
                        // The receiver lives as long as the threads.
                        let _ = sender.send(event);
                    })
                };
                std::thread::Builder::new()
                    .spawn_scoped(scope, work)
                    .map_err(|error| {
                        Failure::infra("test a kernel", "there is no further thread").source(error)
                    })?;
            }
            drop(sender);
            let mut failed = None;
            for result in results {
                let logged = match result {
                    Ok(event) => {
                        self.report(&event);
                        log.append(event)
                    }
                    Err(failure) => Err(failure),
                };
                if let Err(failure) = logged {
                    failed.get_or_insert(failure);
                }
            }
            failed.map_or(Ok(()), Err)
        })
    }

    /// Prepares kernels, again where the host fails.
    fn ahead(&self, kernels: &[Kernel], log: &mut Log) -> Result<(), Failure> {
        let mut attempt = 0;
        loop {
            let Err(failure) = self.tester.ahead(kernels) else {
                return Ok(());
            };
            let is_host = self.is_host(&failure);
            if let (true, Some(first)) = (is_host, kernels.first()) {
                let event = Event::HostFailure {
                    point: first.point,
                    why: failure.in_one_line(),
                };
                self.report(&event);
                log.append(event)?;
            }
            if !is_host || attempt == RETRIES {
                return Err(kept(failure));
            }
            attempt += 1;
        }
    }

    /// Returns whether the host is at fault, and the user has not stopped it.
    fn is_host(&self, failure: &Failure) -> bool {
        failure.class() == Class::Infra && !self.interrupt.is_set()
    }

    /// Tests one kernel, again where the host fails. Passes what is to be logged
    /// to `done`.
    fn test(
        &self,
        kernel: Kernel,
        purpose: Purpose,
        decisive: &BTreeSet<String>,
        done: &dyn Fn(Result<Event, Failure>),
    ) {
        for attempt in 0.. {
            (self.say)(format!("testing {}", (self.describe)(kernel.point)));
            let failure = match self.tester.test(kernel, decisive) {
                Ok(tested) => {
                    return done(Ok(Event::Run(Run {
                        point: kernel.point,
                        purpose,
                        counts: tested.counts,
                        ms: tested.ms,
                        logs: tested.logs,
                        phases: tested.phases,
                    })));
                }
                Err(failure) => failure,
            };
            let is_host = self.is_host(&failure);
            if is_host {
                done(Ok(Event::HostFailure {
                    point: kernel.point,
                    why: failure.in_one_line(),
                }));
            }
            if !is_host || attempt == RETRIES {
                return done(Err(kept(failure)));
            }
        }
    }

    fn report(&self, event: &Event) {
        (self.say)(match event {
            Event::Run(run) => format!("{}: {}", (self.describe)(run.point), verdict(&run.counts)),
            Event::HostFailure { point, why } => {
                format!("{}: the host failed: {why}", (self.describe)(*point))
            }
            Event::Start(_) | Event::Limit { .. } | Event::Session { .. } | Event::Round { .. } => {
                return;
            }
        });
    }
}

/// Returns `failure` with the way to continue.
pub fn kept(failure: Failure) -> Failure {
    failure
        .and_help("the state of the bisection is kept: continue with `cargo xtask bisect --resume`")
}

/// Describes the result of runs.
pub fn verdict(counts: &Counts) -> String {
    let Counts {
        bad, other, why, ..
    } = counts;
    let runs = counts.runs();
    match (bad, other) {
        (0, 0) if runs == 1 => "good".into(),
        (0, 0) => format!("good, {runs} of {runs} runs pass"),
        (0, _) => format!("skipped: {why}"),
        _ if runs == 1 => format!("bad: {why}"),
        _ => format!("bad, {bad} of {runs} runs fail: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::decide::Point;
    use crate::decide::flaky::Rules;
    use crate::log;

    /// Kernels that are bad from a culprit on. The host fails in some tests.
    struct Fake {
        culprit: usize,
        failures: Vec<usize>,
        /// How often the preparation of kernels fails.
        not_ahead: AtomicUsize,
        tests: AtomicUsize,
        seen: Mutex<Vec<Kernel>>,
    }

    impl Tester for Fake {
        fn ahead(&self, _: &[Kernel]) -> Result<(), Failure> {
            let left = &self.not_ahead;
            match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)) {
                Ok(_) => Err(Failure::infra("submit a job array", "no")),
                Err(_) => Ok(()),
            }
        }

        fn test(&self, kernel: Kernel, _: &BTreeSet<String>) -> Result<Tested, Failure> {
            let number = self.tests.fetch_add(1, Ordering::SeqCst);
            if self.failures.contains(&number) {
                return Err(Failure::infra("start QEMU", "no"));
            }
            self.seen.lock().unwrap().push(kernel);
            let mut counts = Counts::default();
            match kernel.point >= self.culprit {
                true => counts.bad = kernel.runs,
                false => counts.good = kernel.runs,
            }
            Ok(Tested {
                counts,
                ms: 1,
                logs: None,
                phases: Default::default(),
            })
        }
    }

    fn fake(culprit: usize, failures: &[usize]) -> Fake {
        Fake {
            culprit,
            failures: failures.to_vec(),
            not_ahead: AtomicUsize::new(0),
            tests: AtomicUsize::new(0),
            seen: Mutex::default(),
        }
    }

    fn problem(commits: usize, width: usize) -> Problem {
        let point = Point {
            same_kernel: false,
            testable: true,
        };
        Problem {
            points: vec![point; commits],
            width,
            rules: Rules::default(),
        }
    }

    fn run(
        problem: &Problem,
        fake: &Fake,
        path: &Path,
    ) -> Result<Result<Answer, Refusal>, Failure> {
        let interrupt = Interrupt::new();
        let session = Session {
            problem,
            tester: fake,
            interrupt: &interrupt,
            say: &|_| {},
            describe: &|point| point.to_string(),
        };
        session.run(&mut Log::open(path)?)
    }

    #[test]
    fn kernels_are_tested_side_by_side() {
        let dir = tempfile::tempdir().unwrap();
        for (width, rounds) in [(1, 7), (2, 5), (3, 4)] {
            let problem = problem(100, width);
            let fake = fake(37, &[]);
            let path = dir.path().join(width.to_string());
            let answer = run(&problem, &fake, &path).unwrap().unwrap();
            assert_eq!(answer.suspects, [37]);
            assert!(answer.rounds <= rounds, "{} by {width}", answer.rounds);
        }
    }

    #[test]
    fn the_host_may_fail_twice_in_a_row() {
        let dir = tempfile::tempdir().unwrap();
        let (ten, path) = (problem(10, 1), log::path(dir.path()));
        let answer = run(&ten, &fake(4, &[1, 2, 6]), &path).unwrap().unwrap();
        assert_eq!(answer.suspects, [4]);
        let path = dir.path().join("stops");
        let failure = run(&ten, &fake(4, &[3, 4, 5]), &path).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        assert!(failure.advice().unwrap().contains("--resume"));
        let failures = |path: &Path| {
            let log = Log::open(path).unwrap();
            let events = log.events().iter();
            events
                .filter(|event| matches!(event, Event::HostFailure { .. }))
                .count()
        };
        assert_eq!(failures(&path), 3);
        // It continues where it stopped, and tests nothing twice.
        let fake = fake(4, &[]);
        assert_eq!(run(&ten, &fake, &path).unwrap().unwrap().suspects, [4]);
        let seen = fake.seen.lock().unwrap();
        let endpoint = |kernel: &Kernel| [0, 9].contains(&kernel.point);
        assert!(!seen.iter().any(endpoint), "{seen:?}");
    }

    #[test]
    fn a_preparation_that_fails_is_a_failure_of_the_host() {
        let dir = tempfile::tempdir().unwrap();
        let ten = problem(10, 2);
        let tries = |name: &str, fails: usize| {
            let fake = fake(4, &[]);
            fake.not_ahead.store(fails, Ordering::SeqCst);
            let path = dir.path().join(name);
            let result = run(&ten, &fake, &path);
            let is_host = |event: &&Event| matches!(event, Event::HostFailure { .. });
            let events = log::read(&path).unwrap();
            (result, events.iter().filter(is_host).count())
        };
        let (result, failures) = tries("again", 2);
        assert_eq!(result.unwrap().unwrap().suspects, [4]);
        assert_eq!(failures, 2);
        let (result, failures) = tries("stops", 3);
        let failure = result.unwrap_err();
        assert!(failure.advice().unwrap().contains("--resume"), "{failure}");
        assert_eq!(failures, 3);
    }

    #[test]
    fn outcomes_that_the_log_has_do_not_count_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = log::path(dir.path());
        let half = Counts {
            good: 5,
            bad: 5,
            ..Counts::default()
        };
        let begun = Event::Run(Run {
            point: 9,
            purpose: Purpose::Endpoint,
            counts: half,
            ms: 1,
            logs: None,
            phases: Default::default(),
        });
        Log::open(&path).unwrap().append(begun).unwrap();
        let fake = fake(4, &[]);
        run(&problem(10, 1), &fake, &path).unwrap().unwrap();
        let seen = fake.seen.lock().unwrap();
        let of = |at: usize| (seen[at].point, seen[at].runs, seen[at].fresh);
        assert_eq!(of(0), (9, 10, true));
        let (point, _, fresh) = of(1);
        assert_eq!((point, fresh), (0, false));
    }

    #[test]
    fn a_stopped_bisection_is_not_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        interrupt.trigger();
        let fake = fake(4, &[0, 1, 2]);
        let problem = problem(10, 1);
        let session = Session {
            problem: &problem,
            tester: &fake,
            interrupt: &interrupt,
            say: &|_| {},
            describe: &|point| point.to_string(),
        };
        let mut log = Log::open(&log::path(dir.path())).unwrap();
        assert!(session.run(&mut log).is_err());
        assert_eq!(fake.tests.load(Ordering::SeqCst), 1);
    }

    /// The log that a child process of a test continues.
    const CHILD: &str = "KDK_BISECT_CHILD";

    /// Kernels whose test kills this process after some tests.
    struct Deadly {
        fake: Fake,
        last: usize,
    }

    impl Tester for Deadly {
        fn test(&self, kernel: Kernel, decisive: &BTreeSet<String>) -> Result<Tested, Failure> {
            if self.fake.tests.load(Ordering::SeqCst) >= self.last {
                let own = nix::unistd::getpid();
                nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGKILL).unwrap();
            }
            self.fake.test(kernel, decisive)
        }
    }

    /// The body of the child; nothing where the test is not one.
    #[test]
    fn child_that_is_killed() {
        let Some(path) = std::env::var_os(CHILD) else {
            return;
        };
        // The extension is the number of kernels side by side. Each process logs
        // the first ones.
        let width = Path::new(&path).extension().unwrap().to_str().unwrap();
        let width = width.parse().unwrap();
        let problem = problem(60, width);
        let deadly = Deadly {
            fake: fake(41, &[]),
            last: width,
        };
        let interrupt = Interrupt::new();
        let session = Session {
            problem: &problem,
            tester: &deadly,
            interrupt: &interrupt,
            say: &|_| {},
            describe: &|point| point.to_string(),
        };
        let mut log = Log::open(Path::new(&path)).unwrap();
        let answer = session.run(&mut log).unwrap().unwrap();
        assert_eq!(answer.suspects, [41]);
    }

    #[test]
    fn a_bisection_continues_after_each_kill() {
        let dir = tempfile::tempdir().unwrap();
        for (width, expected) in [(1, 8..=10), (2, 4..=6), (3, 3..=6)] {
            let path = dir.path().join(format!("log.{width}"));
            let kills = kills(&path);
            assert!(expected.contains(&kills), "{kills} kills by {width}");
            let log = Log::open(&path).unwrap();
            let sessions = |event: &&Event| matches!(event, Event::Session { .. });
            assert_eq!(log.events().iter().filter(sessions).count(), kills + 1);
        }
    }

    /// Returns the number of processes that are killed until the bisection ends.
    fn kills(path: &Path) -> usize {
        use std::os::unix::process::ExitStatusExt;

        let mut kills = 0;
        loop {
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "driver::tests::child_that_is_killed"])
                .env(CHILD, path)
                .output()
                .unwrap();
            match child.status.signal() {
                Some(9) => kills += 1,
                _ => {
                    assert!(child.status.success(), "{child:?}");
                    return kills;
                }
            }
        }
    }

    #[test]
    fn words_for_verdicts() {
        let words = |good, bad, other| {
            verdict(&Counts {
                good,
                bad,
                other,
                why: "why".into(),
                ..Counts::default()
            })
        };
        for (counts, want) in [
            ((1, 0, 0), "good"),
            ((3, 0, 0), "good, 3 of 3 runs pass"),
            ((0, 1, 0), "bad: why"),
            ((2, 1, 0), "bad, 1 of 3 runs fail: why"),
            ((0, 0, 1), "skipped: why"),
            ((2, 0, 1), "skipped: why"),
        ] {
            assert_eq!(words(counts.0, counts.1, counts.2), want);
        }
    }
}
