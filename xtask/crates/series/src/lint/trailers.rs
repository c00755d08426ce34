//! Checks the trailers of a message, `Key:<tab>value`. git's own parser does
//! not know keys with spaces.

use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use crate::manifest::Trailers;
use crate::person::person;
use crate::trailers::{GITS, KEYS, LAST};

/// A trailer of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer<'a> {
    /// The key as it should be.
    pub key: &'static str,
    /// The key as it is written.
    pub written: &'a str,
    /// The space between the colon and the value.
    pub gap: &'a str,
    /// The value's first line.
    pub value: &'a str,
    /// The line of the body, from 0.
    pub line: usize,
}

/// Returns the trailers of a message's body: the lines of its last paragraph
/// that have a known key.
pub fn of(body: &str) -> Vec<Trailer<'_>> {
    let lines: Vec<&str> = body.lines().collect();
    let end = lines.iter().rposition(|line| !line.trim().is_empty());
    let end = end.map_or(0, |last| last + 1);
    let blank = lines[..end].iter().rposition(|line| line.trim().is_empty());
    let start = blank.map_or(0, |blank| blank + 1);
    let known = |n: usize| trailer(lines[n], n);
    (start..end).filter_map(known).collect()
}

/// Returns the line of the body with the first trailer.
pub fn first_line(body: &str) -> Option<usize> {
    of(body).first().map(|trailer| trailer.line)
}

fn trailer(text: &str, line: usize) -> Option<Trailer<'_>> {
    let (written, gap, value) = split(text)?;
    Some(Trailer {
        key: key_of(written)?,
        written,
        gap,
        value,
        line,
    })
}

/// Splits a line into key, gap and value, if it has that form.
fn split(line: &str) -> Option<(&str, &str, &str)> {
    let (key, rest) = line.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphabetic() || c == ' ' || c == '-';
    if !key.starts_with(|c: char| c.is_ascii_alphabetic()) || !key.chars().all(plain) {
        return None;
    }
    let value = rest.trim_start();
    Some((key, &rest[..rest.len() - value.len()], value))
}

/// Returns the key that equals `written` except for case and hyphens.
fn key_of(written: &str) -> Option<&'static str> {
    let plain = |key: &str| key.trim().replace('-', " ").to_lowercase();
    KEYS.into_iter()
        .chain(GITS)
        .find(|key| plain(key) == plain(written))
}

/// Returns the remarks about the trailers of `body`.
pub fn remarks(body: &str) -> Vec<Remark> {
    let trailers = of(body);
    let mut found = Vec::new();
    for trailer in &trailers {
        found.extend(form(trailer));
        found.extend(
            value(trailer.key, trailer.value).map(|wrong| wrong.at(At::Body(trailer.line))),
        );
    }
    found.extend(order(&trailers));
    let first = trailers.first().map_or(usize::MAX, |trailer| trailer.line);
    for (n, line) in body.lines().enumerate() {
        if n > first {
            found.extend(unknown_line(line, n));
        } else if n < first {
            found.extend(misplaced(line, n));
        }
    }
    found
}

fn say(line: usize, text: String, help: impl Into<String>) -> Remark {
    Remark::error(Check::Trailers, At::Body(line), text, help)
}

/// Checks the key and the gap.
fn form(trailer: &Trailer<'_>) -> Option<Remark> {
    let key = trailer.key;
    if trailer.written != key {
        let text = format!("'{}' must be spelled '{key}'", trailer.written);
        return Some(say(trailer.line, text, "spell the key as FreeBSD does"));
    }
    let is_gits = GITS.contains(&key) && trailer.gap == " ";
    let is_tabs = !trailer.gap.is_empty() && trailer.gap.chars().all(|c| c == '\t');
    if is_gits || is_tabs || trailer.value.is_empty() {
        return None;
    }
    let text = format!("'{key}:' is not followed by a tab");
    Some(say(trailer.line, text, "write `Key:<tab>value`"))
}

/// Checks the order, which is that of FreeBSD's template.
fn order(trailers: &[Trailer<'_>]) -> Vec<Remark> {
    let mut found = Vec::new();
    for pair in trailers.windows(2) {
        let [above, below] = pair else { continue };
        if above.key == LAST {
            if below.key != LAST {
                let text = format!("'{LAST}' must be last");
                found.push(say(above.line, text, "move it to the end of the message"));
            }
            continue;
        }
        let rank = |trailer: &Trailer<'_>| KEYS.iter().position(|key| *key == trailer.key);
        let highest = trailers
            .iter()
            .filter(|other| other.line <= above.line && other.key != LAST)
            .filter_map(|other| Some((rank(other)?, other.key)))
            .max();
        if let (Some((highest, name)), Some(rank)) = (highest, rank(below))
            && rank < highest
        {
            let text = format!("'{}' must be above '{name}'", below.key);
            let help = format!("FreeBSD's order is: {}", KEYS.join(", "));
            found.push(say(below.line, text, help));
        }
    }
    found
}

/// Checks a line below the first trailer that is no trailer.
fn unknown_line(line: &str, n: usize) -> Option<Remark> {
    let goes_on = line.starts_with([' ', '\t']);
    if goes_on || line.trim().is_empty() || trailer(line, n).is_some() {
        return None;
    }
    let Some((key, _, _)) = split(line) else {
        let text = "a line among the trailers is not a trailer".to_owned();
        let help = "trailers are together at the end, below a blank line; continuation lines begin with a \
            tab";
        return Some(say(n, text, help));
    };
    Some(match near(key) {
        Some(meant) => say(
            n,
            format!("unknown key '{key}'; did you mean '{meant}'?"),
            "spell the key as FreeBSD does",
        ),
        None => say(
            n,
            format!("unknown key '{key}'"),
            format!("FreeBSD's keys are: {}", KEYS.join(", ")),
        ),
    })
}

/// Checks a trailer above the last paragraph, or a misspelled one.
fn misplaced(line: &str, n: usize) -> Option<Remark> {
    let (key, gap, _) = split(line)?;
    if !gap.starts_with('\t') {
        return None;
    }
    match (key_of(key), near(key)) {
        (Some(key), _) => {
            let help = "trailers are together at the end, without a blank line among them";
            Some(say(
                n,
                format!("'{key}' is not in the last paragraph"),
                help,
            ))
        }
        (None, Some(meant)) => {
            let text = format!("unknown key '{key}'; did you mean '{meant}'?");
            Some(say(n, text, "spell the key as FreeBSD does"))
        }
        (None, None) => None,
    }
}

/// Returns the key that is most similar to `written`, if it is similar enough.
fn near(written: &str) -> Option<&'static str> {
    let like = |key: &str| strsim::jaro_winkler(&written.to_lowercase(), &key.to_lowercase());
    KEYS.into_iter()
        .chain(GITS)
        .map(|key| (like(key), key))
        .filter(|(likeness, _)| *likeness > 0.85)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, key)| key)
}

/// A problem with a value.
struct Wrong {
    text: String,
    help: &'static str,
}

impl Wrong {
    fn at(self, at: At) -> Remark {
        Remark::error(Check::Trailers, at, self.text, self.help)
    }
}

fn value(key: &str, value: &str) -> Option<Wrong> {
    const PULL: &str = "write the full address: https://github.com/freebsd/freebsd-src/pull/NUMBER";
    const REVIEW: &str = "write the full address: https://reviews.freebsd.org/DNUMBER";
    let value = value.trim_end();
    let (fits, help) = match key {
        "PR" => (is_pr(value), "write the numbers of problem reports"),
        "Fixes" => (
            is_fixes(value),
            "write `HASH (\"SUBJECT\")`, as `git log -1 --format='%h (\"%s\")'` does",
        ),
        "MFC after" => (is_after(value), "write `N days`, `N weeks` or `N months`"),
        "Relnotes" => (value == "yes", "write `yes`, or remove the line"),
        "Pull Request" => (is_pull(value), PULL),
        LAST => (is_review(value), REVIEW),
        "Co-authored-by" | "Signed-off-by" => (person(value).is_some(), "write `Name <address>`"),
        _ => (!value.is_empty(), "write a value, or remove the line"),
    };
    let text = format!("'{key}' cannot be '{value}'");
    (!fits).then_some(Wrong { text, help })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn is_pr(value: &str) -> bool {
    let mut numbers = value.split([',', ' ']).filter(|part| !part.is_empty());
    value.starts_with(|c: char| c.is_ascii_digit()) && numbers.all(is_number)
}

fn is_fixes(value: &str) -> bool {
    let Some((hash, subject)) = value.split_once(' ') else {
        return false;
    };
    let is_hash = (7..=40).contains(&hash.len()) && hash.chars().all(|c| c.is_ascii_hexdigit());
    let quoted = subject
        .strip_prefix("(\"")
        .and_then(|rest| rest.strip_suffix("\")"));
    is_hash && quoted.is_some_and(|subject| !subject.trim().is_empty())
}

fn is_after(value: &str) -> bool {
    let Some((number, unit)) = value.split_once(' ') else {
        return false;
    };
    let units = ["day", "days", "week", "weeks", "month", "months"];
    is_number(number) && !number.starts_with('0') && units.contains(&unit)
}

fn is_pull(value: &str) -> bool {
    let Some(rest) = after(value, "https://github.com/freebsd/") else {
        return false;
    };
    matches!(rest.split('/').collect::<Vec<_>>()[..], [repo, "pull", number] if !repo.is_empty() && is_number(number))
}

fn is_review(value: &str) -> bool {
    after(value, "https://reviews.freebsd.org/D").is_some_and(is_number)
}

/// Returns the rest of `text` after `prefix`. Ignores case, as host names do.
fn after<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| &text[prefix.len()..])
}

/// Returns the remarks about the trailers that the manifest has for a patch.
pub fn manifest_remarks(trailers: &Trailers) -> Vec<Remark> {
    let mut found = Vec::new();
    for (name, key, text) in trailers.fields() {
        let Some(text) = text else { continue };
        let at = At::Manifest(vec!["trailers", name]);
        if text.contains(['\n', '\r']) {
            let text = format!("'{key}' has more than one line");
            let help = "write the value on one line";
            found.push(Remark::error(Check::Trailers, at, text, help));
        } else {
            found.extend(value(key, text).map(|wrong| wrong.at(at)));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    #[test]
    fn trailers_of_a_good_message() {
        let body = "Why: because.\n\nPR:\t\t1, 2\nReviewed by:\ta, b,\n\t\tc\nFixes:\t\t0123abc (\"kern: Count\")\n\
                    MFC after:\t1 week\nRelnotes:\tyes\nSigned-off-by: A B <a@example.org>\n\
                    Pull Request:\thttps://github.com/freebsd/freebsd-src/pull/12\n\
                    Differential Revision:\thttps://reviews.freebsd.org/D12\n";
        assert_eq!(texts(&remarks(body)), Vec::<String>::new());
        let keys: Vec<&str> = of(body).iter().map(|trailer| trailer.key).collect();
        let want = [
            "PR",
            "Reviewed by",
            "Fixes",
            "MFC after",
            "Relnotes",
            "Signed-off-by",
            "Pull Request",
            "Differential Revision",
        ];
        assert_eq!(keys, want);
    }

    #[test]
    fn what_is_wrong_with_a_trailer() {
        for (block, want) in [
            ("PR:\tnone", vec!["'PR' cannot be 'none'"]),
            ("PR:\t", vec!["'PR' cannot be ''"]),
            ("PR: 1", vec!["'PR:' is not followed by a tab"]),
            (
                "Reviewed-by:\ta",
                vec!["'Reviewed-by' must be spelled 'Reviewed by'"],
            ),
            (
                "MFC After:\t1 week",
                vec!["'MFC After' must be spelled 'MFC after'"],
            ),
            ("MFC after:\tsoon", vec!["'MFC after' cannot be 'soon'"]),
            ("MFC after:\t3", vec!["'MFC after' cannot be '3'"]),
            ("MFC after:\t0 days", vec!["'MFC after' cannot be '0 days'"]),
            ("Relnotes:\tYes", vec!["'Relnotes' cannot be 'Yes'"]),
            ("Fixes:\t0123abc", vec!["'Fixes' cannot be '0123abc'"]),
            (
                "Fixes:\t0123abc kern: Count",
                vec!["'Fixes' cannot be '0123abc kern: Count'"],
            ),
            ("Pull Request:\t#12", vec!["'Pull Request' cannot be '#12'"]),
            (
                "Differential Revision:\tD12",
                vec!["'Differential Revision' cannot be 'D12'"],
            ),
            ("Signed-off-by: a", vec!["'Signed-off-by' cannot be 'a'"]),
            (
                "Differential Revision:\thttps://reviews.FreeBSD.org/D1\nPR:\t1",
                vec!["'Differential Revision' must be last"],
            ),
            (
                "MFC after:\t1 week\nPR:\t1",
                vec!["'PR' must be above 'MFC after'"],
            ),
            (
                "MFC after:\t1 week\nSigned-off-by: A <a@b.c>\nPR:\t1\nTested by:\tx",
                vec![
                    "'PR' must be above 'MFC after'",
                    "'Tested by' must be above 'MFC after'",
                ],
            ),
            (
                "PR:\t1\nReviewd by:\ta",
                vec!["unknown key 'Reviewd by'; did you mean 'Reviewed by'?"],
            ),
            ("PR:\t1\nChange-Id:\ta", vec!["unknown key 'Change-Id'"]),
            (
                "PR:\t1\nand more of it",
                vec!["a line among the trailers is not a trailer"],
            ),
            (
                "Reviewd by:\ta",
                vec!["unknown key 'Reviewd by'; did you mean 'Reviewed by'?"],
            ),
            (
                "MFC after:\t1 week\n\nPR:\t1",
                vec!["'MFC after' is not in the last paragraph"],
            ),
            ("Note: this is prose", vec![]),
        ] {
            let body = format!("Why.\n\n{block}\n");
            assert_eq!(texts(&remarks(&body)), want, "{block}");
        }
    }

    #[test]
    fn trailers_of_the_manifest() {
        let trailers = Trailers {
            pr: Some("x".into()),
            mfc_after: Some("2 fortnights".into()),
            relnotes: Some("no".into()),
            sponsored_by: Some("a\nb".into()),
            tested_by: Some("a".into()),
            ..Trailers::default()
        };
        let want = [
            "'PR' cannot be 'x'",
            "'MFC after' cannot be '2 fortnights'",
            "'Relnotes' cannot be 'no'",
            "'Sponsored by' has more than one line",
        ];
        assert_eq!(texts(&manifest_remarks(&trailers)), want);
    }
}
