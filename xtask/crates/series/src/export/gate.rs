//! The conditions for an export.

use crate::lint::{Check, Severity, waives};
use crate::load::Loaded;
use crate::manifest::{Channel, Class, Patch, Status};
use crate::person::person;
use crate::results::{Proof, Results};

/// A patch to export, with its present proof key.
pub struct Known<'a> {
    /// The patch to export.
    pub patch: &'a Patch,
    /// The proof key that a proof would have now.
    pub key: String,
}

/// Returns the reason why a patch is not proven; `None` if it is, or needs no
/// proof.
pub fn unproven(known: &Known<'_>, results: &Results) -> Option<String> {
    let id = &known.patch.id;
    if known.patch.class == Class::Test {
        return None;
    }
    if known.patch.check.tests.is_empty() {
        // The manifest waives the check: for a manual page, for example.
        if waives(known.patch, Check::Tests, Severity::Warning) {
            return None;
        }
        return Some(format!("{id}: its manifest entry names no tests"));
    }
    match results.proofs.get(id) {
        None => Some(format!("{id}: it has no proof")),
        Some(proof) if !proof.holds() => Some(format!("{id}: its tests do not prove it")),
        Some(proof) if proof.key != known.key => Some(format!(
            "{id}: its proof is stale: the patch, its base or its tests have changed"
        )),
        Some(_) => None,
    }
}

/// Returns the reason why a patch lacks an attestation; `None` if it has one,
/// or needs none.
pub fn unattested(patch: &Patch) -> Option<String> {
    let by = patch.provenance.attested_by.trim();
    match (patch.provenance.ai_assisted, person(by)) {
        (_, Some(_)) => None,
        (false, None) if by.is_empty() => None,
        (true, None) if by.is_empty() => {
            Some(format!("{}: ai_assisted without attested_by", patch.id))
        }
        (_, None) => Some(format!(
            "{}: attested_by '{by}' is not `Name <mail>`",
            patch.id
        )),
    }
}

/// Returns the reason why a patch must not be sent by `channel`, if it is under
/// review elsewhere: FreeBSD asks for one review of a change.
pub fn elsewhere(patch: &Patch, channel: Channel) -> Option<String> {
    let upstream = &patch.upstream;
    let under_way = matches!(upstream.status, Status::Submitted | Status::Accepted);
    let other = upstream.channel.filter(|other| *other != channel)?;
    under_way.then(|| format!("{}: it is under review by {}", patch.id, other.name()))
}

/// FreeBSD's rule about generative AI, for error messages.
pub const AI_RULE: &str = "FreeBSD's CONTRIBUTING.md rejects submissions written by generative AI. A person \
    who has read, understood and if necessary rewritten the patch, and who is responsible for it, must add \
    their name to the manifest: `provenance: {attested_by: Name <mail>}`. The cover letter says so. Without \
    it nothing is exported";

/// Returns the reason why the tree of an export counts as untested; `None` if
/// `prove` or `prove --each-prefix` has tested it.
pub fn untested(series: &Loaded, results: &Results, ids: &[String], tree: &str) -> Option<String> {
    let proven = |proof: &Proof| proof.tree == tree;
    if results.proofs.values().any(proven) || results.tested.contains_key(tree) {
        return None;
    }
    Some(match series.ids() == ids {
        true => "its tree was never tested".into(),
        false => format!(
            "{} of its {} patches alone were never tested; `cargo xtask prove --each-prefix` tests every \
                prefix of the series",
            ids.len(),
            series.ids().len()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::series;
    use crate::results::Tested;
    use crate::results::tests::proof;

    #[test]
    fn only_present_proofs_count() {
        let mut all = series(&[("a", "", "x/y"), ("b", "", "")]);
        let mut results = Results::default();
        let say = |all: &Loaded, results: &Results, n: usize| {
            let patch = &all.manifest.patches[n];
            let key = "k".into();
            unproven(&Known { patch, key }, results).unwrap_or_default()
        };
        assert_eq!(say(&all, &results, 0), "a: it has no proof");
        assert_eq!(
            say(&all, &results, 1),
            "b: its manifest entry names no tests"
        );
        for (key, why, want) in [
            ("k", "", ""),
            ("k", "no", "a: its tests do not prove it"),
            (
                "o",
                "",
                "a: its proof is stale: the patch, its base or its tests have changed",
            ),
        ] {
            results.proofs.insert("a".into(), proof(key, why));
            assert_eq!(say(&all, &results, 0), want);
        }
        all.manifest.patches[1].check.waive = vec!["check".into()];
        assert_eq!(say(&all, &results, 1), "");
        all.manifest.patches[1].check.waive.clear();
        all.manifest.patches[1].class = Class::Test;
        assert_eq!(say(&all, &results, 1), "");
    }

    #[test]
    fn an_ai_assisted_patch_needs_an_attestation() {
        let mut all = series(&[("a", "", "")]);
        for (ai, by, want) in [
            (false, "", ""),
            (true, "A <a@example.org>", ""),
            (false, "A <a@example.org>", ""),
            (true, "", "a: ai_assisted without attested_by"),
            (true, " ", "a: ai_assisted without attested_by"),
            (true, "A", "a: attested_by 'A' is not `Name <mail>`"),
            (false, "A", "a: attested_by 'A' is not `Name <mail>`"),
        ] {
            let provenance = &mut all.manifest.patches[0].provenance;
            (provenance.ai_assisted, provenance.attested_by) = (ai, by.into());
            let got = unattested(&all.manifest.patches[0]).unwrap_or_default();
            assert_eq!(got, want, "{ai} {by}");
        }
    }

    #[test]
    fn a_patch_is_reviewed_in_one_place() {
        let mut all = series(&[("a", "", "")]);
        for (status, channel, want) in [
            (Status::None, Some(Channel::Phabricator), ""),
            (Status::Submitted, None, ""),
            (Status::Submitted, Some(Channel::Github), ""),
            (
                Status::Submitted,
                Some(Channel::Phabricator),
                "a: it is under review by phabricator",
            ),
            (
                Status::Accepted,
                Some(Channel::Mail),
                "a: it is under review by mail",
            ),
            (Status::Rejected, Some(Channel::Mail), ""),
        ] {
            let upstream = &mut all.manifest.patches[0].upstream;
            (upstream.status, upstream.channel) = (status, channel);
            let got = elsewhere(&all.manifest.patches[0], Channel::Github);
            assert_eq!(got.unwrap_or_default(), want);
        }
    }

    #[test]
    fn the_tree_must_have_been_tested() {
        let all = series(&[("a", "", ""), ("b", "", "")]);
        let mut results = Results::default();
        let one = ["a".to_owned()];
        assert!(
            untested(&all, &results, &all.ids(), "t")
                .unwrap()
                .contains("never tested")
        );
        assert!(
            untested(&all, &results, &one, "s")
                .unwrap()
                .contains("1 of its 2")
        );
        results.proofs.insert("a".into(), proof("k", ""));
        let tested = Tested {
            key: "k".into(),
            patches: one.to_vec(),
            verdicts: std::collections::BTreeMap::new(),
        };
        results.tested.insert("s".into(), tested);
        assert_eq!(untested(&all, &results, &all.ids(), "t"), None);
        assert_eq!(untested(&all, &results, &one, "s"), None);
    }
}
