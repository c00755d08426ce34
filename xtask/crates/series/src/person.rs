//! Parses the persons in commit messages and manifests: `Name <address>`.

/// Returns the name and address of the person that `text` names.
pub fn person(text: &str) -> Option<(String, String)> {
    let (name, rest) = text.trim().split_once(" <")?;
    let address = rest.strip_suffix('>')?;
    let (user, host) = address.split_once('@')?;
    let plain = |part: &str| !part.is_empty() && !part.contains([' ', '<', '>', '@']);
    let whole = !name.trim().is_empty() && plain(user) && plain(host);
    whole.then(|| (name.trim().to_owned(), address.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_has_a_name_and_an_address() {
        let known = Some(("A B".to_owned(), "a@example.org".to_owned()));
        assert_eq!(person("A B <a@example.org>"), known);
        for text in [
            "",
            "A B",
            "<a@example.org>",
            "A <a>",
            "A <@b>",
            "A <a@b@c>",
            "A <a@b> and more",
        ] {
            assert_eq!(person(text), None, "{text}");
        }
    }
}
