//! What edits and rebases have in common: patches are replayed until one does
//! not merge, which is then laid out for the user; what the user makes of it
//! is taken, and the rest replayed.

use crate::base::{lock_name, repo};
use crate::desk;
use crate::merge::Merged;
use crate::note::{self, Note};
use crate::replay::{Taken, take};
use crate::work::{self, Desk, Done, Kind, Step, Work};
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;

/// Replays the patches of `work` that are not done. `stop` says whether to
/// stop before the next one.
///
/// # Errors
/// A patch does not merge (it lies in the worktree then), or, unless this is a
/// rebase, has become empty.
pub fn advance(
    home: &Home,
    work: &mut Work,
    stop: &dyn Fn() -> bool,
    say: &mut dyn FnMut(String),
) -> Result<(), Failure> {
    let git = work.git(home);
    while let Some(step) = work.next().cloned() {
        if stop() {
            return Err(interrupted(work));
        }
        let Some((before, after)) = &step.change else {
            return Err(missing(work));
        };
        match take(&git, &step.id, (before, after), work.tip())? {
            Taken::Conflict(_) if landed_with_others(home, work)? => {}
            Taken::Conflict(merged) => {
                work.desk = Desk::Laying;
                work.save(home)?;
                return Err(lay(home, work, (before, after), &merged, say)?);
            }
            Taken::Commit(commit) => push(work, Some(commit))?,
            Taken::Empty => push(work, None)?,
        }
        // The patches of an edit are soon replayed again; what counts lies in
        // its worktree until all is well.
        if work.kind == Kind::Rebase {
            work.save(home)?;
        }
    }
    Ok(())
}

/// Whether the next patch and some after it change nothing together, though
/// one of them alone does not merge: where they touch the same lines, all of
/// them have landed. They are done then.
fn landed_with_others(home: &Home, work: &mut Work) -> Result<bool, Failure> {
    if work.kind != Kind::Rebase {
        return Ok(false);
    }
    let git = work.git(home);
    let rest: Vec<Step> = work.steps[work.done.len()..].to_vec();
    let Some((before, _)) = rest.first().and_then(|step| step.change.as_ref()) else {
        return Ok(false);
    };
    for (n, step) in rest.iter().enumerate().skip(1) {
        if let Some((_, after)) = &step.change
            && take(&git, &step.id, (before, after), work.tip())? == Taken::Empty
        {
            let landed = rest[..=n].iter().map(|step| Done {
                id: step.id.clone(),
                commit: None,
            });
            work.done.extend(landed);
            return Ok(true);
        }
    }
    Ok(false)
}

/// Takes what the worktree holds as the patch that `work` is at.
pub fn take_desk(home: &Home, work: &mut Work, say: &mut dyn FnMut(String)) -> Result<(), Failure> {
    if work.desk == Desk::Free {
        return Ok(());
    }
    if work.desk == Desk::Laying {
        return Err(lay_again(home, work, say)?);
    }
    let Some(step) = work.next().cloned() else {
        return Err(missing(work));
    };
    let git = work.git(home);
    let found = desk::read(home, work)?;
    let commit = match found.tree == repo::tree_of(&git, work.tip())? {
        true => None,
        false => {
            let note = note_of(
                home,
                work,
                step.change.as_ref().map(|(_, after)| after),
                found.note,
            )?;
            Some(note::commit(&git, &found.tree, work.tip(), &note)?)
        }
    };
    push(work, commit)?;
    work.desk = Desk::Free;
    Ok(())
}

/// Author and message of the patch: its own, unless the user has committed.
fn note_of(
    home: &Home,
    work: &Work,
    after: Option<&String>,
    own: Option<Note>,
) -> Result<Note, Failure> {
    let kept = after
        .map(|after| note::read(&work.git(home), after))
        .transpose()?;
    match (kept, own) {
        (Some(kept), None) => Ok(kept),
        // To resolve a conflict makes nobody the author.
        (Some(kept), Some(own)) if work.desk != Desk::Open => Ok(Note {
            author: kept.author,
            message: own.message,
        }),
        (_, Some(own)) => Ok(own),
        (None, None) => {
            let at = work.tree(home).display().to_string();
            Err(Failure::usage(
                format!("finish the {}", work.what()),
                format!("nothing is committed in {at}, and a patch needs a message"),
            )
            .help(format!(
                "commit it with a message: git -C {at} add -A && git -C {at} commit\nthen:\n{}",
                work.go_on()
            )))
        }
    }
}

fn push(work: &mut Work, commit: Option<String>) -> Result<(), Failure> {
    let Some(step) = work.next() else {
        return Err(missing(work));
    };
    let id = step.id.clone();
    let (Kind::Edit { id: edited } | Kind::New { id: edited, .. }) = &work.kind else {
        work.done.push(Done { id, commit });
        return Ok(());
    };
    if commit.is_some() {
        work.done.push(Done { id, commit });
        return Ok(());
    }
    let tried = format!("finish the {}", work.what());
    Err(match *edited == id {
        true => Failure::usage(tried, format!("`{id}` changes nothing")).help(format!(
            "make its change; or give this up ({}), and to take a patch out of the series, remove its \
             file and its entry in series.yaml",
            work.give_up()
        )),
        false => Failure::usage(
            tried,
            format!("`{id}`, which comes after it, changes nothing any more: all of it is in `{edited}` now"),
        )
        .help(format!(
            "nothing was written: leave to `{id}` what is its part, then:\n{}",
            work.go_on()
        )),
    })
}

/// Lays a conflict out; gives the failure that tells the user of it.
fn lay(
    home: &Home,
    work: &mut Work,
    change: (&str, &str),
    merged: &Merged,
    say: &mut dyn FnMut(String),
) -> Result<Failure, Failure> {
    desk::lay_conflict(home, work, change, merged, say)?;
    let files = |marked: bool| {
        let conflicts = merged.conflicts.iter();
        let files = conflicts.filter(|conflict| conflict.hunks.is_empty() != marked);
        files.map(|conflict| conflict.file.clone()).collect()
    };
    work.desk = Desk::Conflict {
        marked: files(true),
        others: files(false),
    };
    work.save(home)?;
    conflict(home, work, merged)
}

/// Lays out again what a killed run was about to.
fn lay_again(
    home: &Home,
    work: &mut Work,
    say: &mut dyn FnMut(String),
) -> Result<Failure, Failure> {
    let Some(step) = work.next().cloned() else {
        return Ok(missing(work));
    };
    let Some((before, after)) = &step.change else {
        return Ok(missing(work));
    };
    let git = work.git(home);
    match take(&git, &step.id, (before, after), work.tip())? {
        Taken::Conflict(merged) => lay(home, work, (before, after), &merged, say),
        _ => Ok(missing(work)),
    }
}

/// A patch that does not merge: which, where, and how to go on.
fn conflict(home: &Home, work: &Work, merged: &Merged) -> Result<Failure, Failure> {
    let id = work.next().map_or("", |step| step.id.as_str());
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
    let at = work.tree(home);
    let place = match &work.kind {
        Kind::Rebase => format!("on {}", work.base),
        Kind::Edit { id } | Kind::New { id, .. } => format!("on the new `{id}`"),
    };
    let failure = Failure::usage(format!("put the patch `{id}` {place}"), lines.join("\n")).help(format!(
        "nothing is lost: it lies in {} with its conflicts; make it what it should be there, then:\n{}\nor \
         give all of it up:\n{}",
        at.display(),
        work.go_on(),
        work.give_up()
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
    let text = work
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

fn interrupted(work: &Work) -> Failure {
    Failure::infra(format!("finish the {}", work.what()), "it was interrupted").help(format!(
        "go on: {}\nor give it up: {}",
        work.go_on(),
        work.give_up()
    ))
}

fn missing(work: &Work) -> Failure {
    Failure::infra(
        format!("finish the {}", work.what()),
        "what is known of it does not fit together",
    )
    .help(format!("give it up: {}", work.give_up()))
}

/// Keeps what lies in the worktree of `work`, then forgets it all. Gives lines
/// for the user.
pub fn abort(home: &Home, work: &Work, say: &dyn Fn(String)) -> Result<Vec<String>, Failure> {
    let _lock = home.lock(&lock_name(&work.base), say)?;
    work::still(home, work)?;
    let kept = match work.desk {
        Desk::Free | Desk::Laying => None,
        Desk::Open | Desk::Conflict { .. } => desk::keep(home, work).map_err(|failure| {
            failure.and_help(format!(
                "what is in {} could not be kept; take from it what you need, then remove {}",
                work.tree(home).display(),
                work.folder(home).display()
            ))
        })?,
    };
    work.close(home)?;
    let mut lines = vec![format!(
        "gave up the {} of {}; {} is as it was",
        work.what(),
        work.series,
        work.dir.display()
    )];
    if let Some(commit) = kept {
        lines.push(format!(
            "what was in its worktree is kept as a commit: git -C {} show {}",
            work.git(home).git_dir().display(),
            commit.get(..12).unwrap_or(&commit)
        ));
    }
    Ok(lines)
}
