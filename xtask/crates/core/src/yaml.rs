//! Reads YAML. Only this module knows the YAML library, and turns its errors
//! into messages for people.

pub mod faults;
pub mod places;

use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Parses `text`, the content of the file called `name` in messages. An error
/// shows the place, and suggests the intended word for a misspelt one.
pub fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Failure> {
    serde_yaml::from_str(text).map_err(|error| explain(name, text, &error))
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
