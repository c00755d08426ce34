//! One level of a document: its plan, its results, its order.

use super::line::ResultLine;
use super::{Case, MAX_CASES, MAX_DETAIL, Problem};

/// A document or a nested one, as far as it has come.
#[derive(Debug, Default)]
pub struct Level {
    /// Columns it is indented by.
    pub indent: usize,
    /// The parent's name, from `# Subtest:`.
    pub announced: Option<String>,
    /// The results so far.
    pub cases: Vec<Case>,
    /// Diagnostics since the last result.
    pub detail: String,
    planned: Option<usize>,
    plans: usize,
    results: usize,
}

impl Level {
    pub fn new(indent: usize) -> Self {
        Self {
            indent,
            ..Self::default()
        }
    }

    /// Returns whether it has a plan or a result.
    pub fn is_begun(&self) -> bool {
        self.plans > 0 || self.results > 0
    }

    /// Returns whether all planned results have come.
    pub fn is_whole(&self) -> bool {
        self.planned.is_some_and(|planned| self.results >= planned)
    }

    pub fn plan(&mut self, text: String, plan: Option<usize>) -> Option<Problem> {
        self.plans += 1;
        if self.plans > 1 {
            return Some(Problem::SecondPlan);
        }
        self.planned = plan;
        if self.results > 0 {
            return Some(Problem::LatePlan);
        }
        match plan {
            None => Some(Problem::BadPlan(text)),
            Some(0) => Some(Problem::EmptyPlan),
            Some(_) => None,
        }
    }

    pub fn result(&mut self, line: ResultLine, subtests: Vec<Case>) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.results += 1;
        let want = self.results;
        if line.number != want {
            problems.push(Problem::Number {
                want,
                found: line.number,
            });
        }
        if let Some(planned) = self.planned
            && self.results > planned
        {
            problems.push(Problem::TooMany(planned));
        }
        if !line.name.is_empty() && self.cases.iter().any(|case| case.name == line.name) {
            problems.push(Problem::Duplicate(line.name.clone()));
        }
        let detail = std::mem::take(&mut self.detail);
        if self.cases.len() < MAX_CASES {
            self.cases.push(Case {
                name: line.name,
                ok: line.ok,
                directive: line.directive,
                reason: line.reason,
                detail,
                subtests,
            });
        }
        problems
    }

    pub fn diagnostic(&mut self, text: &str) {
        if text.is_empty() || self.detail.len() >= MAX_DETAIL {
            return;
        }
        if !self.detail.is_empty() {
            self.detail.push('\n');
        }
        self.detail.extend(
            text.chars()
                .take(MAX_DETAIL - self.detail.len().min(MAX_DETAIL)),
        );
    }

    /// Returns what is missing now that nothing more comes.
    pub fn finish(&mut self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.plans == 0 {
            problems.push(Problem::NoPlan);
        }
        if let Some(planned) = self.planned
            && self.results < planned
        {
            problems.push(Problem::Missing {
                planned,
                found: self.results,
            });
        }
        problems
    }
}
