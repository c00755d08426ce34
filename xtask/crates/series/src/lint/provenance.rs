//! Whose work a patch is.

use crate::lint::finding::Check;
use crate::lint::remark::{At, Remark};
use crate::manifest::Provenance;
use crate::person::person;

/// What stands between the patch and an export.
pub fn remarks(provenance: &Provenance) -> Vec<Remark> {
    let attested = provenance.attested_by.trim();
    let mut found = Vec::new();
    if provenance.ai_assisted && attested.is_empty() {
        found.push(Remark::warning(
            Check::Provenance,
            At::Manifest(vec!["provenance"]),
            "ai_assisted; FreeBSD rejects this (CONTRIBUTING.md); export refused without attested_by",
            "a person who has read the rule and answers for the patch names themselves: \
             attested_by: \"Name <address>\"",
        ));
    }
    if !attested.is_empty() && person(attested).is_none() {
        found.push(Remark::error(
            Check::Provenance,
            At::Manifest(vec!["provenance", "attested_by"]),
            format!("attested_by '{attested}' names nobody"),
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

/// FreeBSD takes nothing from authors who cannot be written to.
pub fn author(email: &str) -> Option<Remark> {
    let (user, host) = email.split_once('@')?;
    let nobody = [user, host].iter().any(|part| {
        let part = part.to_lowercase();
        part.contains("noreply") || part.contains("no-reply")
    });
    (nobody || host == "localhost").then(|| {
        Remark::warning(
            Check::Provenance,
            At::Patch,
            format!("the author's address {email} takes no mail"),
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
            ("own", true, "me", vec!["attested_by 'me' names nobody"]),
            ("own", false, "me", vec!["attested_by 'me' names nobody"]),
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
            ("nobody", false),
        ] {
            assert_eq!(author(email).is_some(), want, "{email}");
        }
    }
}
