//! Checks of the repository's own style.
//!
//! Each check is one module with one function from the repository's files to
//! findings. A check reads no disk and runs no command: [`Repo`] has the text
//! of every file, and the tests give it a few files of their own.

mod commits;
mod docs;
mod finding;
mod length;
mod links;
mod machine_paths;
mod mail;
mod repo;
mod subject;
mod suites;
mod unsafe_code;
mod whitespace;
mod words;

pub use finding::Finding;
pub use repo::{Commit, ReadError, Repo, Source};

/// A check: its name, and the function that does it.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// The name that the summary prints.
    pub name: &'static str,
    run: fn(&Repo) -> Vec<Finding>,
}

impl Check {
    /// Returns what the check finds, sorted by file and line.
    pub fn run(&self, repo: &Repo) -> Vec<Finding> {
        let mut findings = (self.run)(repo);
        findings.sort();
        findings
    }
}

/// Every check, in the order of the report.
pub const CHECKS: [Check; 10] = [
    check("file length", length::check),
    check("white space", whitespace::check),
    check("machine paths", machine_paths::check),
    check("words", words::check),
    check("public docs", docs::check),
    check("links", links::check),
    check("suites", suites::check),
    check("unsafe code", unsafe_code::check),
    check("commit subjects", commits::check),
    check("patch subjects", mail::check),
];

const fn check(name: &'static str, run: fn(&Repo) -> Vec<Finding>) -> Check {
    Check { name, run }
}
