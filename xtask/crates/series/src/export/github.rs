//! Exports a branch to a user's clone, for a pull request.

use std::path::Path;

use super::{Exported, TRIED};
use crate::base::source::Source;
use kdk_core::failure::Failure;
use kdk_core::git;

/// Creates the branch `name` in the clone `dir`. Nothing else in it changes.
///
/// # Errors
/// The directory is no repository, lacks the base's commit, or has another
/// branch of that name.
pub fn write(exported: &Exported<'_>, name: &str, dir: &Path) -> Result<(), Failure> {
    let clone = Source::open(dir)?;
    let git = clone.git();
    let base = format!("{}^{{commit}}", exported.start);
    if !git.run(TRIED, &["cat-file", "-e", &base])?.ok {
        let what = format!(
            "{} does not have the base's commit {:.12}",
            dir.display(),
            exported.start
        );
        return Err(Failure::usage(TRIED, what).help(
            "fetch the branch that the series is for, or use the clone that the base was added from",
        ));
    }
    let reference = format!("refs/heads/{name}");
    let there = git.run(TRIED, &["rev-parse", "--verify", "--quiet", &reference])?;
    if there.ok {
        if there.text() == exported.tip() {
            return Ok(());
        }
        let what = format!("{} has another branch {name}", dir.display());
        return Err(Failure::usage(TRIED, what).help(
            "increase series.revision in the manifest, which names the branch, or remove the old one: git \
                branch -D",
        ));
    }
    let repo = exported.git.git_dir().to_string_lossy().into_owned();
    let refspec = format!("{}:{reference}", exported.tip());
    // Fetched by id, so that it is the commit that was checked.
    let git = git
        .setting("protocol.file.allow=always")
        .setting("core.hooksPath=/dev/null");
    let args = [
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        &repo,
        &refspec,
    ];
    let ran = git.run(TRIED, &args)?;
    if !ran.ok {
        return Err(git::failed(TRIED, &ran));
    }
    Ok(())
}
