//! Checks of the edit worktree: states that cannot be read as one patch.

use std::fs;
use std::path::Path;

use crate::base::repo::names;
use crate::base::worktree::Checkout;
use crate::merge;
use crate::operation::{Operation, WorktreeState};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;

/// The files that git keeps while a command is in progress, with that command.
const IN_PROGRESS: [(&str, &str); 6] = [
    ("rebase-merge", "rebase"),
    ("rebase-apply/applying", "am"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
];

/// Returns the worktree of `operation` if it can be read as one patch.
pub fn validate(cache: &CacheDir, operation: &Operation) -> Result<Checkout, Failure> {
    let path = operation.worktree_path(cache);
    let at = path.display();
    let tried = format!("finish the {}", operation.describe());
    let bad = |what: String, help: String| Err(Failure::usage(&tried, what).help(help));
    let Some(worktree) = Checkout::find(&path) else {
        return bad(
            format!("its worktree {at} is gone"),
            format!(
                "abort and start again: {}\nwhat was committed in it is kept; that command prints the commit",
                operation.abort_command(),
            ),
        );
    };
    for lock in ["index.lock", "HEAD.lock"] {
        let lock = worktree.admin.join(lock);
        if lock.exists() {
            return bad(
                format!("git is running in {at}: {} exists", lock.display()),
                "wait until git is done; if no git runs there, one was killed: remove that file"
                    .into(),
            );
        }
    }
    for (mark, command) in IN_PROGRESS {
        if worktree.admin.join(mark).exists() {
            return bad(
                format!("a `git {command}` in {at} is not finished"),
                format!(
                    "finish it: git -C {at} {command} --continue\nor abort it: git -C {at} {command} \
                        --abort\nthen:\n{}",
                    operation.continue_command()
                ),
            );
        }
    }
    head(&worktree, operation, &tried)?;
    unresolved(&worktree, operation, &tried)?;
    Ok(worktree)
}

/// Checks that HEAD is the commit below the patch, or one commit above that.
fn head(worktree: &Checkout, operation: &Operation, tried: &str) -> Result<(), Failure> {
    let (at, tip) = (worktree.path.display(), operation.tip());
    let ran = worktree
        .git
        .run(tried, &["rev-parse", "--verify", "HEAD"])?;
    let head = ran.text();
    let checked_out = match operation.next().and_then(|step| step.change.as_ref()) {
        Some((_, after)) if operation.worktree == WorktreeState::Editing => after,
        _ => tip,
    };
    let below = ["merge-base", "--is-ancestor", tip, "HEAD"];
    if !ran.ok || !worktree.git.run(tried, &below)?.ok {
        let (is, what) = (short(&head), short(checked_out));
        return Err(Failure::usage(
            tried,
            format!("HEAD in {at} was moved to {is}, which is not on top of the commit below the patch"),
        )
        .help(format!(
            "nothing was written. To go back: git -C {at} checkout --merge --detach {what}\nto bring your \
                commit over: git -C {at} cherry-pick {is}"
        )));
    }
    let count = worktree
        .git
        .text(tried, &["rev-list", "--count", &format!("{tip}..HEAD")])?;
    if matches!(count.as_str(), "0" | "1") {
        return Ok(());
    }
    let squash = match checked_out == tip {
        true => format!(
            "git -C {at} reset --soft {} && git -C {at} commit",
            short(tip)
        ),
        false => format!(
            "git -C {at} reset --soft {} && git -C {at} commit --amend",
            short(checked_out)
        ),
    };
    Err(Failure::usage(
        tried,
        format!("there are {count} commits in {at}, and a patch is one commit"),
    )
    .help(format!("squash them: {squash}")))
}

/// Checks that all conflicts are resolved: those of kdk's merge, and those of
/// the user's own git commands.
fn unresolved(worktree: &Checkout, operation: &Operation, tried: &str) -> Result<(), Failure> {
    let (marked, others): (&[String], &[String]) = match &operation.worktree {
        WorktreeState::Conflicted { marked, others } => (marked, others),
        _ => (&[], &[]),
    };
    let list = worktree.git.must(
        tried,
        &["diff", "--name-only", "-z", "--diff-filter=U"],
        b"",
    )?;
    let unmerged = names(&list.stdout);
    let at = worktree.path.display();
    for file in marked.iter().chain(others).chain(&unmerged) {
        let path = worktree.path.join(file);
        let text = read(&path);
        if let Some(hunk) = merge::hunks(&text).first() {
            let start: usize = text
                .split_inclusive('\n')
                .take(hunk.line - 1)
                .map(str::len)
                .sum();
            return Err(Failure::usage(
                tried,
                format!("{file} still has conflict markers at line {}", hunk.line),
            )
            .help(format!(
                "resolve it in {}, then:\n{}",
                path.display(),
                operation.continue_command()
            ))
            .at(
                file,
                text,
                (start, hunk.text.trim_end().len()),
                "not resolved",
            ));
        }
        // Without markers a file is resolved; one that never had any is
        // resolved by `git add` or `git rm`.
        if unmerged.contains(file) && !marked.contains(file) {
            return Err(Failure::usage(tried, format!("{file} in {at} is not merged yet")).help(
                format!(
                    "resolve it: git -C {at} add --sparse {file}\nor remove it: git -C {at} rm --sparse \
                        {file}\nthen:\n{}",
                    operation.continue_command()
                ),
            ));
        }
    }
    Ok(())
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}
