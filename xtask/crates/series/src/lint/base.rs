//! The checks on a base: applies each patch, and compares the results.

use std::fs;
use std::sync::Arc;

use crate::applied::{self, LockedBase};
use crate::base::apply::{self, Change};
use crate::base::{definition, record};
use crate::format_patch;
use crate::lint::finding::{Check, Finding, LintReport, Severity, Spot};
use crate::lint::manifest;
use crate::lint::mdoc;
use crate::lint::patch::{CheckedPatch, Sources};
use crate::lint::remark::{At, Remark};
use crate::lint::style;
use crate::load::Loaded;
use crate::manifest::Status;
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::{Class as Fault, Failure};
use kdk_core::git::Git;
use kdk_core::yaml::places::{self, PathSegment};
use kdk_doctor::checks;

/// Runs the checks on the base `other`, or on the series' own and on its
/// tracked bases, as far as they were added.
pub fn check(
    cache: &CacheDir,
    series: &Loaded,
    checked: &[CheckedPatch],
    other: Option<&str>,
    say: &dyn Fn(String),
    report: &mut LintReport,
) -> Result<(), Failure> {
    let own = series.name();
    let name = other.unwrap_or(own);
    let added = record::all(cache)?;
    if let Some(failure) = definition::find(name).err() {
        if other.is_some() {
            return Err(failure);
        }
        let text = format!("no base is called '{own}'");
        let help = "a series has the name of its base: `cargo xtask base list` lists the bases";
        report
            .findings
            .push(in_manifest(series, &["series", "name"], text, help));
        report
            .not_checked
            .push(format!("{CHECKS}: there is no base {name}"));
    } else if added.iter().all(|record| record.name != name) {
        report.not_checked.push(format!(
            "{CHECKS}: the base {name} is not added (`cargo xtask base add {name}`)"
        ));
    } else {
        let base = applied::lock_base(cache, name, say)?;
        let mut on = OnBase {
            series,
            checked,
            base: &base,
            report,
        };
        on.check(name == own)?;
    }
    if other.is_none() {
        for track in &series.manifest.track {
            tracked(cache, series, checked, track, say, report)?;
        }
    }
    Ok(())
}

const CHECKS: &str = "base, applies, canonical, landed, style, mdoc of changed pages";

fn in_manifest(series: &Loaded, keys: &[&str], text: String, help: &str) -> Finding {
    let path: Vec<PathSegment<'_>> = keys.iter().map(|key| PathSegment::Key(key)).collect();
    Finding {
        check: Check::Base,
        patch: None,
        severity: Severity::Error,
        text,
        help: help.to_owned(),
        spot: Some(Spot {
            name: manifest::display_path(series.name()),
            source: series.text.as_str().into(),
            span: places::span(&series.text, &path),
        }),
    }
}

struct OnBase<'a> {
    series: &'a Loaded,
    checked: &'a [CheckedPatch],
    base: &'a LockedBase,
    report: &'a mut LintReport,
}

impl OnBase<'_> {
    fn check(&mut self, is_own: bool) -> Result<(), Failure> {
        if is_own {
            self.identity()?;
        } else {
            let why = format!(
                "base, canonical: {} is not the series' own base",
                self.name()
            );
            self.report.not_checked.push(why);
        }
        let applied = self.apply()?;
        self.style()?;
        self.pages(&applied)?;
        if is_own {
            self.canonical(&applied)?;
        }
        Ok(())
    }

    fn name(&self) -> &str {
        &self.base.record.name
    }

    fn git(&self) -> &Git {
        &self.base.resolved.git
    }

    fn say(&mut self, n: usize, remark: Remark) {
        let text = self.checked[n].text.clone();
        let sources = Sources {
            series: self.series,
            n,
            source: text.unwrap_or_else(|| Arc::from("")),
            body: "",
        };
        self.report.findings.push(sources.finding(remark));
    }

    fn id(&self, n: usize) -> &str {
        &self.series.manifest.patches[n].id
    }

    /// Checks that the base is the one in the manifest.
    fn identity(&mut self) -> Result<(), Failure> {
        let (series, base) = (self.series, &self.series.manifest.base);
        let osreldate = self.base.resolved.osreldate;
        if base.osreldate != osreldate {
            let wanted = base.osreldate;
            let text = format!("osreldate {wanted} but sys/sys/param.h says {osreldate}");
            let help = "rebase the series onto this base: cargo xtask patches rebase";
            let found = in_manifest(series, &["base", "osreldate"], text, help);
            self.report.findings.push(found);
        }
        if let Some(commit) = &base.commit {
            let args = [
                "merge-base",
                "--is-ancestor",
                commit,
                &self.base.resolved.commit,
            ];
            let is_there = self.git().run("find the base's commit", &args)?.ok;
            let at = self.head()?;
            let is_it = at.len() >= commit.len() && at.starts_with(commit.as_str());
            if !is_it {
                let state = if is_there { "has moved on to" } else { "is at" };
                let text = format!("commit {commit} but the base {} {state} {at}", self.name());
                let help = "check out that commit in the base's source, or remove base.commit: osreldate is \
                    checked in any case";
                let found = in_manifest(series, &["base", "commit"], text, help);
                self.report.findings.push(found);
            }
        }
        Ok(())
    }

    /// Returns the base's own commit, below the commit of the user's
    /// uncommitted changes.
    fn head(&self) -> Result<String, Failure> {
        let opened = &self.base.resolved;
        let name = match opened.uncommitted.is_empty() {
            true => opened.commit.clone(),
            false => format!("{}^", opened.commit),
        };
        self.git()
            .text("find the base's commit", &["rev-parse", &name])
    }

    /// Applies every patch that applies. Returns the parent and the commit of
    /// each, and whether all patches before it in the list are below it.
    fn apply(&mut self) -> Result<Vec<Option<Applied>>, Failure> {
        let start = self.base.resolved.commit.clone();
        let (mut below, mut done) = (start.clone(), Vec::<Change>::new());
        let (mut all, mut is_whole) = (Vec::new(), true);
        // Which patches the tree has, from the series or by itself.
        let mut there = Vec::new();
        for n in 0..self.checked.len() {
            let mut is_there = false;
            let applied = match self.change(n, &there) {
                None => None,
                Some(change) => {
                    done.push(change);
                    match apply::commit(self.git(), &start, &done) {
                        Ok(commit) => {
                            let parent = std::mem::replace(&mut below, commit.clone());
                            Some(Applied {
                                parent,
                                commit,
                                is_whole,
                            })
                        }
                        Err(failure) if failure.class() == Fault::Usage => {
                            let change = done.pop();
                            if let Some(change) = change {
                                is_there = self.misfit(n, &below, &change)?;
                            }
                            None
                        }
                        Err(failure) => return Err(failure),
                    }
                }
            };
            is_whole &= applied.is_some();
            there.push(is_there || applied.is_some());
            all.push(applied);
        }
        Ok(all)
    }

    /// Returns patch `n`, unless it cannot be read or needs a patch that is
    /// missing.
    fn change(&mut self, n: usize, there: &[bool]) -> Option<Change> {
        let id = self.id(n).to_owned();
        let text = self.checked[n].text.as_ref()?;
        let diff = text.as_bytes().to_vec();
        let patches = &self.series.manifest.patches;
        let is_lacking = |need: &&String| {
            let at = patches.iter().position(|patch| patch.id == **need);
            at.is_none_or(|at| there.get(at) != Some(&true))
        };
        if let Some(need) = patches[n].needs.iter().find(is_lacking) {
            let why = format!("{id} on the base {}: it needs {need}", self.name());
            self.report.not_checked.push(why);
            return None;
        }
        Some(Change { id, diff })
    }

    /// Reports why patch `n` does not apply to the tree of `below`. Returns
    /// whether the tree has it already.
    fn misfit(&mut self, n: usize, below: &str, change: &Change) -> Result<bool, Failure> {
        if apply::is_there(self.git(), below, change)? {
            let name = self.name().to_owned();
            let landed = self.landed_as(below, n)?;
            self.say(n, landed_on(&name, landed.as_deref(), DROP));
            return Ok(true);
        }
        let rejects = apply::rejects(self.git(), below, change)?;
        for reject in rejects {
            self.say(n, misfit(&reject));
        }
        Ok(false)
    }

    fn landed_as(&self, commit: &str, n: usize) -> Result<Option<String>, Failure> {
        let Some(text) = &self.checked[n].text else {
            return Ok(None);
        };
        landed_as(self.git(), commit, self.id(n), text)
    }

    fn style(&mut self) -> Result<(), Failure> {
        if self.checked.iter().all(|checked| checked.text.is_none()) {
            return Ok(());
        }
        let Some(script) = self.blob(&self.base.resolved.commit.clone(), style::SCRIPT)? else {
            let why = format!("style: the base {} has no {}", self.name(), style::SCRIPT);
            self.report.not_checked.push(why);
            return Ok(());
        };
        if !checks::has_perl_modules() {
            self.report.findings.push(style::no_perl());
            return Ok(());
        }
        let failed =
            |path: &std::path::Path, error| Failure::io("check the style of a patch", path, error);
        let dir = tempfile::tempdir().map_err(|error| failed(&std::env::temp_dir(), error))?;
        let path = dir.path().join("checkstyle9.pl");
        fs::write(&path, script).map_err(|error| failed(&path, error))?;
        for (n, checked) in self.checked.iter().enumerate() {
            let Some(text) = &checked.text else { continue };
            // A copy, as the user's file may change meanwhile.
            let patch = dir.path().join("patch");
            fs::write(&patch, text.as_bytes()).map_err(|error| failed(&patch, error))?;
            for remark in style::run(&path, &patch)? {
                self.say(n, remark);
            }
        }
        Ok(())
    }

    /// Returns the file `path` of `commit`, if it exists.
    fn blob(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let name = format!("{commit}:{path}");
        let ran = self
            .git()
            .run("read a file of the base", &["cat-file", "blob", &name])?;
        Ok(ran.ok.then_some(ran.stdout))
    }

    fn pages(&mut self, applied: &[Option<Applied>]) -> Result<(), Failure> {
        for (n, applied) in applied.iter().enumerate() {
            let touched = self.checked[n].touched.iter();
            let mut pages = touched.filter(|file| mdoc::is_page(&file.path)).peekable();
            let Some(applied) = applied else {
                if self.checked[n].text.is_some() && pages.peek().is_some() {
                    let why = format!("the pages of {}: it is not applied", self.id(n));
                    self.report.not_checked.push(why);
                }
                continue;
            };
            for page in pages {
                let page = &page.path;
                let Some(after) = self.blob(&applied.commit, page)? else {
                    continue;
                };
                if !mdoc::has_mandoc() {
                    self.say(n, mdoc::no_mandoc(page));
                    continue;
                }
                let before = self.blob(&applied.parent, page)?.unwrap_or_default();
                let before = match before.is_empty() {
                    true => Vec::new(),
                    false => mdoc::check(&before)?,
                };
                for complaint in mdoc::introduced(&before, mdoc::check(&after)?) {
                    self.say(n, mdoc::remark(page, complaint));
                }
            }
        }
        Ok(())
    }

    /// Compares the patch files with the output of `git format-patch`.
    fn canonical(&mut self, applied: &[Option<Applied>]) -> Result<(), Failure> {
        for (n, applied) in applied.iter().enumerate() {
            let (Some(applied), Some(text)) = (applied, &self.checked[n].text) else {
                continue;
            };
            if !applied.is_whole {
                let why = format!(
                    "canonical of {}: a patch before it does not apply",
                    self.id(n)
                );
                self.report.not_checked.push(why);
                continue;
            }
            let written = format_patch::format_patch(self.git(), &applied.commit)?;
            let written = String::from_utf8_lossy(&written);
            if *written != **text {
                let remark = differs(text, &written);
                self.say(n, remark);
            }
        }
        Ok(())
    }
}

/// A patch that applies.
#[derive(Debug)]
struct Applied {
    /// The commit that it was applied to.
    parent: String,
    /// The commit of the patch.
    commit: String,
    /// Whether all patches before it in the list are below it.
    is_whole: bool,
}

fn misfit(reject: &apply::Reject) -> Remark {
    let (at, text) = match &reject.hunk {
        Some(hunk) => (
            At::Line(hunk.at),
            format!(
                "hunk {} of {} does not match at line {} (fuzz is 0); run 'cargo xtask patches \
                 rebase'",
                hunk.number, reject.file, reject.line
            ),
        ),
        None => (
            At::Patch,
            format!("{reject}; run 'cargo xtask patches rebase'"),
        ),
    };
    let help = "the patch was made for another tree";
    Remark::error(Check::Applies, at, text, help)
}

/// Returns the remark about the first line that differs from git's output.
fn differs(text: &str, written: &str) -> Remark {
    let same = text.lines().zip(written.lines());
    let line = same.take_while(|(a, b)| a == b).count();
    Remark::error(
        Check::Canonical,
        At::Line(line),
        "differs from its re-export; run 'cargo xtask patches refresh'",
        match written.lines().nth(line) {
            Some("") => "git writes an empty line here".into(),
            Some(wanted) => format!("git writes here: {wanted}"),
            None => "git writes nothing more here".into(),
        },
    )
}

const DROP: &str = "the base has it: remove the patch from the list and delete its file";
const SET: &str = "upstream: {status: landed}; the patch is dropped with the next base";

fn landed_on(base: &str, commit: Option<&str>, help: &str) -> Remark {
    let landed = commit.map_or(String::new(), |commit| format!(" (landed as {commit})"));
    Remark::error(
        Check::Landed,
        At::Manifest(vec!["upstream"]),
        format!("is empty on {base}{landed}; set status: landed"),
        help,
    )
}

/// Returns the commit in the history of `commit` that has the subject of a
/// patch, as far as the history is there.
fn landed_as(git: &Git, commit: &str, id: &str, text: &str) -> Result<Option<String>, Failure> {
    if !crate::mail::is_mail(text.as_bytes()) {
        return Ok(None);
    }
    let subject = crate::mail::read(id, text.as_bytes())?.subject;
    let grep = format!("--grep={subject}");
    let args = [
        "log",
        "-1",
        "--format=%h%x09%s",
        "--fixed-strings",
        &grep,
        commit,
    ];
    let line = git.run("find a patch in the history", &args)?.text();
    let found = line.split_once('\t');
    Ok(found
        .filter(|(_, found)| *found == subject)
        .map(|(hash, _)| hash.to_owned()))
}

/// Reports the patches that have landed on a base that the series tracks.
fn tracked(
    cache: &CacheDir,
    series: &Loaded,
    checked: &[CheckedPatch],
    track: &str,
    say: &dyn Fn(String),
    report: &mut LintReport,
) -> Result<(), Failure> {
    let mut name = None;
    for record in record::all(cache)? {
        if record.name == track || record.definition()?.branch == track {
            name = Some(record.name);
            break;
        }
    }
    let Some(name) = name else {
        let why = format!("landed on {track}: no base of that branch is added");
        report.not_checked.push(why);
        return Ok(());
    };
    if name == series.name() {
        return Ok(());
    }
    let base = applied::lock_base(cache, &name, say)?;
    let (git, commit) = (&base.resolved.git, &base.resolved.commit);
    for (n, patch) in series.manifest.patches.iter().enumerate() {
        let Some(text) = &checked[n].text else {
            continue;
        };
        if patch.upstream.status == Status::Landed {
            continue;
        }
        let change = Change {
            id: patch.id.clone(),
            diff: text.as_bytes().to_vec(),
        };
        if apply::is_there(git, commit, &change)? {
            let landed = landed_as(git, commit, &patch.id, text)?;
            let sources = Sources {
                series,
                n,
                source: Arc::clone(text),
                body: "",
            };
            let remark = landed_on(track, landed.as_deref(), SET);
            report.findings.push(sources.finding(remark));
        }
    }
    Ok(())
}
