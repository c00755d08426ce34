//! Derives the verdict of the requested test from a document.

use super::{Case, Directive, Document};
use crate::verdict::Verdict;

impl Case {
    /// Returns the verdict of this test, including its subtests. If a parent
    /// and its children disagree, it is a failure. If all children were
    /// skipped, it is not a pass.
    pub fn verdict(&self) -> Verdict {
        let own = self.own_verdict();
        if self.subtests.is_empty() {
            return own;
        }
        let children: Vec<Verdict> = self.subtests.iter().map(Self::verdict).collect();
        let all_good = children.iter().all(|v| v.is_as_expected());
        match own {
            Verdict::Pass if !all_good => Verdict::Fail,
            Verdict::Pass if children.iter().all(|v| *v == Verdict::Skip) => Verdict::Skip,
            own => own,
        }
    }

    fn own_verdict(&self) -> Verdict {
        match (self.ok, self.directive) {
            (true, None) => Verdict::Pass,
            (false, None) => Verdict::Fail,
            // KTAP allows both `ok` and `not ok` for a skipped test.
            (_, Some(Directive::Skip)) => Verdict::Skip,
            (true, Some(Directive::Xfail)) => Verdict::Xpass,
            (false, Some(Directive::Xfail)) => Verdict::Xfail,
            (_, Some(Directive::Timeout)) => Verdict::Timeout,
            (_, Some(Directive::Error)) => Verdict::Fail,
        }
    }

    /// Returns the explanation: the reason on the line, the diagnostics, and
    /// the subtests that did not pass.
    fn explain(&self, prefix: &str, into: &mut Vec<String>) {
        for text in [&self.reason, &self.detail] {
            if !text.is_empty() {
                into.push(format!("{prefix}{text}"));
            }
        }
        let bad = |case: &&Self| !case.verdict().is_as_expected();
        let failed = self.subtests.iter().filter(bad).count();
        if failed == 0 && !self.subtests.is_empty() && !self.ok && self.directive.is_none() {
            into.push(format!("{prefix}it says `not ok`, all its subtests `ok`"));
        }
        if failed > 0 && self.ok {
            into.push(format!(
                "{prefix}it says `ok`, {failed} of its subtests do not"
            ));
        }
        for case in self.subtests.iter().filter(bad) {
            into.push(format!("{prefix}subtest {}: {}", case.name, case.verdict()));
            case.explain(&format!("{prefix}  "), into);
        }
    }
}

impl Document {
    /// Returns the verdict on the one test that the host asked for, and why.
    /// Anything but that test's own clean report is a failure.
    pub fn verdict_on(&self, name: &str) -> (Verdict, String) {
        let mut detail: Vec<String> = self.problems.iter().map(ToString::to_string).collect();
        let mut verdict = match self.cases.as_slice() {
            [case] if case.name == name => {
                case.explain("", &mut detail);
                case.verdict()
            }
            [] => Verdict::Fail,
            cases => {
                let names: Vec<&str> = cases.iter().take(4).map(|c| c.name.as_str()).collect();
                detail.push(format!(
                    "results for {} instead of {name}",
                    names.join(", ")
                ));
                Verdict::Fail
            }
        };
        if !self.loose.is_empty() {
            detail.push(self.loose.clone());
        }
        if self.garbage > 0 {
            detail.push(format!("{} lines of garbage", self.garbage));
        }
        if !self.problems.is_empty() {
            verdict = Verdict::Fail;
        }
        (verdict, detail.join("\n"))
    }
}
