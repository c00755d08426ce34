//! The rebase of a series onto the present commit of its base, or onto another
//! base.

use std::fs;

use crate::applied::{self, LockedBase};
use crate::base::repo;
use crate::load::{self, Loaded};
use crate::manifest::{Manifest, text};
use crate::operation::{self, Kind, Operation, WorktreeState};
use crate::update::{self, SeriesUpdate};
use crate::{preimage, sequencer};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_core::yaml;
use kdk_core::yaml::places::PathSegment::{Item, Key};

/// Begins a rebase of `series` onto the base `onto`, or onto the present commit
/// of its own base.
pub fn begin(
    cache: &CacheDir,
    series: &Loaded,
    onto: Option<&str>,
    say: &dyn Fn(String),
) -> Result<Operation, Failure> {
    let name = series.name();
    let base = onto.unwrap_or(name);
    let tried = format!("rebase {name}");
    operation::ensure_none_in_progress(cache, name, &tried)?;
    if base != name {
        must_not_be(base, &tried)?;
    }
    let base_now = applied::lock_base(cache, base, say)?;
    // Another process may have begun one before this one had the lock.
    operation::ensure_none_in_progress(cache, name, &tried)?;
    // Only the repository of the series' own base may have the old blobs.
    let alternate = (base != name).then(|| repo::git(cache, name));
    let alternate = alternate.filter(|git| git.git_dir().exists());
    let changes = series.changes()?;
    let (git, start) = (&base_now.resolved.git, &base_now.resolved.commit);
    let steps = preimage::steps(git, alternate.as_ref(), start, &changes)?;
    let operation = Operation {
        kind: Kind::Rebase,
        series: name.to_owned(),
        dir: load::series_dir(name),
        digest: operation::digest(Some(series))?,
        base: base.to_owned(),
        start: start.clone(),
        osreldate: base_now.resolved.osreldate,
        steps,
        done: Vec::new(),
        worktree: WorktreeState::Idle,
    };
    operation::reset_folder(cache, &operation)?;
    operation.save(cache)?;
    Ok(operation)
}

/// Fails if `base` has a series.
fn must_not_be(base: &str, tried: &str) -> Result<(), Failure> {
    let dir = load::series_dir(base);
    if fs::symlink_metadata(&dir).is_err() {
        return Ok(());
    }
    Err(Failure::usage(tried, format!("{} exists already", dir.display())).help(
        "a rebase does not replace another series: move that folder away, or rebase the series in it \
            (`cargo xtask patches rebase --series NAME`)",
    ))
}

/// Continues a rebase to its end, and writes the series. Returns lines for the
/// user.
///
/// # Errors
/// A patch conflicts, or a check fails. Nothing is written then, and the
/// worktree stays.
pub fn resume(
    cache: &CacheDir,
    operation: &mut Operation,
    stop: &dyn Fn() -> bool,
    say: &dyn Fn(String),
) -> Result<Vec<String>, Failure> {
    let base_now = applied::lock_base(cache, &operation.base, say)?;
    operation::ensure_current(cache, operation)?;
    let series = load::must(&operation.series)?;
    operation::ensure_series_unchanged(operation, cache, Some(&series))?;
    if operation.base != operation.series {
        must_not_be(
            &operation.base,
            &format!("finish the {}", operation.describe()),
        )?;
    }
    let stays = format!(
        "nothing was written. Fix it, then:\n{}",
        operation.continue_command()
    );
    let at = operation.done.len();
    let before = operation.tip().to_owned();
    sequencer::capture_worktree(cache, operation, &mut |text| say(text))?;
    // Before the user resolves the conflicts of all others.
    if let Some(done) = operation.done.get(at)
        && let Some(commit) = &done.commit
    {
        let commits = [(done.id.clone(), commit.clone())];
        update::check_commits(&operation.git(cache), &before, &commits)
            .map_err(|failure| failure.and_help(&stays))?;
    }
    operation.save(cache)?;
    sequencer::replay_remaining(cache, operation, stop, &mut |text| say(text))?;
    let update = series_update(operation, &series, &base_now)?;
    let ends = Some((operation.series.clone(), operation.name().to_owned()));
    let written = update
        .write(cache, &operation.git(cache), ends)
        .map_err(|failure| failure.and_help(&stays))?;
    let mut lines = landed_lines(operation);
    lines.extend(
        written
            .iter()
            .map(|name| match update.remove.contains(name) {
                true => format!("{name}: removed"),
                false => format!("{name}: written"),
            }),
    );
    let commit = operation.start.get(..12).unwrap_or(&operation.start);
    lines.push(match written.is_empty() {
        true => format!(
            "{}: applies to {} at {commit} unchanged",
            operation.series, operation.base
        ),
        false => format!(
            "{}: {} patches on commit {commit}",
            operation.base,
            update.commits.len()
        ),
    });
    Ok(lines)
}

/// Returns the ids of the patches that became empty.
fn landed(operation: &Operation) -> Vec<&str> {
    let empty = operation.done.iter().filter(|done| done.commit.is_none());
    empty.map(|done| done.id.as_str()).collect()
}

fn landed_lines(operation: &Operation) -> Vec<String> {
    let (series, base) = (&operation.series, &operation.base);
    let line = |id: &str| match series == base {
        true => format!(
            "{id}: empty on {base}, dropped as upstreamed; if another series has it, set `upstream: \
                {{status: landed}}` there"
        ),
        false => format!(
            "{id}: empty on {base}, dropped as upstreamed; set `upstream: {{status: landed}}` for it in \
                patches/{series}/series.yaml"
        ),
    };
    landed(operation).into_iter().map(line).collect()
}

fn series_update(
    operation: &Operation,
    series: &Loaded,
    base_now: &LockedBase,
) -> Result<SeriesUpdate, Failure> {
    let (text, wanted) = manifest(operation, series, base_now)?;
    update::verify_manifest_edit(
        &operation.base,
        &text,
        &wanted,
        &format!(
            "write each `- id:` of the list of patches on a line of its own and `needs` in brackets, \
                then:\n{}",
            operation.continue_command()
        ),
    )?;
    let elsewhere = operation.base != operation.series;
    let cover = match &series.manifest.cover {
        Some(cover) if elsewhere => {
            update::read_beside(series, cover)?.map(|text| (cover.clone(), text))
        }
        _ => None,
    };
    let landed = landed(operation);
    let gone = series
        .manifest
        .patches
        .iter()
        .filter(|patch| landed.contains(&patch.id.as_str()));
    Ok(SeriesUpdate {
        name: operation.base.clone(),
        text,
        start: operation.start.clone(),
        commits: operation.commits(),
        remove: match elsewhere {
            true => Vec::new(),
            false => gone.map(|patch| patch.file.clone()).collect(),
        },
        more: cover.into_iter().collect(),
        linted: None,
    })
}

/// Returns the text of the new manifest, and what it must parse as.
fn manifest(
    operation: &Operation,
    series: &Loaded,
    base_now: &LockedBase,
) -> Result<(String, Manifest), Failure> {
    let (mut text, mut wanted) = (series.text.clone(), series.manifest.clone());
    let base = |key| [Key("base"), Key(key)];
    if wanted.base.osreldate != operation.osreldate {
        wanted.base.osreldate = operation.osreldate;
        text = text::set(&text, &base("osreldate"), &operation.osreldate.to_string());
    }
    if wanted
        .base
        .commit
        .as_ref()
        .is_some_and(|commit| *commit != operation.start)
    {
        wanted.base.commit = Some(operation.start.clone());
        text = text::set(&text, &base("commit"), &operation.start);
    }
    if operation.base != operation.series {
        let definition = &base_now.definition;
        wanted.series.name = operation.base.clone();
        wanted.series.revision = 1;
        wanted.base.repo = definition.repo.clone();
        wanted.base.branch = definition.branch.clone();
        for (path, value) in [
            ([Key("series"), Key("name")], &operation.base),
            ([Key("series"), Key("revision")], &"1".to_owned()),
            (base("repo"), &definition.repo),
            (base("branch"), &definition.branch),
        ] {
            text = text::set(&text, &path, value);
        }
    }
    for id in landed(operation) {
        text = without(&text, &mut wanted, id)?;
    }
    Ok((text, wanted))
}

/// Returns `text` without the patch `id` and without the needs for it.
fn without(text: &str, manifest: &mut Manifest, id: &str) -> Result<String, Failure> {
    let mut text = text.to_owned();
    for (n, patch) in manifest.patches.iter_mut().enumerate() {
        if let Some(m) = patch.needs.iter().position(|need| need == id) {
            patch.needs.remove(m);
            let path = [Key("patches"), Item(n), Key("needs")];
            text = text::remove_item(&text, &path, m).unwrap_or(text);
        }
    }
    if let Some(n) = manifest.patches.iter().position(|patch| patch.id == id) {
        manifest.patches.remove(n);
        text = text::remove(&text, n).unwrap_or(text);
        if manifest.patches.is_empty() {
            // A key without a value is no list.
            text = text::set_empty(&text);
        }
    }
    // Parsed here too, so that the next edit finds its place.
    yaml::parse::<Manifest>("the new manifest", &text)?;
    Ok(text)
}
