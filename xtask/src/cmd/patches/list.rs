//! `cargo xtask patches list`.

use crate::cmd::patches::which::Which;
use kdk_core::columns::columns;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::format_patch::patch_id;
use kdk_series::load::Loaded;
use kdk_series::mail;
use kdk_series::results::{Proof, Results};

/// List the patches of a series with their status.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    for line in lines(&series)? {
        cx.terminal.print(&line);
    }
    Ok(())
}

fn lines(series: &Loaded) -> Result<Vec<String>, Failure> {
    let manifest = &series.manifest;
    let results = Results::read(&series.dir)?;
    let head = ["patch", "class", "upstream", "proof", "subject"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for (patch, change) in manifest.patches.iter().zip(series.changes()?) {
        let subject = match mail::is_mail(&change.diff) {
            true => mail::read(&patch.id, &change.diff)?.subject,
            false => "(no message)".to_owned(),
        };
        let proof = proof(results.proofs.get(&patch.id), &patch_id(&change.diff)?);
        let cells = [
            &patch.id,
            patch.class.name(),
            patch.upstream.status.name(),
            proof,
            &subject,
        ];
        rows.push(cells.map(str::to_owned).to_vec());
    }
    let mut lines = vec![format!(
        "{} revision {}: FreeBSD {}, {}",
        series.name(),
        manifest.series.revision,
        manifest.base.osreldate,
        manifest.base.branch
    )];
    lines.extend(columns(&rows));
    Ok(lines)
}

/// Returns the state of the proof of a patch with this patch id.
fn proof(proof: Option<&Proof>, patch_id: &str) -> &'static str {
    match proof {
        None => "none",
        Some(proof) if proof.patch_id != patch_id => "stale",
        Some(proof) if proof.holds() => "proven",
        Some(_) => "not proven",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kdk_series::results::Row;

    /// Returns a proof of one test, which proves the patch if `reason` is
    /// empty.
    fn known(key: &str, reason: &str) -> Proof {
        Proof {
            key: key.into(),
            patch_id: "p".into(),
            tree: "t".into(),
            without: "w".into(),
            tests: vec![Row {
                test: "a/b".into(),
                without: "FAIL".into(),
                with: "PASS".into(),
                reason: reason.into(),
            }],
        }
    }

    #[test]
    fn a_proof_is_of_the_patch_as_it_was() {
        assert_eq!(proof(None, "p"), "none");
        assert_eq!(proof(Some(&known("k", "")), "p"), "proven");
        assert_eq!(proof(Some(&known("k", "no")), "p"), "not proven");
        assert_eq!(proof(Some(&known("k", "")), "q"), "stale");
    }
}
