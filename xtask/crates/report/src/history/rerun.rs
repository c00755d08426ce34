//! `--rerun-failed`: the tests that failed in the last run.

use super::History;
use kdk_core::failure::Failure;

/// Returns the tests that did not end as expected in the last run on `base`,
/// each with the numbers of CPUs that it failed on; empty if all did.
pub fn failed(history: &History, base: &str) -> Result<Vec<(String, Vec<u32>)>, Failure> {
    if history.is_empty() {
        return Err(Failure::usage(
            "run the failed tests again",
            format!("the history has no test run on {base}"),
        )
        .help(format!(
            "run them all first: `cargo xtask vm-test --base {base}`"
        )));
    }
    Ok(history.failed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{failing_run, good_run};
    use kdk_core::failure::rendered;

    fn after(report: crate::json::Report) -> History {
        History {
            runs: vec![report],
            remark: None,
        }
    }

    #[test]
    fn without_a_run_there_is_nothing_to_rerun() {
        let failure = failed(&History::default(), "main").unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        insta::assert_snapshot!(rendered(&failure));
    }

    #[test]
    fn those_that_failed_and_no_others() {
        let mut run = failing_run();
        let mut on_four = run.tests[1].clone();
        on_four.cpus = 4;
        run.tests.extend([on_four.clone(), on_four]);
        let tests = failed(&after(run), "main").unwrap();
        assert_eq!(tests[0], ("mixed/fail".to_owned(), vec![1, 4]));
        let names: Vec<&str> = tests.iter().map(|(name, _)| name.as_str()).collect();
        let want = [
            "mixed/fail",
            "mixed/xpass",
            "mixed/timeout",
            "mixed/crash",
            "mixed/not-run",
        ];
        assert_eq!(names, want);
        assert!(failed(&after(good_run()), "main").unwrap().is_empty());
    }
}
