//! The operations that change one patch, or write a new one, in a worktree.

use std::fs;

use crate::applied::{self, AppliedSeries};
use crate::base::definition::Definition;
use crate::base::repo::changed_paths;
use crate::base::repo::names;
use crate::load::{self, Loaded};
use crate::manifest::{Class, Manifest, is_id, text};
use crate::operation::{self, Done, Kind, Operation, Step, WorktreeState};
use crate::update::{self, SeriesUpdate};
use crate::{edit_worktree, manifest, sequencer};
use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::failure::Failure;
use kdk_core::yaml;

/// The parameters of a new patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPatch {
    /// The id of the patch.
    pub id: String,
    /// The class of the patch.
    pub class: Class,
    /// The patch before it; `None` to append it.
    pub after: Option<String>,
    /// Whether a generative AI wrote any part of it.
    pub ai_assisted: bool,
}

/// Begins an edit: checks the patch `id` out in a worktree.
pub fn begin(
    cache: &CacheDir,
    series: &Loaded,
    id: &str,
    say: &dyn Fn(String),
) -> Result<Operation, Failure> {
    let tried = format!("edit the patch `{id}`");
    series.patch(id)?;
    operation::ensure_none_in_progress(cache, series.name(), &tried)?;
    let applied = applied::apply_series(cache, series, say)?;
    let at = series
        .ids()
        .iter()
        .position(|known| known == id)
        .unwrap_or_default();
    let kind = Kind::Edit { id: id.to_owned() };
    let operation = operation_at(&applied, kind, at, steps(&applied))?;
    let (parent, commit) = (applied.parent(at), applied.commits[at].as_str());
    let with = changed_paths(applied.git(), parent, commit)?;
    open(cache, operation, commit, with, say)
}

/// Begins a new patch: checks out the commit below it in a worktree. `series`
/// is `None` if `name` has no series yet.
pub fn begin_new(
    cache: &CacheDir,
    name: &str,
    series: Option<&Loaded>,
    patch: &NewPatch,
    say: &dyn Fn(String),
) -> Result<Operation, Failure> {
    let id = &patch.id;
    let tried = format!("begin the patch `{id}`");
    if !is_id(id) {
        return Err(
            Failure::usage(tried, format!("'{id}' is not a valid id")).help(
                "an id has lower case letters, digits and `-`, and begins with a letter or digit",
            ),
        );
    }
    operation::ensure_none_in_progress(cache, name, &tried)?;
    free(series, name, id, &tried)?;
    let empty;
    let series = match series {
        Some(series) => series,
        None => {
            empty = skeleton(cache, name)?;
            &empty
        }
    };
    let at = place(series, patch)?;
    let applied = applied::apply_series(cache, series, say)?;
    let mut steps = steps(&applied);
    let step = Step {
        id: id.clone(),
        change: None,
    };
    steps.insert(at, step);
    let kind = Kind::New {
        id: id.clone(),
        class: patch.class,
        ai_assisted: patch.ai_assisted,
    };
    let mut operation = operation_at(&applied, kind, at, steps)?;
    if series.text.is_empty() {
        operation.digest = operation::digest(None)?;
    }
    template(&applied)?;
    let parent = applied.parent(at).to_owned();
    open(cache, operation, &parent, Vec::new(), say)
}

/// Fails if the id or the file of the new patch is taken.
fn free(series: Option<&Loaded>, name: &str, id: &str, tried: &str) -> Result<(), Failure> {
    if series.is_some_and(|series| series.ids().iter().any(|known| known == id)) {
        return Err(
            Failure::usage(tried, "the series has a patch with this id").help(format!(
                "edit it with `cargo xtask patches edit {id} --series {name}`, or choose another id"
            )),
        );
    }
    let path = load::series_dir(name).join(format!("{id}.patch"));
    if !path.exists() {
        return Ok(());
    }
    Err(
        Failure::usage(tried, format!("{} exists already", path.display()))
            .help("add it to series.yaml, or remove it"),
    )
}

/// Returns the position of a new patch in `series`.
fn place(series: &Loaded, patch: &NewPatch) -> Result<usize, Failure> {
    let ids = series.ids();
    let Some(after) = &patch.after else {
        return Ok(ids.len());
    };
    series.patch(after)?;
    Ok(ids
        .iter()
        .position(|id| id == after)
        .map_or(ids.len(), |at| at + 1))
}

/// Returns a series that does not exist yet. It has no text.
fn skeleton(cache: &CacheDir, name: &str) -> Result<Loaded, Failure> {
    let record = crate::base::record::find(cache, name)?;
    let definition = record.definition()?;
    let text = text::skeleton(name, &definition.repo, &definition.branch, record.osreldate);
    let mut series = load::parse(&load::series_dir(name), name, &text)?;
    series.text.clear();
    // The base's version now, not when it was added.
    series.manifest.base.osreldate = applied::lock_base(cache, name, &|_| ())?.resolved.osreldate;
    Ok(series)
}

fn steps(applied: &AppliedSeries<'_>) -> Vec<Step> {
    let patches = applied.patches().enumerate();
    patches
        .map(|(n, (patch, commit))| Step {
            id: patch.id.clone(),
            change: Some((applied.parent(n).to_owned(), commit.to_owned())),
        })
        .collect()
}

/// Returns the operation at patch `at` of `steps`.
fn operation_at(
    applied: &AppliedSeries<'_>,
    kind: Kind,
    at: usize,
    steps: Vec<Step>,
) -> Result<Operation, Failure> {
    let done = steps[..at].iter().map(|step| Done {
        id: step.id.clone(),
        commit: step.change.as_ref().map(|(_, after)| after.clone()),
    });
    Ok(Operation {
        kind,
        series: applied.series.name().to_owned(),
        dir: load::series_dir(applied.series.name()),
        digest: operation::digest(Some(applied.series))?,
        base: applied.series.name().to_owned(),
        start: applied.start().to_owned(),
        osreldate: applied.base.resolved.osreldate,
        done: done.collect(),
        steps,
        worktree: WorktreeState::Editing,
    })
}

fn open(
    cache: &CacheDir,
    operation: Operation,
    commit: &str,
    with: Vec<String>,
    say: &dyn Fn(String),
) -> Result<Operation, Failure> {
    // Another process may have begun one before this one had the lock.
    operation::ensure_none_in_progress(
        cache,
        &operation.series,
        &format!("begin the {}", operation.describe()),
    )?;
    operation::reset_folder(cache, &operation)?;
    edit_worktree::checkout(cache, &operation, commit, with, &mut |text| say(text))?;
    operation.save(cache)?;
    Ok(operation)
}

/// The commit template, in FreeBSD's form.
const TEMPLATE: &str = "
# component: What the change does, as an order, with no full stop
# (at most 67 characters, 50 are better)
#
# Then an empty line, and why the change is needed: what goes wrong
# without it, for whom, and why it is done this way. Lines of at most 72
# columns.
#
# Lines such as `PR:` or `MFC after:` come from the patch's `trailers` in
# series.yaml when the patch is exported.
";

/// Sets the commit template of the repository.
fn template(applied: &AppliedSeries<'_>) -> Result<(), Failure> {
    const TRIED: &str = "set the commit template";
    let path = applied.git().git_dir().join("kdk-message");
    write_atomically(&path, TEMPLATE.as_bytes())
        .map_err(|error| Failure::io(TRIED, &path, error))?;
    let value = path.to_string_lossy();
    applied
        .git()
        .text(TRIED, &["config", "commit.template", &value])?;
    Ok(())
}

/// Captures the patch from the worktree, replays the patches after it, and
/// writes the series. Returns lines for the user.
///
/// # Errors
/// The worktree cannot be read as one patch, a later patch conflicts, or a
/// check fails. Nothing is written then, and the worktree stays.
pub fn done(
    cache: &CacheDir,
    operation: &mut Operation,
    stop: &dyn Fn() -> bool,
    say: &dyn Fn(String),
) -> Result<Vec<String>, Failure> {
    let base = applied::lock_base(cache, &operation.base, say)?;
    operation::ensure_current(cache, operation)?;
    let series = load::find(&operation.series)?;
    operation::ensure_series_unchanged(operation, cache, series.as_ref())?;
    let stays = format!(
        "nothing was written, and the change stays in {}. Fix it, then:\n{}",
        operation.worktree_path(cache).display(),
        operation.continue_command()
    );
    let (tip, at) = (operation.tip().to_owned(), operation.done.len());
    sequencer::capture_worktree(cache, operation, &mut |text| say(text))?;
    let captured = operation
        .done
        .get(at)
        .and_then(|done| done.commit.as_deref());
    let files = captured
        .map(|commit| files_of(operation, cache, &tip, commit))
        .transpose()?;
    let text = manifest_of(operation, series.as_ref(), &base.definition)
        .map_err(|failure| failure.and_help(&stays))?;
    let linted =
        check_captured(cache, operation, at, &text).map_err(|failure| failure.and_help(&stays))?;
    sequencer::replay_remaining(cache, operation, stop, &mut |text| say(text))?;
    let update = SeriesUpdate {
        name: operation.series.clone(),
        text,
        start: operation.start.clone(),
        commits: operation.commits(),
        remove: Vec::new(),
        more: Vec::new(),
        linted,
    };
    let ends = Some((operation.series.clone(), operation.name().to_owned()));
    let written = update
        .write(cache, &operation.git(cache), ends)
        .map_err(|failure| failure.and_help(&stays))?;
    let mut lines: Vec<String> = files.unwrap_or_default();
    lines.extend(written.iter().map(|name| format!("{name}: written")));
    lines.push(format!(
        "{}: {} is done",
        operation.series,
        operation.describe()
    ));
    Ok(lines)
}

/// Returns the files that the patch touches, as `M path`.
fn files_of(
    operation: &Operation,
    cache: &CacheDir,
    before: &str,
    after: &str,
) -> Result<Vec<String>, Failure> {
    let args = [
        "diff-tree",
        "-r",
        "-z",
        "--no-renames",
        "--name-status",
        before,
        after,
    ];
    let ran = operation
        .git(cache)
        .must("list the files of a patch", &args, b"")?;
    let parts = names(&ran.stdout);
    Ok(parts.chunks(2).map(|pair| pair.join("  ")).collect())
}

/// Checks the patch that was captured just now: before the user resolves the
/// conflicts of the patches after it, and not at the end. Returns its id.
fn check_captured(
    cache: &CacheDir,
    operation: &Operation,
    at: usize,
    text: &str,
) -> Result<Option<String>, Failure> {
    let captured = operation.done.get(at);
    let Some(id) = captured
        .filter(|done| done.commit.is_some())
        .map(|done| &done.id)
    else {
        return Ok(None);
    };
    let commits = operation.commits();
    let changes = update::check_commits(&operation.git(cache), &operation.start, &commits)?;
    let series = load::parse(&operation.dir, &operation.series, text)?;
    if let Some(change) = changes.last() {
        update::lint_patch(series, change)?;
    }
    Ok(Some(id.clone()))
}

/// Returns the text of the new manifest.
fn manifest_of(
    operation: &Operation,
    series: Option<&Loaded>,
    definition: &Definition,
) -> Result<String, Failure> {
    let text = match series {
        Some(series) => series.text.clone(),
        None => text::skeleton(
            &operation.series,
            &definition.repo,
            &definition.branch,
            operation.osreldate,
        ),
    };
    match &operation.kind {
        Kind::New {
            id,
            class,
            ai_assisted,
        } => with_entry(operation, &text, id, *class, *ai_assisted),
        _ => Ok(text),
    }
}

/// Returns the manifest `text` with an entry for the new patch.
fn with_entry(
    operation: &Operation,
    text: &str,
    id: &str,
    class: Class,
    ai_assisted: bool,
) -> Result<String, Failure> {
    let place = format!("patches/{}/{}", operation.series, load::MANIFEST);
    let mut wanted: Manifest = yaml::parse(&place, text)?;
    let entry = text::entry(id, class, ai_assisted);
    let at = operation
        .steps
        .iter()
        .position(|step| step.id == id)
        .unwrap_or_default();
    let new: Vec<manifest::Patch> = yaml::parse("the new entry", &entry)?;
    let count = wanted.patches.len();
    wanted.patches.splice(at..at, new);
    let done = text::insert(text, at, count, &entry).unwrap_or_default();
    update::verify_manifest_edit(
        &operation.series,
        &done,
        &wanted,
        &format!(
            "write each `- id:` of the list of patches on a line of its own, then:\n{}",
            operation.continue_command()
        ),
    )?;
    Ok(done)
}

/// Returns one line for each operation in progress.
pub fn list(cache: &CacheDir) -> Result<Vec<String>, Failure> {
    let line = |operation: &Operation| {
        let at = match (&operation.worktree, operation.next()) {
            (WorktreeState::Conflicted { .. } | WorktreeState::CheckingOut, Some(step)) => {
                format!("conflict in `{}`", step.id)
            }
            (WorktreeState::Idle, _) => "interrupted".to_owned(),
            _ => "in progress".to_owned(),
        };
        let tree = operation.worktree_path(cache);
        let place = match fs::metadata(&tree) {
            Ok(_) => tree.display().to_string(),
            Err(_) => "no worktree".to_owned(),
        };
        format!(
            "{}  {}  {at}  {place}",
            operation.series,
            operation.describe()
        )
    };
    Ok(operation::all(cache)?.iter().map(line).collect())
}
