//! Exports a series for FreeBSD's reviewers.

mod check;
pub mod cover;
pub mod gate;
pub mod github;
pub mod mail;
pub mod phabricator;

use crate::applied::AppliedSeries;
use crate::base::apply::Change;
use crate::base::repo;
use crate::load::Loaded;
use crate::manifest::{Class, Patch, Status};
use crate::person::person;
use crate::{commit_meta, trailers};
use kdk_core::failure::Failure;
use kdk_core::git::{Author, Git};

pub use check::applied_tree;

const TRIED: &str = "export the series";

/// The patches of an export, as commits with their complete messages.
pub struct Exported<'a> {
    /// The repository that kdk has of the base.
    pub git: Git,
    /// The commit below the first patch.
    pub start: String,
    /// Each patch with its commit, in apply order.
    pub patches: Vec<(&'a Patch, String)>,
    /// The id of the tree with all of them.
    pub tree: String,
    /// The sender: the person who attests the last patch.
    pub sender: Author,
}

impl Exported<'_> {
    /// Returns the commit of the last patch.
    pub fn tip(&self) -> &str {
        self.patches
            .last()
            .map_or(&self.start, |(_, commit)| commit)
    }
}

/// Returns the patches `ids` and those they need, in apply order; without ids,
/// all that are meant for FreeBSD and have not landed.
pub fn chosen(series: &Loaded, ids: &[String]) -> Result<Vec<String>, Failure> {
    let goes =
        |patch: &Patch| patch.class != Class::Local && patch.upstream.status != Status::Local;
    let mut wanted: Vec<&str> = Vec::new();
    for id in ids {
        let patch = series.patch(id)?;
        if !goes(patch) {
            return Err(
                Failure::usage(format!("export the patch `{id}`"), "it is local").help(
                    "for a patch that is meant for FreeBSD, change its class and upstream.status",
                ),
            );
        }
        wanted.push(id);
    }
    if ids.is_empty() {
        let patches = series.manifest.patches.iter();
        let new = patches.filter(|patch| goes(patch) && patch.upstream.status != Status::Landed);
        wanted.extend(new.map(|patch| patch.id.as_str()));
    }
    // A patch comes after those it needs.
    for patch in series.manifest.patches.iter().rev() {
        if wanted.contains(&patch.id.as_str()) {
            wanted.extend(patch.needs.iter().map(String::as_str));
        }
    }
    let all = series.ids();
    let chosen: Vec<String> = all
        .into_iter()
        .filter(|id| wanted.contains(&id.as_str()))
        .collect();
    match chosen.is_empty() {
        true => Err(Failure::usage(
            TRIED,
            "none of its patches is meant for FreeBSD and has not landed",
        )),
        false => Ok(chosen),
    }
}

/// Commits the patches `ids` with their complete messages. `sign` adds the
/// Signed-off-by of the person who attests each.
pub fn exported<'a>(
    applied: &AppliedSeries<'a>,
    ids: &[String],
    sign: bool,
) -> Result<Exported<'a>, Failure> {
    let series = applied.series;
    let git = applied.git();
    let start = applied.start().to_owned();
    let changes: Vec<Change> = series
        .changes()?
        .into_iter()
        .filter(|change| ids.contains(&change.id))
        .collect();
    let commits = crate::base::apply::chain(git, &start, &changes)?;
    let mut patches = Vec::new();
    let mut parent = start.clone();
    let mut sender = None;
    for (change, commit) in changes.iter().zip(commits) {
        let patch = series.patch(&change.id)?;
        let mut meta = commit_meta::read(git, &commit)?;
        let mut lines = trailers::of_patch(patch);
        let person = signer(patch, &meta.author);
        if sign {
            let value = format!("{} <{}>", person.name, person.email);
            let key = "Signed-off-by";
            lines.push(trailers::Trailer { key, value });
        }
        meta.message = trailers::add(&meta.message, &lines);
        let git = git.clone().committer(&person);
        parent = commit_meta::commit(&git, &repo::tree_of(&git, &commit)?, &parent, &meta)?;
        patches.push((patch, parent.clone()));
        sender = Some(person);
    }
    let sender = sender.ok_or_else(|| Failure::usage(TRIED, "it has no patch"))?;
    Ok(Exported {
        git: git.clone(),
        tree: repo::tree_of(git, &parent)?,
        start,
        patches,
        sender,
    })
}

/// Returns the person who attests a patch, else its author. The date is the
/// author's, so that exports are reproducible.
fn signer(patch: &Patch, author: &Author) -> Author {
    match person(&patch.provenance.attested_by) {
        Some((name, email)) => Author {
            name,
            email,
            date: author.date.clone(),
        },
        None => author.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::tests::series;

    #[test]
    fn what_is_needed_goes_along() {
        let all = series(&[("a", "", ""), ("b", "a", ""), ("c", "", ""), ("d", "b", "")]);
        for (ids, want) in [
            (vec![], vec!["a", "b", "c", "d"]),
            (vec!["d"], vec!["a", "b", "d"]),
            (vec!["c", "a"], vec!["a", "c"]),
        ] {
            let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
            assert_eq!(chosen(&all, &ids).unwrap(), want);
        }
    }

    #[test]
    fn local_patches_stay() {
        let mut all = series(&[("a", "", ""), ("b", "", "")]);
        all.manifest.patches[0].class = Class::Local;
        all.manifest.patches[1].upstream.status = Status::Landed;
        assert_eq!(chosen(&all, &["a".into()]).unwrap_err().exit_code(), 2);
        assert_eq!(chosen(&all, &[]).unwrap_err().exit_code(), 2);
        assert_eq!(chosen(&all, &["b".into()]).unwrap(), ["b"]);
    }
}
