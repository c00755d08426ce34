//! The sequencer of edits and rebases. It replays patches until one conflicts,
//! and checks that one out for the user. When the user continues, it captures
//! the resolution and replays the rest.

use crate::base::{lock_name, repo};
use crate::cherry_pick::{PickResult, cherry_pick};
use crate::commit_meta::{self, CommitMeta};
use crate::edit_worktree;
use crate::merge::Merged;
use crate::operation::{self, Done, Kind, Operation, Step, WorktreeState};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;

/// Replays the patches of `operation` that are not done. `stop` is asked before
/// each of them.
///
/// # Errors
/// A patch conflicts, and is in the worktree then; or one became empty, and
/// this is no rebase.
pub fn replay_remaining(
    cache: &CacheDir,
    operation: &mut Operation,
    stop: &dyn Fn() -> bool,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let git = operation.git(cache);
    while let Some(step) = operation.next().cloned() {
        if stop() {
            return Err(interrupted(operation));
        }
        let Some((before, after)) = &step.change else {
            return Err(inconsistent(operation));
        };
        match cherry_pick(&git, &step.id, (before, after), operation.tip())? {
            PickResult::Conflict(_) if landed_with_others(cache, operation)? => {}
            PickResult::Conflict(merged) => {
                operation.worktree = WorktreeState::CheckingOut;
                operation.save(cache)?;
                return Err(stop_at_conflict(
                    cache,
                    operation,
                    (before, after),
                    &merged,
                    say,
                )?);
            }
            PickResult::Commit(commit) => push(operation, Some(commit))?,
            PickResult::Empty => push(operation, None)?,
        }
        // An edit is not saved here: its worktree has the user's work until the
        // end, and replaying is fast.
        if operation.kind == Kind::Rebase {
            operation.save(cache)?;
        }
    }
    Ok(())
}

/// Reports whether the next patch and some after it have landed together, where
/// one alone conflicts because they touch the same lines. They are marked as
/// done then.
fn landed_with_others(cache: &CacheDir, operation: &mut Operation) -> Result<bool, Failure> {
    if operation.kind != Kind::Rebase {
        return Ok(false);
    }
    let git = operation.git(cache);
    let rest: Vec<Step> = operation.steps[operation.done.len()..].to_vec();
    let Some((before, _)) = rest.first().and_then(|step| step.change.as_ref()) else {
        return Ok(false);
    };
    for (n, step) in rest.iter().enumerate().skip(1) {
        if let Some((_, after)) = &step.change
            && cherry_pick(&git, &step.id, (before, after), operation.tip())? == PickResult::Empty
        {
            let landed = rest[..=n].iter().map(|step| Done {
                id: step.id.clone(),
                commit: None,
            });
            operation.done.extend(landed);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Captures the content of the worktree as the current patch of `operation`.
pub fn capture_worktree(
    cache: &CacheDir,
    operation: &mut Operation,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    if operation.worktree == WorktreeState::Idle {
        return Ok(());
    }
    if operation.worktree == WorktreeState::CheckingOut {
        return Err(retry_checkout(cache, operation, say)?);
    }
    let Some(step) = operation.next().cloned() else {
        return Err(inconsistent(operation));
    };
    let git = operation.git(cache);
    let found = edit_worktree::read(cache, operation)?;
    let commit = match found.tree == repo::tree_of(&git, operation.tip())? {
        true => None,
        false => {
            let meta = meta_of(
                cache,
                operation,
                step.change.as_ref().map(|(_, after)| after),
                found.meta,
            )?;
            Some(commit_meta::commit(
                &git,
                &found.tree,
                operation.tip(),
                &meta,
            )?)
        }
    };
    push(operation, commit)?;
    operation.worktree = WorktreeState::Idle;
    Ok(())
}

/// Returns the author and message of the patch: those of the user's commit,
/// else the patch's own.
fn meta_of(
    cache: &CacheDir,
    operation: &Operation,
    after: Option<&String>,
    own: Option<CommitMeta>,
) -> Result<CommitMeta, Failure> {
    let kept = after
        .map(|after| commit_meta::read(&operation.git(cache), after))
        .transpose()?;
    match (kept, own) {
        (Some(kept), None) => Ok(kept),
        // Who resolves a conflict does not become the author.
        (Some(kept), Some(own)) if operation.worktree != WorktreeState::Editing => Ok(CommitMeta {
            author: kept.author,
            message: own.message,
        }),
        (_, Some(own)) => Ok(own),
        (None, None) => {
            let at = operation.worktree_path(cache).display().to_string();
            Err(Failure::usage(
                format!("finish the {}", operation.describe()),
                format!("{at} has no commit, and a patch needs a message"),
            )
            .help(format!(
                "commit it with a message: git -C {at} add -A && git -C {at} commit\nthen:\n{}",
                operation.continue_command()
            )))
        }
    }
}

fn push(operation: &mut Operation, commit: Option<String>) -> Result<(), Failure> {
    let Some(step) = operation.next() else {
        return Err(inconsistent(operation));
    };
    let id = step.id.clone();
    let (Kind::Edit { id: edited } | Kind::New { id: edited, .. }) = &operation.kind else {
        operation.done.push(Done { id, commit });
        return Ok(());
    };
    if commit.is_some() {
        operation.done.push(Done { id, commit });
        return Ok(());
    }
    let tried = format!("finish the {}", operation.describe());
    Err(match *edited == id {
        true => Failure::usage(tried, format!("`{id}` changes nothing")).help(format!(
            "make its change, or abort: {}\nto remove a patch from the series, remove its file and its \
                entry in series.yaml",
            operation.abort_command()
        )),
        false => Failure::usage(
            tried,
            format!("the later patch `{id}` becomes empty: `{edited}` contains all of it now"),
        )
        .help(format!(
            "nothing was written. Take the part of `{id}` out of the change, then:\n{}",
            operation.continue_command()
        )),
    })
}

/// Checks a conflict out, and returns the failure that describes it.
fn stop_at_conflict(
    cache: &CacheDir,
    operation: &mut Operation,
    change: (&str, &str),
    merged: &Merged,
    say: &mut dyn FnMut(String),
) -> Result<Failure, Failure> {
    edit_worktree::checkout_conflict(cache, operation, change, merged, say)?;
    let files = |marked: bool| {
        let conflicts = merged.conflicts.iter();
        let files = conflicts.filter(|conflict| conflict.hunks.is_empty() != marked);
        files.map(|conflict| conflict.file.clone()).collect()
    };
    operation.worktree = WorktreeState::Conflicted {
        marked: files(true),
        others: files(false),
    };
    operation.save(cache)?;
    conflict(cache, operation, merged)
}

/// Checks a conflict out again after a killed run.
fn retry_checkout(
    cache: &CacheDir,
    operation: &mut Operation,
    say: &mut dyn FnMut(String),
) -> Result<Failure, Failure> {
    let Some(step) = operation.next().cloned() else {
        return Ok(inconsistent(operation));
    };
    let Some((before, after)) = &step.change else {
        return Ok(inconsistent(operation));
    };
    let git = operation.git(cache);
    match cherry_pick(&git, &step.id, (before, after), operation.tip())? {
        PickResult::Conflict(merged) => {
            stop_at_conflict(cache, operation, (before, after), &merged, say)
        }
        _ => Ok(inconsistent(operation)),
    }
}

/// Returns the failure for a patch that conflicts: where, and how to continue.
fn conflict(cache: &CacheDir, operation: &Operation, merged: &Merged) -> Result<Failure, Failure> {
    let id = operation.next().map_or("", |step| step.id.as_str());
    let mut lines = Vec::new();
    for conflict in &merged.conflicts {
        if conflict.hunks.is_empty() {
            lines.push(format!(
                "{}: removed on one side and changed on the other, or a binary file",
                conflict.file
            ));
        }
        for hunk in &conflict.hunks {
            lines.push(format!(
                "{}: both sides change line {}",
                conflict.file, hunk.line
            ));
        }
    }
    let at = operation.worktree_path(cache);
    let place = match &operation.kind {
        Kind::Rebase => format!("to {}", operation.base),
        Kind::Edit { id } | Kind::New { id, .. } => format!("on top of the new `{id}`"),
    };
    let failure =
        Failure::usage(format!("apply the patch `{id}` {place}"), lines.join("\n")).help(format!(
            "resolve the conflicts in {}, then:\n{}\nor abort:\n{}",
            at.display(),
            operation.continue_command(),
            operation.abort_command()
        ));
    let marked = merged
        .conflicts
        .iter()
        .find(|conflict| !conflict.hunks.is_empty());
    let Some((conflict, hunk)) = marked.and_then(|found| Some((found, found.hunks.first()?)))
    else {
        return Ok(failure);
    };
    let name = format!("{}:{}", merged.tree, conflict.file);
    let text = operation
        .git(cache)
        .must("show a conflict", &["cat-file", "blob", &name], b"")?;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let start: usize = text
        .split_inclusive('\n')
        .take(hunk.line - 1)
        .map(str::len)
        .sum();
    let len = hunk.text.trim_end().len();
    Ok(failure.at(
        &conflict.file,
        text,
        (start, len),
        format!("the base's side, then `{id}`'s"),
    ))
}

fn interrupted(operation: &Operation) -> Failure {
    Failure::infra(
        format!("finish the {}", operation.describe()),
        "it was interrupted",
    )
    .help(format!(
        "continue: {}\nor abort: {}",
        operation.continue_command(),
        operation.abort_command()
    ))
}

fn inconsistent(operation: &Operation) -> Failure {
    Failure::infra(
        format!("finish the {}", operation.describe()),
        "the saved state is inconsistent",
    )
    .help(format!("abort it: {}", operation.abort_command()))
}

/// Backs up the worktree of `operation`, then removes the operation. Returns
/// lines for the user.
pub fn abort(
    cache: &CacheDir,
    operation: &Operation,
    say: &dyn Fn(String),
) -> Result<Vec<String>, Failure> {
    let _lock = cache.lock(&lock_name(&operation.base), say)?;
    operation::ensure_current(cache, operation)?;
    let kept = match operation.worktree {
        WorktreeState::Idle | WorktreeState::CheckingOut => None,
        WorktreeState::Editing | WorktreeState::Conflicted { .. } => {
            edit_worktree::back_up(cache, operation).map_err(|failure| {
                failure.and_help(format!(
                    "the content of {} could not be backed up; copy what you need, then remove {}",
                    operation.worktree_path(cache).display(),
                    operation.folder(cache).display()
                ))
            })?
        }
    };
    operation.close(cache)?;
    let mut lines = vec![format!(
        "aborted the {} of {}; {} is unchanged",
        operation.describe(),
        operation.series,
        operation.dir.display()
    )];
    if let Some(commit) = kept {
        lines.push(format!(
            "the content of its worktree is kept as a commit: git -C {} show {}",
            operation.git(cache).git_dir().display(),
            commit.get(..12).unwrap_or(&commit)
        ));
    }
    Ok(lines)
}
