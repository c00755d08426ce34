//! Parses KTAP 1, as the guest writes it, from the lines of one document to
//! verdicts.
//!
//! Whatever is missing, duplicated, out of order or damaged is a [`Problem`],
//! and a document with a problem never results in PASS. Format:
//! Documentation/dev-tools/ktap.rst of the Linux kernel.

mod level;
mod line;
mod verdict;

#[cfg(test)]
mod tests;

use level::Level;
use line::{Kind, Raw};

pub use line::MAX_LINE;

/// The longest diagnostic text that is kept for one test, in bytes.
const MAX_DETAIL: usize = 8 * 1024;
/// The most problems that are kept.
const MAX_PROBLEMS: usize = 16;
/// The most cases that are kept on one level.
const MAX_CASES: usize = 4096;
/// The deepest nesting that is parsed.
const MAX_DEPTH: usize = 8;

/// One test in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// The name in its result line.
    pub name: String,
    /// Whether the line says `ok`.
    pub ok: bool,
    /// The directive after `#`, if it is a known one.
    pub directive: Option<Directive>,
    /// The text after the directive, or after the `#`.
    pub reason: String,
    /// The diagnostics before the result line.
    pub detail: String,
    /// The subtests of this test.
    pub subtests: Vec<Case>,
}

/// A directive, which changes the meaning of a result line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// The directive `# SKIP`.
    Skip,
    /// The directives `# XFAIL` and `# TODO`.
    Xfail,
    /// The directive `# TIMEOUT`.
    Timeout,
    /// The directive `# ERROR`.
    Error,
}

/// A defect of a KTAP document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say it")]
pub enum Problem {
    #[error("no `KTAP version 1` line")]
    NoHeader,
    #[error("unknown version: {0}")]
    BadVersion(String),
    #[error("a second version line")]
    SecondHeader,
    #[error("no plan")]
    NoPlan,
    #[error("a plan after the first result")]
    LatePlan,
    #[error("a second plan")]
    SecondPlan,
    #[error("a plan that makes no sense: {0}")]
    BadPlan(String),
    #[error("a plan of no tests")]
    EmptyPlan,
    #[error("{found} of {planned} planned results")]
    Missing { planned: usize, found: usize },
    #[error("more results than the {0} planned")]
    TooMany(usize),
    #[error("result {found} where {want} was due")]
    Number { want: usize, found: usize },
    #[error("a second result for {0}")]
    Duplicate(String),
    #[error("a result without a number: {0}")]
    NoNumber(String),
    #[error("a damaged result line: {0}")]
    Damaged(String),
    #[error("subtests without a result of their parent")]
    NoParent,
    #[error("subtests without a header")]
    NoSubHeader,
    #[error("subtests nested deeper than {MAX_DEPTH}")]
    TooDeep,
    #[error("subtests of {0:?} reported for {1:?}")]
    OtherParent(String, String),
    #[error("bailed out: {0}")]
    BailOut(String),
    #[error("garbage inside of the document: {0:?}")]
    Garbage(String),
}

/// The content of a document, and its defects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The tests in it.
    pub cases: Vec<Case>,
    /// The defects of its form.
    pub problems: Vec<Problem>,
    /// The diagnostics that belong to no result line: the last output of a test
    /// without a result.
    pub loose: String,
    /// The number of lines before and after it that were neither KTAP nor
    /// diagnostics.
    pub garbage: usize,
}

/// A parser that reads a document line by line, in bounded memory.
#[derive(Debug, Default)]
pub struct Parser {
    levels: Vec<Level>,
    seen_header: bool,
    doc: Document,
    over: bool,
}

impl Parser {
    /// Returns a parser that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses one line, without its line ending. `truncated` means that the end
    /// of the line is lost.
    pub fn line(&mut self, bytes: &[u8], truncated: bool) {
        if self.over {
            return;
        }
        let raw = Raw::new(bytes, truncated);
        match raw.kind() {
            Kind::Empty => {}
            Kind::Version(version) => self.header(raw.indent, &version),
            Kind::Subtest(name) => self.subtest(raw.indent, name),
            Kind::Plan(text, plan) => self.plan(raw.indent, text, plan),
            Kind::Result(result) => self.result(raw.indent, result),
            Kind::Numberless(text) => self.problem(Problem::NoNumber(text)),
            Kind::Damaged(text) => self.problem(Problem::Damaged(text)),
            Kind::BailOut(why) => {
                self.problem(Problem::BailOut(why));
                self.over = true;
            }
            Kind::Diagnostic(text) => self.diagnostic(&text),
            Kind::Garbage => self.garbage(bytes),
        }
    }

    /// Returns the end of the document: what was promised and did not come is
    /// now missing.
    pub fn finish(mut self) -> Document {
        while self.levels.len() > 1 {
            self.problem(Problem::NoParent);
            self.close_innermost();
        }
        if !self.seen_header {
            self.problem(Problem::NoHeader);
        }
        self.require_top();
        if let Some(mut level) = self.levels.pop() {
            let problems = level.finish();
            self.problems(problems);
            self.doc.cases = level.cases;
            self.doc.loose = level.detail;
        }
        self.doc
    }

    fn header(&mut self, indent: usize, version: &str) {
        if version != "1" {
            self.problem(Problem::BadVersion(version.to_owned()));
        }
        if indent == 0 {
            if self.seen_header {
                self.problem(Problem::SecondHeader);
            } else {
                self.seen_header = true;
                self.require_top();
            }
        } else {
            self.open(indent);
        }
    }

    fn subtest(&mut self, indent: usize, name: String) {
        // At the left margin it announces the parent that follows.
        if indent > 0 {
            self.open(indent);
            if let Some(level) = self.levels.last_mut() {
                level.announced = Some(name);
            }
        }
    }

    fn plan(&mut self, indent: usize, text: String, plan: Option<usize>) {
        let level = self.level_for(indent);
        let problem = level.plan(text, plan);
        self.problems(problem);
    }

    fn result(&mut self, indent: usize, result: line::ResultLine) {
        self.level_for(indent);
        // Everything that is nested deeper belongs to this result.
        let subtests = self.close_deeper(indent, &result.name);
        let level = self.level_for(indent);
        let problems = level.result(result, subtests);
        self.problems(problems);
    }

    /// The channel has no other writer than the test, so what else it holds is
    /// damage: harmless around a document, but not within it.
    fn garbage(&mut self, bytes: &[u8]) {
        let whole = self.levels.first().is_none_or(Level::is_whole);
        if self.seen_header && !whole {
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
            self.problem(Problem::Garbage(text.into_owned()));
        } else {
            self.doc.garbage += 1;
        }
    }

    fn diagnostic(&mut self, text: &str) {
        self.require_top();
        if let Some(level) = self.levels.last_mut() {
            level.diagnostic(text);
        }
    }

    fn require_top(&mut self) {
        if self.levels.is_empty() {
            self.levels.push(Level::new(0));
        }
    }

    /// Starts a nested document, unless this is its second heading.
    fn open(&mut self, indent: usize) {
        self.require_top();
        let innermost = self.levels.last().map_or(0, |level| level.indent);
        if indent > innermost {
            if self.levels.len() >= MAX_DEPTH {
                self.problem(Problem::TooDeep);
                self.over = true;
            } else {
                self.levels.push(Level::new(indent));
            }
        } else if self.levels.last().is_some_and(Level::is_begun) {
            self.problem(Problem::NoParent);
        }
    }

    /// Returns the level that a plan or a result at `indent` belongs to.
    fn level_for(&mut self, indent: usize) -> &mut Level {
        if !self.seen_header && self.levels.is_empty() {
            self.problem(Problem::NoHeader);
            self.seen_header = true;
        }
        self.require_top();
        let innermost = self.levels.last().map_or(0, |level| level.indent);
        if indent > innermost {
            self.problem(Problem::NoSubHeader);
            if self.levels.len() < MAX_DEPTH {
                self.levels.push(Level::new(indent));
            }
        }
        let at = self.levels.iter().rposition(|level| level.indent <= indent);
        &mut self.levels[at.unwrap_or(0)]
    }

    /// Ends the levels nested deeper than `indent`; returns the cases of the
    /// one just below it.
    fn close_deeper(&mut self, indent: usize, parent: &str) -> Vec<Case> {
        let mut cases = Vec::new();
        while self.levels.len() > 1 && self.levels.last().is_some_and(|l| l.indent > indent) {
            let two_up =
                self.levels.len() > 2 && self.levels[self.levels.len() - 2].indent > indent;
            if two_up {
                self.problem(Problem::NoParent);
            } else if let Some(name) = self.levels.last().and_then(|l| l.announced.clone())
                && name != parent
            {
                self.problem(Problem::OtherParent(name, parent.to_owned()));
            }
            cases = self.close_innermost();
        }
        cases
    }

    fn close_innermost(&mut self) -> Vec<Case> {
        let Some(mut level) = self.levels.pop() else {
            return Vec::new();
        };
        let problems = level.finish();
        self.problems(problems);
        if let Some(parent) = self.levels.last_mut() {
            parent.diagnostic(&level.detail);
        }
        level.cases
    }

    fn problems(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.problem(problem);
        }
    }

    fn problem(&mut self, problem: Problem) {
        if self.doc.problems.len() < MAX_PROBLEMS && !self.doc.problems.contains(&problem) {
            self.doc.problems.push(problem);
        }
    }
}

/// Parses a whole document at once. A last line without its line ending is
/// not whole and not believed.
pub fn parse(text: &[u8]) -> Document {
    let mut parser = Parser::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let whole = line.strip_suffix(b"\n");
        let line = whole.unwrap_or(line);
        let kept = &line[..line.len().min(MAX_LINE)];
        parser.line(kept, whole.is_none() || kept.len() < line.len());
    }
    parser.finish()
}
