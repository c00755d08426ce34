//! Exports mails for `git send-email` and `git am`.

use std::fs;
use std::path::{Path, PathBuf};

use super::cover::Cover;
use super::{Exported, TRIED};
use crate::format_patch;
use kdk_core::failure::Failure;

/// Writes a cover letter and a mail for each patch to `out`. Returns their
/// paths in order.
pub fn write(exported: &Exported<'_>, cover: &Cover, out: &Path) -> Result<Vec<PathBuf>, Failure> {
    let base = format!("--base={}", exported.start);
    let range = format!("{}..{}", exported.start, exported.tip());
    let folder = out.to_string_lossy();
    let mut args = vec![
        "format-patch",
        "--cover-letter",
        "--cover-from-description=none",
    ];
    // A single patch is numbered too, as its cover letter is number 0.
    args.extend(
        format_patch::OPTIONS
            .into_iter()
            .filter(|option| *option != "-N"),
    );
    args.extend(["-n", &base, "-o", &folder, &range]);
    // The cover letter is the committer's.
    let git = exported.git.clone().committer(&exported.sender);
    let list = git.text(TRIED, &args)?;
    let mails: Vec<PathBuf> = list.lines().map(PathBuf::from).collect();
    if let Some(letter) = mails.first() {
        let failed = |error| Failure::io(TRIED, letter, error);
        let text = fs::read_to_string(letter).map_err(failed)?;
        let text = text
            .replace("*** SUBJECT HERE ***", &cover.title)
            .replace("*** BLURB HERE ***", &cover.text);
        fs::write(letter, text).map_err(failed)?;
    }
    Ok(mails)
}
