//! The preimages of patches, for a base that has changed since. A patch's
//! `index` lines name the blobs that it was made for; a three-way merge needs
//! them.

use std::collections::BTreeMap;

use crate::base::apply::{self, Change};
use crate::base::repo;
use crate::diff::{self, FileDiff};
use crate::mail;
use crate::operation::Step;
use kdk_core::failure::Failure;
use kdk_core::git::Git;

const TRIED: &str = "reconstruct the preimages of the patches";

/// The mode and blob id of a file; `None` if the tree does not have it.
type Entry = Option<(String, String)>;

/// Returns the commits before and after each change, in one chain that starts
/// at `base`. Blobs that `git` lacks are copied from `alternate`. Where neither
/// has a blob, a content is synthesized that the hunks apply to.
pub fn steps(
    git: &Git,
    alternate: Option<&Git>,
    base: &str,
    changes: &[Change],
) -> Result<Vec<Step>, Failure> {
    let index = apply::index_of(git, base)?;
    let mut under = base.to_owned();
    let mut steps = Vec::new();
    for change in changes {
        let (before, after) = step(&index, alternate, &under, change)?;
        under = after.clone();
        steps.push(Step {
            id: change.id.clone(),
            change: Some((before, after)),
        });
    }
    Ok(steps)
}

fn step(
    git: &Git,
    alternate: Option<&Git>,
    under: &str,
    change: &Change,
) -> Result<(String, String), Failure> {
    let mail::ParsedPatch {
        diff,
        author,
        message,
    } = mail::parts(&change.id, &change.diff)?;
    let files = diff::parse(&diff);
    let here = entries(git, under, &files)?;
    let mut known = here.clone();
    let mut unknown = Vec::new();
    for file in &files {
        match recorded(git, alternate, file, &here)? {
            Some((path, entry)) => {
                known.insert(path, entry);
            }
            None => unknown.push(file),
        }
    }
    // The first of these that the patch applies to; the last is synthesized for
    // it.
    let candidates: [&dyn Fn() -> Result<BTreeMap<String, Entry>, Failure>; 4] = [
        &|| Ok(known.clone()),
        &|| synthesize(git, &known, &unknown),
        &|| Ok(here.clone()),
        &|| synthesize(git, &here, &files.iter().collect::<Vec<_>>()),
    ];
    let mut before = None;
    for candidate in candidates {
        put(git, &candidate()?)?;
        let args = ["apply", "--cached", "--check", "--whitespace=nowarn", "-"];
        if git.run_with(TRIED, &args, &diff)?.ok {
            before = Some(repo::commit_index(git, under, "the preimage of a patch")?);
            break;
        }
    }
    let Some(before) = before else {
        put(git, &here)?;
        // The patch does not apply, and git reports where.
        return Err(match apply::apply(git, &change.id, &diff) {
            Err(failure) => failure,
            Ok(()) => Failure::infra(TRIED, "git accepted the patch after it had rejected it"),
        });
    };
    apply::apply(git, &change.id, &diff)?;
    let git = git.clone().author(author.as_ref());
    let after = repo::commit_index(&git, &before, &message)?;
    Ok((before, after))
}

/// Returns the preimage of `file` that its `index` line names, if a repository
/// has the blob.
fn recorded(
    git: &Git,
    alternate: Option<&Git>,
    file: &FileDiff,
    here: &BTreeMap<String, Entry>,
) -> Result<Option<(String, Entry)>, Failure> {
    let Some(old) = &file.old else {
        // A new file has no preimage.
        return Ok(file.new.clone().map(|path| (path, None)));
    };
    let Some(id) = &file.blob else {
        return Ok(None);
    };
    let Some(id) = diff::blob(git, alternate, id)? else {
        return Ok(None);
    };
    let present = here.get(old).cloned().flatten();
    let mode = file
        .mode
        .clone()
        .or(present.map(|(mode, _)| mode))
        .unwrap_or_else(|| "100644".into());
    Ok(Some((old.clone(), Some((mode, id)))))
}

/// Returns `entries` with synthesized contents for `files`, which their hunks
/// apply to.
fn synthesize(
    git: &Git,
    entries: &BTreeMap<String, Entry>,
    files: &[&FileDiff],
) -> Result<BTreeMap<String, Entry>, Failure> {
    let mut entries = entries.clone();
    for file in files {
        let Some(old) = &file.old else {
            entries.extend(file.new.clone().map(|path| (path, None)));
            continue;
        };
        let present = entries.get(old).cloned().flatten();
        // The diff of a removed file has its whole content.
        let like = match (&present, &file.new) {
            (Some((_, id)), Some(_)) => git.must(TRIED, &["cat-file", "blob", id], b"")?.stdout,
            _ => Vec::new(),
        };
        let content = diff::made_for(&like, &file.hunks);
        let args = ["hash-object", "-w", "--stdin"];
        let id = git.must(TRIED, &args, &content)?.text();
        let mode = file.mode.clone().or(present.map(|(mode, _)| mode));
        let mode = mode.unwrap_or_else(|| "100644".into());
        entries.insert(old.clone(), Some((mode, id)));
    }
    Ok(entries)
}

/// Returns the entries of all paths of `files` in `commit`.
fn entries(
    git: &Git,
    commit: &str,
    files: &[FileDiff],
) -> Result<BTreeMap<String, Entry>, Failure> {
    let paths = files
        .iter()
        .flat_map(|file| [&file.old, &file.new])
        .flatten();
    let mut found: BTreeMap<String, Entry> = paths.map(|path| (path.clone(), None)).collect();
    let mut args = vec![commit, "--"];
    let paths: Vec<String> = found.keys().cloned().collect();
    args.extend(paths.iter().map(String::as_str));
    if paths.is_empty() {
        return Ok(found);
    }
    for entry in repo::entries(git, TRIED, &args)? {
        if entry.kind == "blob" {
            found.insert(entry.path, Some((entry.mode, entry.id)));
        }
    }
    Ok(found)
}

/// Writes these entries to the index.
fn put(git: &Git, entries: &BTreeMap<String, Entry>) -> Result<(), Failure> {
    let lines: String = entries
        .iter()
        .map(|(path, entry)| match entry {
            Some((mode, id)) => format!("{mode} {id}\t{path}\0"),
            None => format!("0 {:040}\t{path}\0", 0),
        })
        .collect();
    repo::set_entries(git, TRIED, lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::apply::chain;
    use crate::base::fixtures::kdk_repo;
    use crate::cherry_pick::{PickResult, cherry_pick};
    use crate::format_patch;

    fn change(id: &str, diff: impl Into<Vec<u8>>) -> Change {
        Change {
            id: id.into(),
            diff: diff.into(),
        }
    }

    fn line(from: &str, to: &str) -> String {
        format!(
            "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,3 @@\n one\n-{from}\n+{to}\n three\n"
        )
    }

    /// Returns a series of two on the head, as its files; and a commit that has
    /// another first line and an added one.
    fn place(dir: &std::path::Path) -> (Git, Vec<Change>, String) {
        let (git, head) = kdk_repo(dir);
        let plain = [
            change("a", line("two", "2")),
            change("b", line("2", "zwei")),
        ];
        let commits = chain(&git, &head, &plain).unwrap();
        let mails = ["a", "b"].iter().zip(&commits);
        let mails =
            mails.map(|(id, commit)| change(id, format_patch::format_patch(&git, commit).unwrap()));
        let mails = mails.collect();
        let moved = "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,4 @@\n-one\n+zero\n+1\n two\n three\n";
        let moved = chain(&git, &head, &[change("m", moved)]).unwrap().remove(0);
        (git, mails, moved)
    }

    fn show(git: &Git, commit: &str) -> String {
        git.text("x", &["show", &format!("{commit}:sys/kern/a.c")])
            .unwrap()
    }

    #[test]
    fn patches_are_merged_with_the_blobs_they_name() {
        let dir = tempfile::tempdir().unwrap();
        let (git, mails, moved) = place(dir.path());
        let steps = steps(&git, None, &moved, &mails).unwrap();
        let (before, after) = steps[0].change.as_ref().unwrap();
        assert_eq!(
            (show(&git, before).as_str(), show(&git, after).as_str()),
            ("one\ntwo\nthree", "one\n2\nthree")
        );
        assert_eq!(steps[1].change.as_ref().unwrap().0, {
            // The second patch was made for just what the first one left.
            let (before, _) = steps[1].change.clone().unwrap();
            assert_eq!(show(&git, &before), "one\n2\nthree");
            before
        });
    }

    #[test]
    fn a_conflict_is_shown_even_without_the_preimage() {
        let dir = tempfile::tempdir().unwrap();
        let (git, _, moved) = place(dir.path());
        // No ids, and no such lines here.
        let steps = steps(&git, None, &moved, &[change("a", line("deux", "2"))]).unwrap();
        let (before, after) = steps[0].change.clone().unwrap();
        let picked = cherry_pick(&git, "a", (&before, &after), &moved).unwrap();
        let PickResult::Conflict(merged) = picked else {
            panic!("{picked:?}");
        };
        let text = &merged.conflicts[0].hunks[0].text;
        assert!(text.contains("2\n") && text.contains("zero\n"), "{text}");
    }

    #[test]
    fn what_is_no_diff_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (git, _, moved) = place(dir.path());
        let failure = steps(&git, None, &moved, &[change("a", "nothing\n")]).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
}
