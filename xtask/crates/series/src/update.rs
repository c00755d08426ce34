//! What a series is going to be: checked as a whole before any of it is
//! written.

use std::collections::BTreeSet;
use std::fs;

use crate::base::apply::{self, Change};
use crate::base::repo;
use crate::journal::{self, Transaction};
use crate::lint::{self, Finding, Severity};
use crate::load::{self, Loaded, MANIFEST};
use crate::manifest::Manifest;
use crate::{commit_meta, format_patch};
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::yaml;

/// What a series is going to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeriesUpdate {
    /// Its name.
    pub name: String,
    /// The text of its manifest.
    pub text: String,
    /// The commit that its patches are made on.
    pub start: String,
    /// The commit of each patch, by id, in apply order.
    pub commits: Vec<(String, String)>,
    /// Files to remove.
    pub remove: Vec<String>,
    /// More files, by name.
    pub more: Vec<(String, Vec<u8>)>,
    /// The patch that was changed by hand, if one was.
    pub own: Option<String>,
}

impl SeriesUpdate {
    /// A series as it is, with these commits.
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
            own: None,
        }
    }

    /// Checks it, then writes what differs, all or nothing; `ends` is the
    /// change to a series that is done with this. Gives the names of the files
    /// written or removed. The caller holds the lock of the series' base.
    ///
    /// # Errors
    /// It would not be a sound series: nothing is written then.
    pub fn write(
        &self,
        home: &Home,
        git: &Git,
        ends: Option<(String, String)>,
    ) -> Result<Vec<String>, Failure> {
        let dir = load::place(&self.name);
        let manifest = load::parse(&dir, &self.name, &self.text)?.manifest;
        let mut put = self.files(git, &manifest)?;
        check_commits(git, &self.start, &self.commits)?;
        lint_staged(
            &self.name,
            &self.text,
            &put,
            &self.remove,
            self.own.as_deref(),
        )?;
        put.push((MANIFEST.to_owned(), self.text.clone().into_bytes()));
        let transaction = Transaction {
            dir,
            put,
            remove: self.remove.clone(),
            ends,
        };
        journal::write(home, &self.name, &transaction)
    }

    /// The patch files and all others, by name.
    fn files(&self, git: &Git, manifest: &Manifest) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut files = Vec::new();
        for (patch, (id, commit)) in manifest.patches.iter().zip(&self.commits) {
            if patch.id != *id {
                return Err(Failure::infra(
                    "write the series",
                    format!("its manifest has `{}` where `{id}` comes", patch.id),
                ));
            }
            files.push((patch.file.clone(), format_patch::format_patch(git, commit)?));
        }
        files.extend(self.more.iter().cloned());
        Ok(files)
    }
}

/// Whether the files of `commits` (by id, on top of `start`) can be read, and
/// give again the commits that they were made of.
pub fn check_commits(git: &Git, start: &str, commits: &[(String, String)]) -> Result<(), Failure> {
    let mut changes = Vec::new();
    for (id, commit) in commits {
        let diff = format_patch::format_patch(git, commit)?;
        let id = id.clone();
        changes.push(Change { id, diff });
    }
    let again = apply::chain(git, start, &changes)?;
    for ((id, commit), again) in commits.iter().zip(&again) {
        check_roundtrip(git, id, commit, again)?;
    }
    Ok(())
}

/// Checks the series `name` as it will be: with the manifest `text`, the files
/// `put`, and without those of `remove`. What is wrong already stays so, except
/// with the patch `own`.
///
/// # Errors
/// What is wrong, the first of it with its place.
pub fn lint_staged(
    name: &str,
    text: &str,
    put: &[(String, Vec<u8>)],
    remove: &[String],
    own: Option<&str>,
) -> Result<(), Failure> {
    const TRIED: &str = "look through the new series";
    let dir = load::place(name);
    let staged =
        tempfile::tempdir().map_err(|error| Failure::io(TRIED, &std::env::temp_dir(), error))?;
    let failed = |error| Failure::io(TRIED, &dir, error);
    for entry in fs::read_dir(&dir).into_iter().flatten() {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_file() && !remove.iter().any(|gone| name == gone.as_str()) {
            fs::copy(&path, staged.path().join(name)).map_err(failed)?;
        }
    }
    for (name, content) in put {
        fs::write(staged.path().join(name), content).map_err(failed)?;
    }
    let was = match load::find(name)? {
        Some(series) => errors(&series)?,
        None => Vec::new(),
    };
    let known = |found: &Finding| {
        let is_same = |old: &Finding| (old.check, &old.text) == (found.check, &found.text);
        found.patch.as_deref() != own && was.iter().any(is_same)
    };
    let mut found = errors(&load::parse(staged.path(), name, text)?)?;
    found.retain(|finding| !known(finding));
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

fn errors(series: &Loaded) -> Result<Vec<Finding>, Failure> {
    let mut found = lint::static_findings(series)?;
    found.retain(|finding| finding.severity == Severity::Error);
    Ok(found)
}

/// Whether the commit `again`, which a patch's file gives, is the `commit`
/// that it was made of.
fn check_roundtrip(git: &Git, id: &str, commit: &str, again: &str) -> Result<(), Failure> {
    if repo::tree_of(git, commit)? != repo::tree_of(git, again)? {
        return Err(Failure::infra(
            format!("write the patch `{id}`"),
            "its file does not give the same tree again",
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
        false => "its author does not come back from a mail as it was".to_owned(),
        true => {
            let lines: BTreeSet<&str> = got.message.lines().collect();
            let lost = wanted.message.lines().find(|line| !lines.contains(line));
            format!(
                "its message does not come back from a mail as it is, from this line on: {}",
                lost.unwrap_or_default()
            )
        }
    };
    Err(Failure::usage(format!("write the patch `{id}`"), happened).help(
        "a subject cannot begin with `[`, and no line of a message can be `---` or begin with `diff ` or \
         `Index: `: git takes the message to end there",
    ))
}

/// Fails unless `text`, a manifest that was changed as text, says `wanted`.
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
        "it is not written in a form that this kit can change",
    )
    .help(by_hand.to_owned()))
}

/// The file `name` of the folder of `series`, if it is there.
pub fn read_beside(series: &Loaded, name: &str) -> Result<Option<Vec<u8>>, Failure> {
    let path = series.dir.join(name);
    match fs::read(&path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("read the series", &path, error)),
    }
}
