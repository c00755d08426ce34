//! A patch of a series without the patches before it: does it break the tests by
//! itself, with no more than the patches that it needs?

use std::collections::BTreeSet;

use kdk_guest::request::CommitChoice;
use serde::Serialize;

use crate::driver::verdict;
use crate::line::needed;
use crate::tester::GuestTester;
use kdk_core::failure::Failure;
use kdk_series::base::apply::{self, Change};
use kdk_series::load;

/// What the tests show around one patch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alone {
    /// The patches that it needs.
    pub needs: Vec<String>,
    /// The verdict with these and without the patch.
    pub without: String,
    /// The verdict with these and with the patch.
    pub with: String,
}

/// Tests the patch at position `at` of the series: with the enabling patches and
/// those that it needs, and then without itself.
///
/// # Errors
/// The series has changed, or the host failed.
pub fn check(
    tester: &GuestTester<'_>,
    at: usize,
    runs: u32,
    decisive: &BTreeSet<String>,
) -> Result<Alone, Failure> {
    let line = tester.line;
    let series = load::must(&tester.request.base)?;
    let id = &line.candidates.commits[at].subject;
    let with: BTreeSet<String> = needed(&series, std::slice::from_ref(id))?;
    let test = |ids: &[String]| -> Result<String, Failure> {
        let changes: Vec<Change> = series
            .changes()?
            .into_iter()
            .filter(|change| ids.contains(&change.id))
            .collect();
        let choice = CommitChoice {
            commit: apply::commit(line.git(), line.candidates.good(), &changes)?,
            patches: ids.to_vec(),
            direct_boot: ids.iter().any(|id| line.is_enabling(id)),
            place: 0,
        };
        Ok(verdict(&tester.counts(&choice, runs, decisive)?))
    };
    let all: Vec<String> = series
        .ids()
        .into_iter()
        .filter(|one| with.contains(one))
        .collect();
    let needs: Vec<String> = all.iter().filter(|one| *one != id).cloned().collect();
    Ok(Alone {
        without: test(&needs)?,
        with: test(&all)?,
        needs,
    })
}

impl Alone {
    /// Returns the result as lines of text.
    pub fn lines(&self, id: &str) -> [String; 2] {
        let only = match self.needs.is_empty() {
            true => "no other patch".to_owned(),
            false => format!("only {}", self.needs.join(", ")),
        };
        [
            format!("with {only}: {}", self.without),
            format!("with {only}, and {id}: {}", self.with),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_a_patch_alone() {
        let mut alone = Alone {
            needs: vec!["boot".into(), "core".into()],
            without: "good".into(),
            with: "bad: a/x FAIL".into(),
        };
        assert_eq!(
            alone.lines("late"),
            [
                "with only boot, core: good",
                "with only boot, core, and late: bad: a/x FAIL"
            ]
        );
        alone.needs.clear();
        assert_eq!(alone.lines("late")[0], "with no other patch: good");
    }
}
