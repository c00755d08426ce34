//! Checks the first line of a message: `component: Capitalised imperative`.

use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};

/// The number of characters of a subject. FreeBSD's template asks for 50.
const LIMIT: usize = 67;

/// Returns the remarks about `subject`.
pub fn remarks(subject: &str) -> Vec<Remark> {
    let mut found = Vec::new();
    let mut say = |text: String, help: &str| {
        found.push(Remark::error(Check::Subject, At::Subject, text, help));
    };
    let length = subject.chars().count();
    if length > LIMIT {
        say(
            format!("subject is {length} characters, limit {LIMIT}"),
            "shorten it, and move details to the body (FreeBSD asks for 50)",
        );
    }
    if subject.ends_with('.') {
        say(
            "subject ends with a full stop".into(),
            "remove the full stop",
        );
    }
    const FORM: &str = "write `component: Capitalised imperative`, as in `kern: Count all lines`";
    match subject.split_once(": ") {
        Some((component, what)) if is_component(component) && !what.trim().is_empty() => {
            let what = what.trim_start();
            if what.starts_with(char::is_lowercase) && !is_name(what) {
                say(
                    format!("'{}' begins with a lower case letter", first(what)),
                    "write the first word after the component with a capital",
                );
            }
            if let Some(imperative) = imperative_of(first(what)) {
                found.push(Remark::warning(
                    Check::Subject,
                    At::Subject,
                    format!("'{}' is not an imperative", first(what)),
                    format!("write the imperative: `{imperative}`"),
                ));
            }
        }
        _ => say("subject names no component".into(), FORM),
    }
    found
}

fn first(text: &str) -> &str {
    text.split_whitespace().next().unwrap_or_default()
}

/// Returns whether `text` is a component: a path, a driver, a program,
/// sometimes two.
fn is_component(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || " _-./,+(){}*@".contains(c);
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '.') && text.chars().all(fits)
}

/// Returns whether a text begins with an identifier, which keeps its case.
fn is_name(text: &str) -> bool {
    first(text).contains(|c: char| "_()./".contains(c) || c.is_ascii_digit())
}

/// The commands that patches begin with.
const IMPERATIVES: [&str; 32] = [
    "Add",
    "Allow",
    "Avoid",
    "Bump",
    "Call",
    "Change",
    "Check",
    "Clean",
    "Convert",
    "Count",
    "Document",
    "Drop",
    "Enable",
    "Fix",
    "Handle",
    "Implement",
    "Improve",
    "Introduce",
    "Make",
    "Mark",
    "Move",
    "Prevent",
    "Remove",
    "Rename",
    "Replace",
    "Return",
    "Revert",
    "Split",
    "Stop",
    "Support",
    "Update",
    "Use",
];

/// Returns the command that `word` is another form of.
fn imperative_of(word: &str) -> Option<&'static str> {
    IMPERATIVES.into_iter().find(|imperative| {
        let stem = imperative.trim_end_matches('e');
        let doubled = stem.chars().last().map(|last| format!("{stem}{last}"));
        let forms = |stem: &str| [format!("{stem}ed"), format!("{stem}ing")];
        let mut all = vec![format!("{imperative}s"), format!("{imperative}es")];
        all.extend(forms(stem));
        all.extend(doubled.as_deref().map(forms).into_iter().flatten());
        all.iter().any(|form| form == word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    #[test]
    fn subjects() {
        let long = format!("kern: {}", "x".repeat(61).replacen('x', "X", 1));
        let longer = format!("{long}x");
        for (subject, want) in [
            ("kern: Count all lines", vec![]),
            ("x86/xen: Use the i8254 for DELAY() outside Xen", vec![]),
            ("linuxkpi, drm: Fix a race", vec![]),
            ("sendfile(2): Return EAGAIN", vec![]),
            ("xen: hammer_time_xen() uses the i8254", vec![]),
            ("stand: i8254 is used", vec![]),
            (long.as_str(), vec![]),
            (&longer, vec!["subject is 68 characters, limit 67"]),
            ("kern: Count.", vec!["subject ends with a full stop"]),
            (
                "kern: count",
                vec!["'count' begins with a lower case letter"],
            ),
            ("Count all lines", vec!["subject names no component"]),
            ("kern:Count", vec!["subject names no component"]),
            ("kern: ", vec!["subject names no component"]),
            ("", vec!["subject names no component"]),
            ("kern: Fixed a race", vec!["'Fixed' is not an imperative"]),
            ("kern: Dropping it", vec!["'Dropping' is not an imperative"]),
            ("kern: Uses it", vec!["'Uses' is not an imperative"]),
            ("kern: Need it", vec![]),
            (
                "kern: fixes it.",
                vec![
                    "subject ends with a full stop",
                    "'fixes' begins with a lower case letter",
                ],
            ),
        ] {
            assert_eq!(texts(&remarks(subject)), want, "{subject}");
        }
    }
}
