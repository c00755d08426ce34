//! Checks the `check` of a patch: its tests, and the checks that it waives.

use crate::lint::finding::{Check, Severity};
use crate::lint::remark::{At, Remark};
use crate::manifest::{Class, Patch};
use kdk_core::yaml;

/// Returns the remarks about the patch's `check`.
pub fn remarks(patch: &Patch) -> Vec<Remark> {
    let mut found = Vec::new();
    let needs_proof = !matches!(patch.class, Class::Test | Class::Local);
    if needs_proof && patch.check.tests.is_empty() {
        found.push(Remark::warning(
            Check::Tests,
            At::Manifest(vec!["check"]),
            "no test proves it",
            "list the tests that fail without the patch: check: {tests: [\"suite/case\"]}",
        ));
    }
    for (n, name) in patch.check.waive.iter().enumerate() {
        let at = At::Item(vec!["check", "waive"], n);
        match Check::ALL.into_iter().find(|check| check.name() == name) {
            Some(check) if check.can_be_waived() => {}
            Some(_) => found.push(Remark::error(
                Check::Tests,
                at,
                format!("'{name}' cannot be waived"),
                format!("a patch can waive {}", waivable().join(", ")),
            )),
            None => found.push(unknown(name, at)),
        }
    }
    found
}

fn unknown(name: &str, at: At) -> Remark {
    let text = match yaml::closest(name, waivable()) {
        Some(meant) => format!("unknown check '{name}'; did you mean '{meant}'?"),
        None => format!("unknown check '{name}'"),
    };
    let help = format!("a patch can waive {}", waivable().join(", "));
    Remark::error(Check::Tests, at, text, help)
}

fn waivable() -> Vec<&'static str> {
    let all = Check::ALL.into_iter();
    all.filter(|check| check.can_be_waived())
        .map(Check::name)
        .collect()
}

/// Returns whether the patch waives a finding of `check`. An error in `waive`
/// itself cannot be waived.
pub fn waives(patch: &Patch, check: Check, severity: Severity) -> bool {
    let is_named = patch.check.waive.iter().any(|name| name == check.name());
    let is_of_waive = (check, severity) == (Check::Tests, Severity::Error);
    check.can_be_waived() && is_named && !is_of_waive
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;
    use kdk_core::yaml;

    fn patch(class: &str, check: &str) -> Patch {
        let text = format!(
            "{{id: a, file: a.patch, class: {class}, provenance: {{origin: own, ai_assisted: \
             false}}, check: {check}}}"
        );
        yaml::parse("x", &text).unwrap()
    }

    #[test]
    fn tests_and_waivers() {
        for (class, check, want) in [
            ("fix", "{}", vec!["no test proves it"]),
            ("feature", "{}", vec!["no test proves it"]),
            ("enabling", "{}", vec!["no test proves it"]),
            ("test", "{}", vec![]),
            ("local", "{}", vec![]),
            ("fix", "{tests: [a/b]}", vec![]),
            ("fix", "{waive: [check]}", vec!["no test proves it"]),
            ("local", "{waive: [size, path]}", vec![]),
            (
                "local",
                "{waive: [sise]}",
                vec!["unknown check 'sise'; did you mean 'size'?"],
            ),
            ("local", "{waive: [zzz]}", vec!["unknown check 'zzz'"]),
            (
                "local",
                "{waive: [provenance]}",
                vec!["'provenance' cannot be waived"],
            ),
        ] {
            let patch = patch(class, check);
            assert_eq!(texts(&remarks(&patch)), want, "{class} {check}");
        }
    }

    #[test]
    fn a_patch_waives_what_it_names_and_may() {
        let patch = patch("fix", "{waive: [size, check, provenance]}");
        for (check, severity, want) in [
            (Check::Size, Severity::Warning, true),
            (Check::Path, Severity::Error, false),
            (Check::Tests, Severity::Warning, true),
            (Check::Tests, Severity::Error, false),
            (Check::Provenance, Severity::Warning, false),
        ] {
            assert_eq!(waives(&patch, check, severity), want, "{check:?}");
        }
    }
}
