//! `unsafe` in the three places that wrap an interface without a safe one.

use crate::{Finding, Repo};

/// The folders that wrap an unsafe interface: the kernel's KPI, the system
/// calls, the demo guest's hardware.
const WRAPPERS: [&str; 3] = [
    "kmod/src/kpi/",
    "userland-tests/lib/sys/src/",
    "vm/demo-guest/src/hw/",
];

/// Macros that expand to an `unsafe` attribute in the crates of tests.
const MACROS: [&str; 1] = ["kmod/harness/src/register.rs"];

/// Finds `unsafe` allowed elsewhere, and crates without the workspace's lints.
pub fn check(repo: &Repo) -> Vec<Finding> {
    let mut found = Vec::new();
    for source in repo.with_extension(&["rs"]) {
        let allowed = WRAPPERS.iter().any(|dir| source.path.starts_with(dir))
            || MACROS.contains(&source.path.as_str())
            || source.path == SELF;
        for (at, line) in source.lines().filter(|_| !allowed) {
            if ["allow(", "expect(", "warn("]
                .iter()
                .any(|level| line.contains(&format!("{level}unsafe_code")))
            {
                found.push(Finding::new(
                    &source.path,
                    at,
                    "unsafe code is allowed here",
                    format!("move it to one of {}", WRAPPERS.join(", ")),
                ));
            }
        }
    }
    for source in repo
        .sources
        .iter()
        .filter(|source| source.name() == "Cargo.toml")
    {
        let is_package = source.text.lines().any(|line| line == "[package]");
        if is_package && !source.text.contains("[lints]\nworkspace = true\n") {
            found.push(Finding::new(
                &source.path,
                1,
                "the package does not use the workspace's lints",
                "add `[lints]` with `workspace = true`",
            ));
        }
    }
    found
}

/// This file names the attribute.
const SELF: &str = "xtask/crates/tidy/src/unsafe_code.rs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_allowed_in_three_places() {
        let table = [
            ("kmod/src/kpi/mod.rs", "#![allow(unsafe_code)]", 0),
            ("kmod/src/lib.rs", "#![allow(unsafe_code)]", 1),
            ("xtask/src/main.rs", "#[expect(unsafe_code)]", 1),
            ("xtask/src/main.rs", "#![deny(unsafe_code)]", 0),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n", 1),
            ("a/Cargo.toml", "[package]\n[lints]\nworkspace = true\n", 0),
            ("Cargo.toml", "[workspace]\n", 0),
        ];
        for (path, text, want) in table {
            assert_eq!(
                check(&Repo::of(&[(path, text)])).len(),
                want,
                "{path}: {text}"
            );
        }
    }
}
