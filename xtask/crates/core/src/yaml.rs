//! Reads YAML. Only this module knows the YAML library, and turns its errors
//! into messages for people.

pub mod faults;
pub mod places;

use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Parses `text`, the content of the file called `name` in messages. An error
/// shows the place, and suggests the intended word for a misspelt one.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Failure> {
    if let Some(line) = too_deep(text) {
        return Err(Failure::usage(format!("read {name}"), TOO_DEEP)
            .help(format!("the place: {name}, line {line}")));
    }
    serde_yaml::from_str(text).map_err(|error| explain(name, text, &error))
}

/// The message about a text that is nested too deeply.
const TOO_DEEP: &str = "it is nested too deeply";

/// The deepest nesting that is parsed. The parsers need time and stack for each
/// level.
const DEEPEST: usize = 64;

/// The longest indentation that is parsed, in bytes.
const LONGEST_INDENT: usize = 256;

/// Returns the first line at which `text` may be nested too deeply, from 1.
/// Brackets in strings count too.
fn too_deep(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    for (n, line) in text.lines().enumerate() {
        let inner = line.trim_start_matches([' ', '\t']);
        let indent = line.len() - inner.len();
        let markers = inner
            .split([' ', '\t'])
            .take_while(|word| matches!(*word, "-" | "?" | ""))
            .count();
        let mut deepest = open;
        for byte in line.bytes() {
            match byte {
                b'[' | b'{' => open += 1,
                b']' | b'}' => open = open.saturating_sub(1),
                _ => {}
            }
            deepest = deepest.max(open);
        }
        if deepest + markers > DEEPEST || indent > LONGEST_INDENT {
            return Some(n + 1);
        }
    }
    None
}

fn explain(name: &str, text: &str, error: &serde_yaml::Error) -> Failure {
    let message = message(error);
    let place = error.location();
    let mut failure = Failure::usage(format!("read {name}"), message.clone());
    if let Some(word) = meant(&message) {
        failure = failure.help(format!("did you mean `{word}`?"));
    }
    match place {
        Some(place) => {
            let rest = text.get(place.index()..).unwrap_or_default();
            let word = rest.find([':', '\n']).unwrap_or(rest.len()).max(1);
            failure.at(name, text, (place.index(), word), "here")
        }
        None => failure,
    }
}

/// Returns the message of an error without its place.
fn message(error: &serde_yaml::Error) -> String {
    let message = error.to_string();
    match error.location() {
        Some(place) => {
            let suffix = format!(" at line {} column {}", place.line(), place.column());
            message.trim_end_matches(&suffix).to_owned()
        }
        None => message,
    }
}

/// Returns the intended word, from serde's own text: "unknown field `nme`,
/// expected one of `name`, `url`".
fn meant(message: &str) -> Option<&str> {
    let mut words = message.split('`').skip(1).step_by(2);
    if !message.contains("unknown ") {
        return None;
    }
    let wrong = words.next()?;
    closest(wrong, words)
}

/// Returns the candidate that is most similar to `word`, if any is similar.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only its shape matters")]
    struct Example {
        name: String,
        osreldate: u32,
        builder: Builder,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Builder {
        MakePy,
        Legacy,
    }

    fn rendered(text: &str) -> String {
        let failure = parse::<Example>("x.yaml", text).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
        crate::failure::rendered(&failure)
    }

    #[test]
    fn a_misspelt_field_is_shown_with_the_right_one() {
        insta::assert_snapshot!(rendered("name: a\nosreldat: 1\nbuilder: make-py\n"));
    }

    #[test]
    fn a_misspelt_value_is_shown_with_the_right_one() {
        insta::assert_snapshot!(rendered("name: a\nosreldate: 1\nbuilder: legcy\n"));
    }

    #[test]
    fn a_wrong_type_and_a_missing_field_are_shown() {
        insta::assert_snapshot!(rendered("name: a\nosreldate: many\nbuilder: legacy\n"));
        insta::assert_snapshot!(rendered("name: a\n"));
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        for text in [
            "[".repeat(100_000),
            "{a: ".repeat(100_000),
            "- ".repeat(100_000),
            format!("a:\n{}b: 1\n", " ".repeat(1000)),
        ] {
            assert_eq!(too_deep(&text).map(|line| line <= 2), Some(true));
            let failure = parse::<Example>("x.yaml", &text).unwrap_err();
            assert_eq!(failure.exit_code(), 2);
            assert!(faults::read::<Example>(&text).is_err());
        }
        assert_eq!(too_deep("a: [1, {b: [2]}]\n- - - x\n"), None);
    }

    #[test]
    fn only_likely_words_are_proposed() {
        let names = ["releng-15.1", "main", "head-2014"];
        for (word, want) in [
            ("releng-15", Some("releng-15.1")),
            ("head2014", Some("head-2014")),
            ("mian", Some("main")),
            ("zzz", None),
        ] {
            assert_eq!(closest(word, names), want, "{word}");
        }
    }
}
