//! Exports a diff and a message for each patch, for reviews.FreeBSD.org: one
//! revision for each commit.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Exported, TRIED};
use crate::results::Results;
use kdk_core::failure::Failure;

/// Writes `N-ID.diff`, with full context, and `N-ID.txt` for each patch to
/// `out`. Returns their paths in order.
pub fn write(
    exported: &Exported<'_>,
    results: &Results,
    out: &Path,
) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    for (n, (patch, commit)) in exported.patches.iter().enumerate() {
        let parent = format!("{commit}^");
        let args = [
            "diff",
            "--full-index",
            "--no-renames",
            "-U999999",
            &parent,
            commit,
        ];
        let diff = exported.git.must(TRIED, &args, b"")?.stdout;
        let message = exported
            .git
            .text(TRIED, &["log", "-1", "--format=%B", commit])?;
        let rows = results.rows(&patch.id).iter();
        let plan: Vec<String> = rows.map(|row| format!("  {row}")).collect();
        let plan = match plan.is_empty() {
            true => "  none: it is not proven".to_owned(),
            false => plan.join("\n"),
        };
        let text = format!("{message}\n\nTest Plan:\n{plan}\n");
        for (end, content) in [("diff", diff), ("txt", text.into_bytes())] {
            let path = out.join(format!("{:04}-{}.{end}", n + 1, patch.id));
            fs::write(&path, content).map_err(|error| Failure::io(TRIED, &path, error))?;
            written.push(path);
        }
    }
    Ok(written)
}
