//! The trailers of a FreeBSD commit message: `Key:<tab>value`. git's own parser
//! does not know keys with spaces.

use crate::manifest::{Channel, Patch};

/// The keys of FreeBSD's commit template (tools/tools/git/hooks), in order.
pub const KEYS: [&str; 15] = [
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
    LAST,
];

/// The key of the last line. If it is not last, Phabricator does not close the
/// review.
pub const LAST: &str = "Differential Revision";

/// The keys of git itself, which may be anywhere above the last line.
pub const GITS: [&str; 2] = ["Co-authored-by", "Signed-off-by"];

/// A trailer of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// The key: one of [`KEYS`] or [`GITS`].
    pub key: &'static str,
    /// The value of the trailer.
    pub value: String,
}

impl Trailer {
    /// Parses a line; `None` if its key is neither FreeBSD's nor git's.
    pub fn read(line: &str) -> Option<Self> {
        let (name, value) = line.split_once(':')?;
        let key = KEYS.into_iter().chain(GITS).find(|key| *key == name)?;
        let value = value.trim();
        let value = (!value.is_empty()).then(|| value.to_owned())?;
        Some(Self { key, value })
    }
}

impl std::fmt::Display for Trailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // git parses these two itself, and needs a space.
        let gap = if GITS.contains(&self.key) { ' ' } else { '\t' };
        write!(f, "{}:{gap}{}", self.key, self.value)
    }
}

/// Returns the trailers that the manifest adds to the message of `patch`.
pub fn of_patch(patch: &Patch) -> Vec<Trailer> {
    let review = patch.upstream.channel.and_then(|channel| match channel {
        Channel::Phabricator => Some(LAST),
        Channel::Github => Some("Pull Request"),
        Channel::Mail | Channel::Bugzilla => None,
    });
    let fields = patch.trailers.fields();
    let lines = fields.iter().map(|(_, key, value)| (*key, *value));
    lines
        .chain(review.map(|key| (key, &patch.upstream.url)))
        .filter_map(|(key, value)| {
            let value = value.clone()?;
            Some(Trailer { key, value })
        })
        .collect()
}

/// Returns `message` with `more` added to its trailers, in order and without
/// duplicates.
pub fn add(message: &str, more: &[Trailer]) -> String {
    let message = message.trim_end();
    let (text, own) = split(message);
    let mut all = own;
    for trailer in more {
        if !all.contains(trailer) {
            all.push(trailer.clone());
        }
    }
    all.sort_by_key(|trailer| place(trailer.key));
    let lines: Vec<String> = all.iter().map(ToString::to_string).collect();
    match lines.as_slice() {
        [] => format!("{text}\n"),
        lines => format!("{text}\n\n{}\n", lines.join("\n")),
    }
}

/// Returns the sort key of a trailer: FreeBSD's keys in order, git's, the last
/// one.
fn place(key: &str) -> (bool, usize) {
    let known = KEYS.iter().position(|other| *other == key);
    (key == LAST, known.unwrap_or(KEYS.len()))
}

/// Splits a message into its text and its trailers: the last paragraph, if all
/// of its lines are trailers.
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
