//! The new state of a series, which is checked before any file is written.

use std::collections::BTreeSet;
use std::fs;

use crate::base::apply::{self, Change};
use crate::base::repo;
use crate::journal::{self, Transaction};
use crate::lint::{self, Finding, Severity};
use crate::load::{self, LARGEST, Loaded, MANIFEST};
use crate::manifest::Manifest;
use crate::{commit_meta, format_patch};
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::input::{self, Links};
use kdk_core::yaml;

/// The new state of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesUpdate {
    /// The name of the series.
    pub name: String,
    /// The text of the manifest.
    pub text: String,
    /// The commit below the first patch.
    pub start: String,
    /// The id and commit of each patch, in apply order.
    pub commits: Vec<(String, String)>,
    /// The names of the files to remove.
    pub remove: Vec<String>,
    /// Other files to write, by name.
    pub more: Vec<(String, Vec<u8>)>,
    /// The patch that [`lint_patch`] has accepted, if there is one.
    pub linted: Option<String>,
}

impl SeriesUpdate {
    /// Returns the present state of `series`, with these commits.
    pub fn of(series: &Loaded, start: &str, commits: &[String]) -> Self {
        Self {
            name: series.name().to_owned(),
            text: series.text.clone(),
            start: start.to_owned(),
            commits: series
                .ids()
                .into_iter()
                .zip(commits.iter().cloned())
                .collect(),
            remove: Vec::new(),
            more: Vec::new(),
            linted: None,
        }
    }

    /// Checks the new state, then writes the files that differ, all or none.
    /// `ends` names the operation that this completes. Returns the names of the
    /// files that were written or removed. The caller has locked the series'
    /// base.
    ///
    /// # Errors
    /// A check fails. Nothing is written then.
    pub fn write(
        &self,
        cache: &CacheDir,
        git: &Git,
        ends: Option<(String, String)>,
    ) -> Result<Vec<String>, Failure> {
        let dir = load::series_dir(&self.name);
        let manifest = load::parse(&dir, &self.name, &self.text)?.manifest;
        let changes = check_commits(git, &self.start, &self.commits)?;
        let mut put = self.files(&manifest, changes)?;
        self.lint(&put)?;
        put.push((MANIFEST.to_owned(), self.text.clone().into_bytes()));
        let transaction = Transaction {
            dir,
            put,
            remove: self.remove.clone(),
            ends,
        };
        journal::write(cache, &self.name, &transaction)
    }

    /// Returns the patch files and all others, by name.
    fn files(
        &self,
        manifest: &Manifest,
        changes: Vec<Change>,
    ) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut files = Vec::new();
        for (patch, Change { id, diff }) in manifest.patches.iter().zip(changes) {
            if patch.id != id {
                return Err(Failure::infra(
                    "write the series",
                    format!("the manifest has `{}` where `{id}` should be", patch.id),
                ));
            }
            files.push((patch.file.clone(), diff));
        }
        files.extend(self.more.iter().cloned());
        Ok(files)
    }

    /// Lints the series as it will be with the files `put`. A finding that the
    /// series has already is no error.
    fn lint(&self, put: &[(String, Vec<u8>)]) -> Result<(), Failure> {
        let dir = load::series_dir(&self.name);
        let staged = staging()?;
        let failed = |error| Failure::io(LINT, &dir, error);
        for entry in fs::read_dir(&dir).into_iter().flatten() {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default();
            if path.is_file() && !self.remove.iter().any(|gone| name == gone.as_str()) {
                fs::copy(&path, staged.path().join(name)).map_err(failed)?;
            }
        }
        for (name, content) in put {
            fs::write(staged.path().join(name), content).map_err(failed)?;
        }
        let was = match load::find(&self.name)? {
            Some(series) => lint::static_findings(&series)?,
            None => Vec::new(),
        };
        let known = |found: &Finding| {
            let is_same = |old: &Finding| (old.check, &old.text) == (found.check, &found.text);
            let is_linted = found.patch.is_some() && found.patch == self.linted;
            is_linted || was.iter().any(is_same)
        };
        let staged = load::parse(staged.path(), &self.name, &self.text)?;
        let mut found = lint::static_findings(&staged)?;
        found.retain(|finding| !known(finding));
        refuse(&self.name, found)
    }
}

const LINT: &str = "lint the new series";

fn staging() -> Result<tempfile::TempDir, Failure> {
    tempfile::tempdir().map_err(|error| Failure::io(LINT, &std::env::temp_dir(), error))
}

/// Lints one patch of `series` as `change` has it.
///
/// # Errors
/// The findings that are errors, the first of them with its place.
pub fn lint_patch(mut series: Loaded, change: &Change) -> Result<(), Failure> {
    let staged = staging()?;
    series.dir = staged.path().to_owned();
    let path = series.path(series.patch(&change.id)?);
    fs::write(&path, &change.diff).map_err(|error| Failure::io(LINT, &path, error))?;
    refuse(series.name(), lint::patch_findings(&series, &change.id)?)
}

/// Fails if one of `findings` is an error.
fn refuse(name: &str, mut found: Vec<Finding>) -> Result<(), Failure> {
    found.retain(|finding| finding.severity == Severity::Error);
    let Some(first) = found.first() else {
        return Ok(());
    };
    let lines: Vec<&str> = found.iter().map(|finding| finding.text.as_str()).collect();
    let failure = Failure::usage(format!("write the series {name}"), lines.join("\n"));
    let failure = failure.help(&first.help);
    Err(match &first.spot {
        Some(spot) => failure.at(&spot.name, spot.source.to_string(), spot.span, "here"),
        None => failure,
    })
}

/// Checks that the files of `commits` (by id, on top of `start`) can be read
/// and give the same commits again. Returns the files.
pub fn check_commits(
    git: &Git,
    start: &str,
    commits: &[(String, String)],
) -> Result<Vec<Change>, Failure> {
    let mut changes = Vec::new();
    for (id, commit) in commits {
        let diff = format_patch::format_patch(git, commit)?;
        let id = id.clone();
        changes.push(Change { id, diff });
    }
    let again = apply::chain(git, start, &changes)?;
    for ((id, commit), again) in commits.iter().zip(&again) {
        if commit != again {
            check_roundtrip(git, id, commit, again)?;
        }
    }
    Ok(changes)
}

/// Checks that the commit `again`, made from a patch file, equals the `commit`
/// that the file was written from.
fn check_roundtrip(git: &Git, id: &str, commit: &str, again: &str) -> Result<(), Failure> {
    if repo::tree_of(git, commit)? != repo::tree_of(git, again)? {
        return Err(Failure::infra(
            format!("write the patch `{id}`"),
            "its file does not produce the same tree again",
        ));
    }
    let (wanted, got) = (
        commit_meta::read(git, commit)?,
        commit_meta::read(git, again)?,
    );
    if wanted == got {
        return Ok(());
    }
    let happened = match wanted.author == got.author {
        false => "its author does not survive the mail format".to_owned(),
        true => {
            let lines: BTreeSet<&str> = got.message.lines().collect();
            let lost = wanted.message.lines().find(|line| !lines.contains(line));
            format!(
                "its message does not survive the mail format, from this line on: {}",
                lost.unwrap_or_default()
            )
        }
    };
    Err(Failure::usage(format!("write the patch `{id}`"), happened).help(
        "a subject cannot begin with `[`, and no line of a message can be `---` or begin with `diff ` or \
         `Index: `: git ends the message there",
    ))
}

/// Checks that `text`, a manifest that was edited as text, parses as `wanted`.
pub fn verify_manifest_edit(
    name: &str,
    text: &str,
    wanted: &Manifest,
    by_hand: &str,
) -> Result<(), Failure> {
    let place = format!("patches/{name}/{MANIFEST}");
    let got = yaml::parse::<Manifest>(&place, text).ok();
    if got.as_ref() == Some(wanted) {
        return Ok(());
    }
    Err(Failure::usage(
        format!("change {place}"),
        "kdk cannot edit this layout of YAML",
    )
    .help(by_hand.to_owned()))
}

/// Returns the content of the file `name` in the folder of `series`, if it
/// exists.
pub fn read_beside(series: &Loaded, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let path = series.dir.join(name);
    match fs::symlink_metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        _ => input::read("read the series", &path, LARGEST, Links::Refuse).map(Some),
    }
}
