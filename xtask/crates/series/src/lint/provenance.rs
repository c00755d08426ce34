//! Checks the origin of a patch.

use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use crate::manifest::Provenance;
use crate::person::person;

/// Returns the remarks that block an export.
pub fn remarks(provenance: &Provenance) -> Vec<Remark> {
    let attested = provenance.attested_by.trim();
    let mut found = Vec::new();
    if provenance.ai_assisted && attested.is_empty() {
        found.push(Remark::warning(
            Check::Provenance,
            At::Manifest(vec!["provenance"]),
            "ai_assisted; FreeBSD rejects this (CONTRIBUTING.md); export refused without attested_by",
            "a person who has read the rule and is responsible for the patch must add their name: \
                attested_by: \"Name <address>\"",
        ));
    }
    if !attested.is_empty() && person(attested).is_none() {
        found.push(Remark::error(
            Check::Provenance,
            At::Manifest(vec!["provenance", "attested_by"]),
            format!("attested_by '{attested}' is not `Name <address>`"),
            "write a person's `Name <address>`",
        ));
    }
    if provenance.origin.trim().is_empty() {
        found.push(Remark::error(
            Check::Provenance,
            At::Manifest(vec!["provenance", "origin"]),
            "origin is empty",
            "write `own`, or where the patch was obtained from",
        ));
    }
    found
}

/// Checks that the author's address can receive mail, as FreeBSD asks.
pub fn author(email: &str) -> Option<Remark> {
    let (user, host) = email.split_once('@')?;
    let no_reply = [user, host].iter().any(|part| {
        let part = part.to_lowercase();
        part.contains("noreply") || part.contains("no-reply")
    });
    (no_reply || host == "localhost").then(|| {
        Remark::warning(
            Check::Provenance,
            At::Patch,
            format!("the author's address {email} receives no mail"),
            "FreeBSD asks for an address at which the author can be reached",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::remark::texts;

    #[test]
    fn provenances() {
        let ai = "ai_assisted; FreeBSD rejects this (CONTRIBUTING.md); export refused without \
                  attested_by";
        for (origin, ai_assisted, attested_by, want) in [
            ("own", false, "", vec![]),
            ("own", true, "A B <a@b.org>", vec![]),
            ("own", true, "", vec![ai]),
            ("own", true, " ", vec![ai]),
            (
                "own",
                true,
                "me",
                vec!["attested_by 'me' is not `Name <address>`"],
            ),
            (
                "own",
                false,
                "me",
                vec!["attested_by 'me' is not `Name <address>`"],
            ),
            ("", false, "", vec!["origin is empty"]),
        ] {
            let provenance = Provenance {
                origin: origin.into(),
                ai_assisted,
                attested_by: attested_by.into(),
            };
            assert_eq!(texts(&remarks(&provenance)), want);
        }
    }

    #[test]
    fn authors() {
        for (email, want) in [
            ("a@example.org", false),
            ("a@users.noreply.github.com", true),
            ("noreply@example.org", true),
            ("No-Reply@example.org", true),
            ("me@localhost", true),
            ("no one", false),
        ] {
            assert_eq!(author(email).is_some(), want, "{email}");
        }
    }
}
