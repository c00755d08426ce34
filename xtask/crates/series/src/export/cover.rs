//! The cover letter of a series.

use crate::export::Exported;
use crate::load::Loaded;
use crate::results::Results;

/// A cover letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cover {
    /// The subject of the mail.
    pub title: String,
    /// The body of the mail.
    pub text: String,
}

/// Returns the cover letter: the text of `file`, whose first line is the title,
/// then the base, and the proofs and origin of each patch. `unproven` lists the
/// patches that are exported without a proof.
pub fn cover(
    series: &Loaded,
    exported: &Exported<'_>,
    results: &Results,
    file: Option<&str>,
    unproven: &[String],
) -> Cover {
    let name = series.name();
    let (title, text) = file.map_or((name, ""), |text| {
        text.split_once('\n').unwrap_or((text, ""))
    });
    let title = title.trim().trim_start_matches('#').trim();
    let base = &series.manifest.base;
    let mut lines = vec![
        text.trim().to_owned(),
        String::new(),
        format!(
            "Series {name}, revision {}, for {} (__FreeBSD_version {}).",
            series.manifest.series.revision, base.branch, base.osreldate
        ),
        format!(
            "`git am --empty=drop` makes the tree {} of it.",
            exported.tree
        ),
    ];
    for (patch, _) in &exported.patches {
        lines.push(format!("\n{}:", patch.id));
        let rows = results.rows(&patch.id).iter();
        lines.extend(rows.map(|row| format!("  {row}")));
        let provenance = &patch.provenance;
        let by = provenance.attested_by.trim();
        lines.push(match (provenance.ai_assisted, by.is_empty()) {
            (true, _) => {
                format!("  Written with the help of generative AI; {by} is responsible for it.")
            }
            (false, true) => format!("  Origin: {}.", provenance.origin),
            (false, false) => format!(
                "  Origin: {}; {by} is responsible for it.",
                provenance.origin
            ),
        });
    }
    if !unproven.is_empty() {
        lines.push("\nNOT PROVEN:".into());
        lines.extend(unproven.iter().map(|why| format!("  {why}")));
    }
    Cover {
        title: if title.is_empty() { name } else { title }.to_owned(),
        text: lines.join("\n").trim_start().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::series;
    use crate::results::tests::proof;
    use kdk_core::git::{Author, Git};

    #[test]
    fn the_cover_says_what_is_known() {
        let mut all = series(&[("a", "", ""), ("b", "", "")]);
        all.manifest.patches[0].provenance.ai_assisted = true;
        all.manifest.patches[0].provenance.attested_by = "A <a@example.org>".into();
        let exported = Exported {
            git: Git::nowhere(),
            start: "s".into(),
            patches: all
                .manifest
                .patches
                .iter()
                .map(|p| (p, "c".into()))
                .collect(),
            tree: "t".into(),
            sender: Author {
                name: "A".into(),
                email: "a@example.org".into(),
                date: "now".into(),
            },
        };
        let mut results = Results::default();
        results.proofs.insert("a".into(), proof("k", ""));
        let file = "# What it is\n\nWhy.\n";
        let letter = cover(
            &all,
            &exported,
            &results,
            Some(file),
            &["b: never proven".into()],
        );
        insta::assert_snapshot!(format!("{}\n\n{}", letter.title, letter.text));
        let bare = cover(&all, &exported, &results, None, &[]);
        assert_eq!(bare.title, "x");
        assert!(bare.text.starts_with("Series x, revision 1"));
    }
}
