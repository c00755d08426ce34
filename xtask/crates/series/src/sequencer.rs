//! What edits and rebases have in common: patches are replayed until one does
//! not merge, which is then laid out for the user; what the user makes of it
//! is taken, and the rest replayed.

use crate::base::{lock_name, repo};
use crate::cherry_pick::{PickResult, cherry_pick};
use crate::commit_meta::{self, CommitMeta};
use crate::edit_worktree;
use crate::merge::Merged;
use crate::operation::{self, Done, Kind, Operation, Step, WorktreeState};
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;

/// Replays the patches of `operation` that are not done. `stop` says whether to
/// stop before the next one.
///
/// # Errors
/// A patch does not merge (it lies in the worktree then), or, unless this is a
/// rebase, has become empty.
pub fn replay_remaining(
    home: &Home,
    operation: &mut Operation,
    stop: &dyn Fn() -> bool,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let git = operation.git(home);
    while let Some(step) = operation.next().cloned() {
        if stop() {
            return Err(interrupted(operation));
        }
        let Some((before, after)) = &step.change else {
            return Err(inconsistent(operation));
        };
        match cherry_pick(&git, &step.id, (before, after), operation.tip())? {
            PickResult::Conflict(_) if landed_with_others(home, operation)? => {}
            PickResult::Conflict(merged) => {
                operation.worktree = WorktreeState::CheckingOut;
                operation.save(home)?;
                return Err(stop_at_conflict(
                    home,
                    operation,
                    (before, after),
                    &merged,
                    say,
                )?);
            }
            PickResult::Commit(commit) => push(operation, Some(commit))?,
            PickResult::Empty => push(operation, None)?,
        }
        // The patches of an edit are soon replayed again; what counts lies in
        // its worktree until all is well.
        if operation.kind == Kind::Rebase {
            operation.save(home)?;
        }
    }
    Ok(())
}

/// Whether the next patch and some after it change nothing together, though
/// one of them alone does not merge: where they touch the same lines, all of
/// them have landed. They are done then.
fn landed_with_others(home: &Home, operation: &mut Operation) -> Result<bool, Failure> {
    if operation.kind != Kind::Rebase {
        return Ok(false);
    }
    let git = operation.git(home);
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

/// Takes what the worktree holds as the patch that `operation` is at.
pub fn capture_worktree(
    home: &Home,
    operation: &mut Operation,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    if operation.worktree == WorktreeState::Idle {
        return Ok(());
    }
    if operation.worktree == WorktreeState::CheckingOut {
        return Err(retry_checkout(home, operation, say)?);
    }
    let Some(step) = operation.next().cloned() else {
        return Err(inconsistent(operation));
    };
    let git = operation.git(home);
    let found = edit_worktree::read(home, operation)?;
    let commit = match found.tree == repo::tree_of(&git, operation.tip())? {
        true => None,
        false => {
            let meta = meta_of(
                home,
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

/// Author and message of the patch: its own, unless the user has committed.
fn meta_of(
    home: &Home,
    operation: &Operation,
    after: Option<&String>,
    own: Option<CommitMeta>,
) -> Result<CommitMeta, Failure> {
    let kept = after
        .map(|after| commit_meta::read(&operation.git(home), after))
        .transpose()?;
    match (kept, own) {
        (Some(kept), None) => Ok(kept),
        // To resolve a conflict makes nobody the author.
        (Some(kept), Some(own)) if operation.worktree != WorktreeState::Editing => Ok(CommitMeta {
            author: kept.author,
            message: own.message,
        }),
        (_, Some(own)) => Ok(own),
        (None, None) => {
            let at = operation.worktree_path(home).display().to_string();
            Err(Failure::usage(
                format!("finish the {}", operation.describe()),
                format!("nothing is committed in {at}, and a patch needs a message"),
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
            "make its change; or give this up ({}), and to take a patch out of the series, remove its \
             file and its entry in series.yaml",
            operation.abort_command()
        )),
        false => Failure::usage(
            tried,
            format!("`{id}`, which comes after it, changes nothing any more: all of it is in `{edited}` now"),
        )
        .help(format!(
            "nothing was written: leave to `{id}` what is its part, then:\n{}",
            operation.continue_command()
        )),
    })
}

/// Lays a conflict out; gives the failure that tells the user of it.
fn stop_at_conflict(
    home: &Home,
    operation: &mut Operation,
    change: (&str, &str),
    merged: &Merged,
    say: &mut dyn FnMut(String),
) -> Result<Failure, Failure> {
    edit_worktree::checkout_conflict(home, operation, change, merged, say)?;
    let files = |marked: bool| {
        let conflicts = merged.conflicts.iter();
        let files = conflicts.filter(|conflict| conflict.hunks.is_empty() != marked);
        files.map(|conflict| conflict.file.clone()).collect()
    };
    operation.worktree = WorktreeState::Conflicted {
        marked: files(true),
        others: files(false),
    };
    operation.save(home)?;
    conflict(home, operation, merged)
}

/// Lays out again what a killed run was about to.
fn retry_checkout(
    home: &Home,
    operation: &mut Operation,
    say: &mut dyn FnMut(String),
) -> Result<Failure, Failure> {
    let Some(step) = operation.next().cloned() else {
        return Ok(inconsistent(operation));
    };
    let Some((before, after)) = &step.change else {
        return Ok(inconsistent(operation));
    };
    let git = operation.git(home);
    match cherry_pick(&git, &step.id, (before, after), operation.tip())? {
        PickResult::Conflict(merged) => {
            stop_at_conflict(home, operation, (before, after), &merged, say)
        }
        _ => Ok(inconsistent(operation)),
    }
}

/// A patch that does not merge: which, where, and how to go on.
fn conflict(home: &Home, operation: &Operation, merged: &Merged) -> Result<Failure, Failure> {
    let id = operation.next().map_or("", |step| step.id.as_str());
    let mut lines = Vec::new();
    for conflict in &merged.conflicts {
        if conflict.hunks.is_empty() {
            lines.push(format!(
                "{}: removed on one side and changed on the other, or no text",
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
    let at = operation.worktree_path(home);
    let place = match &operation.kind {
        Kind::Rebase => format!("on {}", operation.base),
        Kind::Edit { id } | Kind::New { id, .. } => format!("on the new `{id}`"),
    };
    let failure = Failure::usage(format!("put the patch `{id}` {place}"), lines.join("\n")).help(format!(
        "nothing is lost: it lies in {} with its conflicts; make it what it should be there, then:\n{}\nor \
         give all of it up:\n{}",
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
        .git(home)
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
        "go on: {}\nor give it up: {}",
        operation.continue_command(),
        operation.abort_command()
    ))
}

fn inconsistent(operation: &Operation) -> Failure {
    Failure::infra(
        format!("finish the {}", operation.describe()),
        "what is known of it does not fit together",
    )
    .help(format!("give it up: {}", operation.abort_command()))
}

/// Keeps what lies in the worktree of `operation`, then forgets it all. Gives lines
/// for the user.
pub fn abort(
    home: &Home,
    operation: &Operation,
    say: &dyn Fn(String),
) -> Result<Vec<String>, Failure> {
    let _lock = home.lock(&lock_name(&operation.base), say)?;
    operation::ensure_current(home, operation)?;
    let kept = match operation.worktree {
        WorktreeState::Idle | WorktreeState::CheckingOut => None,
        WorktreeState::Editing | WorktreeState::Conflicted { .. } => {
            edit_worktree::back_up(home, operation).map_err(|failure| {
                failure.and_help(format!(
                    "what is in {} could not be kept; take from it what you need, then remove {}",
                    operation.worktree_path(home).display(),
                    operation.folder(home).display()
                ))
            })?
        }
    };
    operation.close(home)?;
    let mut lines = vec![format!(
        "gave up the {} of {}; {} is as it was",
        operation.describe(),
        operation.series,
        operation.dir.display()
    )];
    if let Some(commit) = kept {
        lines.push(format!(
            "what was in its worktree is kept as a commit: git -C {} show {}",
            operation.git(home).git_dir().display(),
            commit.get(..12).unwrap_or(&commit)
        ));
    }
    Ok(lines)
}
