//! What a user may have left in the worktree of a patch that cannot be read
//! as one.

use std::fs;
use std::path::Path;

use crate::base::repo::names;
use crate::base::worktree::Checkout;
use crate::merge;
use crate::operation::{Operation, WorktreeState};
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;

/// What git leaves in a worktree's folder while it is in the middle of
/// something, with the command that it belongs to.
const IN_PROGRESS: [(&str, &str); 6] = [
    ("rebase-merge", "rebase"),
    ("rebase-apply/applying", "am"),
    ("rebase-apply", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
];

/// The worktree of `operation`, once it can be read as one patch.
pub fn validate(home: &Home, operation: &Operation) -> Result<Checkout, Failure> {
    let path = operation.worktree_path(home);
    let at = path.display();
    let tried = format!("finish the {}", operation.describe());
    let bad = |what: String, help: String| Err(Failure::usage(&tried, what).help(help));
    let Some(worktree) = Checkout::find(&path) else {
        return bad(
            format!("its worktree {at} is gone"),
            format!(
                "give it up and begin anew: {}\nwhat was committed in it is kept then, as a commit that \
                 this names",
                operation.abort_command(),
            ),
        );
    };
    for lock in ["index.lock", "HEAD.lock"] {
        let lock = worktree.admin.join(lock);
        if lock.exists() {
            return bad(
                format!("git is at work in {at}: {} is there", lock.display()),
                "wait until it is done; if no git runs there, it was killed: remove that file"
                    .into(),
            );
        }
    }
    for (mark, verb) in IN_PROGRESS {
        if worktree.admin.join(mark).exists() {
            return bad(
                format!("a `git {verb}` in {at} is not finished"),
                format!(
                    "finish it: git -C {at} {verb} --continue\nor give it up: git -C {at} {verb} \
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

/// HEAD has to be the commit that the patch comes on, or one commit above it.
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
            format!("HEAD in {at} was moved to {is}, which is not on the commit that the patch comes on"),
        )
        .help(format!(
            "nothing was written. To go back: git -C {at} checkout --merge --detach {what}\na commit of \
             yours comes over with: git -C {at} cherry-pick {is}"
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
    .help(format!("make one of them: {squash}")))
}

/// All conflicts have to be resolved: those that the kit has laid out, and any
/// that the user's own git commands have made.
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
                format!(
                    "{file} still has the markers of a conflict at line {}",
                    hunk.line
                ),
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
        // Markers that are gone are an answer; a file that never had any needs
        // one by `git add` or `git rm`.
        if unmerged.contains(file) && !marked.contains(file) {
            return Err(Failure::usage(tried, format!("{file} in {at} is not merged yet")).help(
                format!(
                    "make it what it should be and say so: git -C {at} add --sparse {file}\nor remove it: \
                     git -C {at} rm --sparse {file}\nthen:\n{}",
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
