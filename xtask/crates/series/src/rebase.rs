//! A series taken to the commit that its base has come to, or to another base.

use std::fs;

use crate::base::repo;
use crate::bind::{self, Held};
use crate::draft::{self, Draft};
use crate::load::{self, Loaded};
use crate::manifest::{Manifest, text};
use crate::work::{self, Desk, Kind, Work};
use crate::{going, reconstruct};
use kdk_core::cache_dir::Home;
use kdk_core::failure::Failure;
use kdk_core::yaml;
use kdk_core::yaml::places::Step::{Item, Key};

/// Begins to take `series` to what `onto` is now, its own base if none is
/// named.
pub fn begin(
    home: &Home,
    series: &Loaded,
    onto: Option<&str>,
    say: &dyn Fn(String),
) -> Result<Work, Failure> {
    let name = series.name();
    let base = onto.unwrap_or(name);
    let tried = format!("rebase {name}");
    work::none_open(home, name, &tried)?;
    if base != name {
        must_not_be(base, &tried)?;
    }
    let held = bind::hold(home, base, say)?;
    // Another one may have begun before this one had the lock.
    work::none_open(home, name, &tried)?;
    // Old contents may be in the repository of the series' own base alone.
    let lender = (base != name).then(|| repo::git(home, name));
    let lender = lender.filter(|git| git.git_dir().exists());
    let changes = series.changes()?;
    let (git, start) = (&held.opened.git, &held.opened.commit);
    let steps = reconstruct::steps(git, lender.as_ref(), start, &changes)?;
    let work = Work {
        kind: Kind::Rebase,
        series: name.to_owned(),
        dir: load::place(name),
        digest: work::digest(Some(series))?,
        base: base.to_owned(),
        start: start.clone(),
        osreldate: held.opened.osreldate,
        steps,
        done: Vec::new(),
        desk: Desk::Free,
    };
    work::begin(home, &work)?;
    work.save(home)?;
    Ok(work)
}

/// Fails if `base` has a series.
fn must_not_be(base: &str, tried: &str) -> Result<(), Failure> {
    let dir = load::place(base);
    if fs::symlink_metadata(&dir).is_err() {
        return Ok(());
    }
    Err(Failure::usage(tried, format!("{} is there already", dir.display())).help(
        "a series is only put where there is none: move that folder away, or bring its own patches up to \
         date (`cargo xtask patches rebase --series NAME`)",
    ))
}

/// Goes on with a rebase to its end, and writes the series. Gives lines for
/// the user.
///
/// # Errors
/// A patch does not merge, or the series would not be sound: nothing is
/// written, and all stays where it is.
pub fn go_on(
    home: &Home,
    work: &mut Work,
    stop: &dyn Fn() -> bool,
    say: &dyn Fn(String),
) -> Result<Vec<String>, Failure> {
    let held = bind::hold(home, &work.base, say)?;
    work::still(home, work)?;
    let series = load::must(&work.series)?;
    work::unchanged(work, home, Some(&series))?;
    if work.base != work.series {
        must_not_be(&work.base, &format!("finish the {}", work.what()))?;
    }
    let stays = format!("nothing was written. When it is mended:\n{}", work.go_on());
    let at = work.done.len();
    let before = work.tip().to_owned();
    going::take_desk(home, work, &mut |text| say(text))?;
    // Said now, and not after the conflicts of all the others.
    if let Some(done) = work.done.get(at)
        && let Some(commit) = &done.commit
    {
        let commits = [(done.id.clone(), commit.clone())];
        draft::check(&work.git(home), &before, &commits)
            .map_err(|failure| failure.and_help(&stays))?;
    }
    work.save(home)?;
    going::advance(home, work, stop, &mut |text| say(text))?;
    let draft = draft(work, &series, &held)?;
    let ends = Some((work.series.clone(), work.name().to_owned()));
    let written = draft
        .write(home, &work.git(home), ends)
        .map_err(|failure| failure.and_help(&stays))?;
    let mut lines = landed_lines(work);
    lines.extend(
        written
            .iter()
            .map(|name| match draft.remove.contains(name) {
                true => format!("{name}: removed"),
                false => format!("{name}: written"),
            }),
    );
    let commit = work.start.get(..12).unwrap_or(&work.start);
    lines.push(match written.is_empty() {
        true => format!("{}: fits {} at {commit} as it is", work.series, work.base),
        false => format!(
            "{}: {} patches on commit {commit}",
            work.base,
            draft.commits.len()
        ),
    });
    Ok(lines)
}

/// The ids of patches that change nothing any more.
fn landed(work: &Work) -> Vec<&str> {
    let empty = work.done.iter().filter(|done| done.commit.is_none());
    empty.map(|done| done.id.as_str()).collect()
}

fn landed_lines(work: &Work) -> Vec<String> {
    let (series, base) = (&work.series, &work.base);
    let line = |id: &str| match series == base {
        true => format!(
            "{id}: empty on {base}, so it has landed: taken out of the series; where another series keeps \
             it, set `upstream: {{status: landed}}`"
        ),
        false => format!(
            "{id}: empty on {base}, so it has landed: left out; set `upstream: {{status: landed}}` for it in \
             patches/{series}/series.yaml"
        ),
    };
    landed(work).into_iter().map(line).collect()
}

fn draft(work: &Work, series: &Loaded, held: &Held) -> Result<Draft, Failure> {
    let (text, wanted) = manifest(work, series, held)?;
    draft::says(
        &work.base,
        &text,
        &wanted,
        &format!(
            "write the list of patches with a line for each `- id:`, and `needs` in brackets, then:\n{}",
            work.go_on()
        ),
    )?;
    let elsewhere = work.base != work.series;
    let cover = match &series.manifest.cover {
        Some(cover) if elsewhere => draft::beside(series, cover)?.map(|text| (cover.clone(), text)),
        _ => None,
    };
    let landed = landed(work);
    let gone = series
        .manifest
        .patches
        .iter()
        .filter(|patch| landed.contains(&patch.id.as_str()));
    Ok(Draft {
        name: work.base.clone(),
        text,
        start: work.start.clone(),
        commits: work
            .done
            .iter()
            .filter_map(|done| Some((done.id.clone(), done.commit.clone()?)))
            .collect(),
        remove: match elsewhere {
            true => Vec::new(),
            false => gone.map(|patch| patch.file.clone()).collect(),
        },
        more: cover.into_iter().collect(),
        own: None,
    })
}

/// The new manifest as text, and what it has to say.
fn manifest(work: &Work, series: &Loaded, held: &Held) -> Result<(String, Manifest), Failure> {
    let (mut text, mut wanted) = (series.text.clone(), series.manifest.clone());
    let base = |key| [Key("base"), Key(key)];
    if wanted.base.osreldate != work.osreldate {
        wanted.base.osreldate = work.osreldate;
        text = text::set(&text, &base("osreldate"), &work.osreldate.to_string());
    }
    if wanted
        .base
        .commit
        .as_ref()
        .is_some_and(|commit| *commit != work.start)
    {
        wanted.base.commit = Some(work.start.clone());
        text = text::set(&text, &base("commit"), &work.start);
    }
    if work.base != work.series {
        let definition = &held.definition;
        wanted.series.name = work.base.clone();
        wanted.series.revision = 1;
        wanted.base.repo = definition.repo.clone();
        wanted.base.branch = definition.branch.clone();
        for (path, value) in [
            ([Key("series"), Key("name")], &work.base),
            ([Key("series"), Key("revision")], &"1".to_owned()),
            (base("repo"), &definition.repo),
            (base("branch"), &definition.branch),
        ] {
            text = text::set(&text, &path, value);
        }
    }
    for id in landed(work) {
        text = without(&text, &mut wanted, id)?;
    }
    Ok((text, wanted))
}

/// `text` without the patch `id`, and without any need for it.
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
    // An early look, so that the next change finds its place.
    yaml::parse::<Manifest>("the new manifest", &text)?;
    Ok(text)
}
