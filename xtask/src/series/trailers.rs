//! The lines at the end of a FreeBSD commit message: `Key:<tab>value`. git's
//! own trailers have no spaces in their keys, so they are no help here.

use crate::series::manifest::{Channel, Patch};

/// The keys of FreeBSD's commit template (tools/tools/git/hooks/
/// prepare-commit-msg), in its order. `Differential Revision` is last: where it
/// is not, Phabricator does not close the review.
pub const KEYS: [&str; 17] = [
    "PR",
    "Reported by",
    "Reviewed by",
    "Tested by",
    "Approved by",
    "Obtained from",
    "Fixes",
    "MFC after",
    "MFC to",
    "Relnotes",
    "Security",
    "Event",
    "Sponsored by",
    "Pull Request",
    "Co-authored-by",
    "Signed-off-by",
    "Differential Revision",
];

/// One of the lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// One of [`KEYS`].
    pub key: &'static str,
    /// The rest of the line.
    pub value: String,
}

impl Trailer {
    /// Reads a line; none if its key is not one of [`KEYS`].
    pub fn read(line: &str) -> Option<Self> {
        let (name, value) = line.split_once(':')?;
        let key = KEYS.into_iter().find(|key| *key == name)?;
        let value = value.trim();
        let value = (!value.is_empty()).then(|| value.to_owned())?;
        Some(Self { key, value })
    }

    /// `key`, if `value` is there.
    fn of(key: &'static str, value: Option<&String>) -> Option<Self> {
        let value = value?.clone();
        Some(Self { key, value })
    }
}

impl std::fmt::Display for Trailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // git reads these two itself, and wants a space there.
        let gap = if self.key.contains('-') { ' ' } else { '\t' };
        write!(f, "{}:{gap}{}", self.key, self.value)
    }
}

/// What the manifest adds to the message of `patch`.
pub fn of_patch(patch: &Patch) -> Vec<Trailer> {
    let lines = &patch.trailers;
    let review = patch.upstream.channel.and_then(|channel| match channel {
        Channel::Phabricator => Some("Differential Revision"),
        Channel::Github => Some("Pull Request"),
        Channel::Mail | Channel::Bugzilla => None,
    });
    [
        Trailer::of("PR", lines.pr.as_ref()),
        Trailer::of("Reported by", lines.reported_by.as_ref()),
        Trailer::of("Reviewed by", lines.reviewed_by.as_ref()),
        Trailer::of("Tested by", lines.tested_by.as_ref()),
        Trailer::of("Obtained from", lines.obtained_from.as_ref()),
        Trailer::of("Fixes", lines.fixes.as_ref()),
        Trailer::of("MFC after", lines.mfc_after.as_ref()),
        Trailer::of("Relnotes", lines.relnotes.as_ref()),
        Trailer::of("Sponsored by", lines.sponsored_by.as_ref()),
        review.and_then(|key| Trailer::of(key, patch.upstream.url.as_ref())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `message` with `more` among its trailers, in order, each once.
pub fn add(message: &str, more: &[Trailer]) -> String {
    let message = message.trim_end();
    let (text, own) = split(message);
    let mut all = own;
    for trailer in more {
        if !all.contains(trailer) {
            all.push(trailer.clone());
        }
    }
    let place = |trailer: &Trailer| KEYS.iter().position(|key| *key == trailer.key);
    all.sort_by_key(place);
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    match lines.as_slice() {
        [] => format!("{text}\n"),
        lines => format!("{text}\n\n{}\n", lines.join("\n")),
    }
}

/// The message before its trailers, and those: the last paragraph, if all of
/// its lines are trailers.
fn split(message: &str) -> (&str, Vec<Trailer>) {
    let Some((text, last)) = message.rsplit_once("\n\n") else {
        return (message, Vec::new());
    };
    let trailers: Option<Vec<Trailer>> = last.lines().map(Trailer::read).collect();
    match trailers {
        Some(trailers) => (text.trim_end(), trailers),
        None => (message, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailer(key: &'static str, value: &str) -> Trailer {
        let value = value.into();
        Trailer { key, value }
    }

    #[test]
    fn trailers_are_added_in_freebsds_order() {
        let more = [
            trailer("Differential Revision", "https://reviews.FreeBSD.org/D1"),
            trailer("MFC after", "1 week"),
            trailer("Signed-off-by", "A <a@example.org>"),
        ];
        let table = [
            ("a: B\n", "a: B\n\nMFC after:\t1 week\n"),
            (
                "a: B\n\nText: of a body\n",
                "a: B\n\nText: of a body\n\nMFC after:\t1 week\n",
            ),
            (
                "a: B\n\nBody.\n\nPR:\t7\nFixes: x\n",
                "a: B\n\nBody.\n\nPR:\t7\nFixes:\tx\nMFC after:\t1 week\n",
            ),
            (
                "a: B\n\nBody.\n\nMFC after:\t1 week\n",
                "a: B\n\nBody.\n\nMFC after:\t1 week\n",
            ),
        ];
        for (message, want) in table {
            assert_eq!(add(message, &more[1..2]), want);
        }
        assert_eq!(
            add("a: B\n\nSponsored by:\tC\n", &more),
            "a: B\n\nMFC after:\t1 week\nSponsored by:\tC\nSigned-off-by: A <a@example.org>\n\
             Differential Revision:\thttps://reviews.FreeBSD.org/D1\n"
        );
        assert_eq!(add("a: B\n\nBody.\n", &[]), "a: B\n\nBody.\n");
    }

    #[test]
    fn a_line_without_a_known_key_is_no_trailer() {
        for line in ["Foo: bar", "PR:", "PR", "pr: 1", "MFC after"] {
            assert_eq!(Trailer::read(line), None, "{line}");
        }
    }
}
