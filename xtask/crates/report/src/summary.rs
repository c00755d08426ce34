//! The summary that a run prints at its end.

use super::json::Report;
use crate::history::compare::Comparison;
use crate::history::{flaky, slowest};
use kdk_core::terminal::summary_line;

/// Returns the lines of the summary. `slowest` is the number of slowest tests
/// that the user asked for.
pub fn lines(report: &Report, changes: &Comparison, slowest: Option<usize>) -> Vec<String> {
    let mut lines = slowest::lines(&report.tests, slowest);
    lines.push(format!(
        "{}: {}",
        report.run.base,
        summary_line(report.summary)
    ));
    lines.extend(flaky::lines(&flaky::flaky(&report.tests)));
    lines.extend(changes.lines());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{failing_run, good_run};
    use crate::history::compare::compare;

    #[test]
    fn the_summary_of_a_run() {
        let mut before = failing_run();
        before
            .tests
            .iter_mut()
            .for_each(|one| one.verdict = kdk_vm::verdict::Verdict::Pass);
        let now = failing_run();
        insta::assert_snapshot!(lines(&now, &compare(&before, &now), Some(2)).join("\n"));
        let good = good_run();
        insta::assert_snapshot!(lines(&good, &compare(&good, &good), None).join("\n"));
    }
}
