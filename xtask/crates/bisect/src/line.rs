//! The line of kernels that is searched: the commits of a range with their
//! patches, or the prefixes of a series.

use std::collections::BTreeSet;

use kdk_guest::build::compiled;
use kdk_guest::build::known_inputs::KnownInputs;
use kdk_guest::request::CommitChoice;
use kdk_report::html::visible;

use crate::candidates::{self, Candidate, Candidates};
use crate::changes::{self, Change};
use crate::compose;
use crate::decide::{Point, Problem};
use crate::replay::{self, Fate, Patch, Replayed, Replays, Variant};
use crate::request::{BisectRequest, RangeChoice};
use crate::state::digest_of;
use kdk_core::cache_dir::CacheDir;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_series::applied;
use kdk_series::base::apply;
use kdk_series::base::record::Record;
use kdk_series::base::source::Source;
use kdk_series::base::{self, record, repo};
use kdk_series::load::{self, Loaded};
use kdk_series::manifest::Class;
use kdk_series::preimage;

/// The number of hexadecimal digits of a line's digest.
const DIGEST_LENGTH: usize = 32;

/// A line of kernels.
#[derive(Debug)]
pub struct Line {
    /// The commits, or the patches.
    pub candidates: Candidates,
    /// What is searched.
    pub problem: Problem,
    git: Git,
    kernels: Kernels,
}

/// The kernels of a line.
#[derive(Debug)]
enum Kernels {
    /// Commits with replayed patches.
    Replayed {
        replays: Replays,
        patches: Vec<String>,
        enabling: BTreeSet<String>,
    },
    /// The first patches of a series, from none to all.
    Prefixes {
        ids: Vec<String>,
        enabling: BTreeSet<String>,
    },
}

impl Line {
    /// Returns the kernel at position `at`: a commit of kdk's repository, which
    /// is made now if it does not exist.
    ///
    /// # Errors
    /// git fails.
    pub fn kernel(&self, at: usize, place: usize) -> Result<CommitChoice, Failure> {
        let commit = &self.candidates.commits[at].commit;
        match &self.kernels {
            Kernels::Prefixes { ids, enabling } => Ok(CommitChoice {
                commit: commit.clone(),
                patches: ids[..at].to_vec(),
                direct_boot: ids[..at].iter().any(|id| enabling.contains(id)),
                place,
            }),
            Kernels::Replayed {
                replays,
                patches,
                enabling,
            } => match replays.at(at) {
                Replayed::Conflict { patch, file } => Err(Failure::usage(
                    format!("apply the patch `{patch}` to {commit:.12}"),
                    format!("it conflicts in {file}"),
                )),
                Replayed::Clean { entries, .. } => {
                    let message = format!("kdk: {}\n", patches.join(", "));
                    Ok(CommitChoice {
                        commit: compose::commit(&self.git, commit, entries, &message)?,
                        patches: patches.clone(),
                        // A patch that has landed enables it, too.
                        direct_boot: patches.iter().any(|id| enabling.contains(id)),
                        place,
                    })
                }
            },
        }
    }

    /// Fails if the repository no longer has the commit at position `at`.
    ///
    /// # Errors
    /// It does not, or git fails.
    pub fn check_exists(&self, at: usize) -> Result<(), Failure> {
        check_exists(&self.git, &self.candidates.commits[at].commit)
    }

    /// Returns a digest of the kernels at all positions: of the commits, and of
    /// what the patches make of them.
    ///
    /// # Errors
    /// It has no JSON form.
    pub fn digest(&self) -> Result<String, Failure> {
        let commits = self.candidates.commits.iter().map(|one| &one.commit);
        let commits: Vec<&String> = commits.collect();
        match &self.kernels {
            Kernels::Prefixes { ids, .. } => digest_of(&(commits, ids), DIGEST_LENGTH),
            Kernels::Replayed {
                replays, patches, ..
            } => {
                let entries = |at| match replays.at(at) {
                    Replayed::Clean { entries, .. } => Some(entries),
                    Replayed::Conflict { .. } => None,
                };
                let entries: Vec<_> = (0..commits.len()).map(entries).collect();
                digest_of(&(commits, patches, entries), DIGEST_LENGTH)
            }
        }
    }

    /// Returns the id of the tree of a kernel.
    ///
    /// # Errors
    /// git fails.
    pub fn tree(&self, kernel: &CommitChoice) -> Result<String, Failure> {
        repo::tree_of(&self.git, &kernel.commit)
    }

    /// Returns git in kdk's repository of the base.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Returns whether the patch `id` lets the kernel boot directly.
    pub fn is_enabling(&self, id: &str) -> bool {
        let (Kernels::Replayed { enabling, .. } | Kernels::Prefixes { enabling, .. }) =
            &self.kernels;
        enabling.contains(id)
    }

    /// Describes a commit in one line.
    pub fn describe(&self, at: usize) -> String {
        let Candidate {
            commit, subject, ..
        } = &self.candidates.commits[at];
        match &self.kernels {
            // A subject can have control characters.
            Kernels::Replayed { .. } => format!("{commit:.12} {}", visible(subject)),
            Kernels::Prefixes { ids, .. } => match at.checked_sub(1) {
                None => "no patch".into(),
                Some(last) => format!("patch {at}, {}", ids[last]),
            },
        }
    }

    /// Returns why a commit cannot be tested, if a patch conflicts with it.
    pub fn conflict(&self, at: usize) -> Option<String> {
        match &self.kernels {
            Kernels::Replayed { replays, .. } => match replays.at(at) {
                Replayed::Conflict { patch, file } => {
                    Some(format!("the patch `{patch}` conflicts in {file}"))
                }
                Replayed::Clean { .. } => None,
            },
            Kernels::Prefixes { .. } => None,
        }
    }

    /// Returns the message of a commit.
    ///
    /// # Errors
    /// git fails.
    pub fn message(&self, at: usize) -> Result<String, Failure> {
        let commit = &self.candidates.commits[at].commit;
        let args = [
            "log",
            "-1",
            "--encoding=UTF-8",
            "--format=commit %H%nAuthor: %an <%ae>%nDate:   %ad%n%n%w(0,4,4)%B",
            commit,
        ];
        self.git.text("read the culprit's message", &args)
    }

    /// Returns lines about the patches: how often each was needed, had landed,
    /// or came from another series, and why commits cannot be tested.
    pub fn about_patches(&self) -> Vec<String> {
        let Kernels::Replayed {
            replays, patches, ..
        } = &self.kernels
        else {
            return Vec::new();
        };
        let all = || (0..self.candidates.commits.len()).map(|at| replays.at(at));
        let mut lines = Vec::new();
        for (number, id) in patches.iter().enumerate() {
            let mut fates: std::collections::BTreeMap<String, usize> = Default::default();
            for replayed in all() {
                let word = match replayed {
                    Replayed::Clean { fates, .. } => match &fates[number] {
                        Fate::Applied(series) => format!("applies as in {series}"),
                        Fate::Landed => "has landed".into(),
                    },
                    Replayed::Conflict { patch, file } if patch == id => {
                        format!("conflicts in {file}")
                    }
                    Replayed::Conflict { .. } => continue,
                };
                *fates.entry(word).or_default() += 1;
            }
            let counts: Vec<String> = fates
                .iter()
                .map(|(word, n)| format!("{word} on {n}"))
                .collect();
            lines.push(format!("patch {id}: {}", counts.join(", ")));
        }
        lines
    }
}

/// Opens kdk's repository of the base, with the objects of the user's as they
/// are now. Returns it, and the repository in which the user's revisions are
/// meant.
fn open(cache: &CacheDir, record: &Record) -> Result<(Git, Git), Failure> {
    let git = repo::git(cache, &record.name);
    let Some(src) = &record.src else {
        return Ok((git.clone(), git));
    };
    let source = Source::open(src)?;
    repo::add_alternate(&git, &source)?;
    Ok((git, source.git()))
}

/// Returns `request` with commit ids in place of the user's revisions, so that
/// a branch that moves changes nothing.
///
/// # Errors
/// There is no such base or revision.
pub fn resolve(cache: &CacheDir, request: &BisectRequest) -> Result<BisectRequest, Failure> {
    let record = record::find(cache, &request.base)?;
    let RangeChoice::Commits { good, bad } = &request.range else {
        return Ok(request.clone());
    };
    let (git, users) = open(cache, &record)?;
    // A commit id may be one of kdk's own repository.
    let id = |option, revision: &str| match candidates::resolve(&users, option, revision) {
        Ok(commit) => Ok(commit),
        Err(failure) => candidates::resolve(&git, option, revision).map_err(|_| failure),
    };
    Ok(BisectRequest {
        range: RangeChoice::Commits {
            good: id("--good", good)?,
            bad: id("--bad", bad)?,
        },
        ..request.clone()
    })
}

/// Returns the patches of `series` that are applied: the enabling ones and those
/// in `with`, and what they need.
///
/// # Errors
/// The series has no such patch.
pub fn needed(series: &Loaded, with: &[String]) -> Result<BTreeSet<String>, Failure> {
    let enabling = series.manifest.patches.iter();
    let enabling = enabling.filter(|patch| patch.class == Class::Enabling);
    let mut open: Vec<String> = enabling.map(|patch| patch.id.clone()).collect();
    for id in with {
        open.push(series.patch(id)?.id.clone());
    }
    let mut chosen = BTreeSet::new();
    while let Some(id) = open.pop() {
        open.extend(series.patch(&id)?.needs.iter().cloned());
        chosen.insert(id);
    }
    Ok(chosen)
}

/// Returns the patches to replay, made for files as they are in `commit` where
/// their own preimages are unknown.
fn patches(
    git: &Git,
    base: &str,
    with: &[String],
    commit: &str,
) -> Result<(Vec<Patch>, BTreeSet<String>), Failure> {
    let Some(series) = load::find(base)? else {
        return match with.first() {
            Some(_) => Err(load::must(base)
                .map(drop)
                .err()
                .unwrap_or_else(|| Failure::usage("use --with", format!("{base} has no series")))),
            None => Ok((Vec::new(), BTreeSet::new())),
        };
    };
    let chosen = needed(&series, with)?;
    let enabling = series
        .manifest
        .patches
        .iter()
        .filter(|patch| patch.class == Class::Enabling)
        .map(|patch| patch.id.clone())
        .collect();
    let changes: Vec<apply::Change> = series
        .changes()?
        .into_iter()
        .filter(|change| chosen.contains(&change.id))
        .collect();
    let mut patches = Vec::new();
    for step in preimage::steps(git, None, commit, &changes)? {
        let variants = variant(git, series.name(), step.change.as_ref())?;
        patches.push(Patch {
            id: step.id,
            variants: variants.into_iter().collect(),
        });
    }
    for name in load::names()?.iter().filter(|name| *name != base) {
        let Some(other) = load::find(name)? else {
            continue;
        };
        for change in other.changes()? {
            let Some(patch) = patches.iter_mut().find(|patch| patch.id == change.id) else {
                continue;
            };
            // A variant that this repository cannot even parse is none.
            if let Ok(steps) = preimage::steps(git, None, commit, &[change]) {
                for step in steps {
                    patch
                        .variants
                        .extend(variant(git, name, step.change.as_ref())?);
                }
            }
        }
    }
    Ok((patches, enabling))
}

fn variant(
    git: &Git,
    series: &str,
    commits: Option<&(String, String)>,
) -> Result<Option<Variant>, Failure> {
    let Some((before, after)) = commits else {
        return Ok(None);
    };
    let (before, after) = changes::difference(git, before, after)?;
    Ok(Some(Variant {
        series: series.to_owned(),
        before,
        after,
    }))
}

/// Reads the line of a request whose revisions are commit ids: the commits,
/// their patches, and which of them build the same kernel. Builds nothing.
///
/// # Errors
/// The range is not one, a patch does not exist, or git fails.
pub fn read(cx: &Context, request: &BisectRequest, width: usize) -> Result<Line, Failure> {
    let say = |text: String| cx.terminal.line(&text);
    match &request.range {
        RangeChoice::Series => prefixes(cx, request, width),
        RangeChoice::Commits { good, bad } => {
            let record = record::find(&cx.cache, &request.base)?;
            let _lock = cx.cache.lock(&base::lock_name(&request.base), &say)?;
            let (git, _) = open(&cx.cache, &record)?;
            let candidates = candidates::list(&git, good, bad)?;
            let known = KnownInputs::new(compiled::of_whole_kernel(&cx.cache, &request.base)?);
            replayed(git, candidates, request, &known, width)
        }
    }
}

/// Reads the line that is one commit of kdk's repository.
///
/// # Errors
/// A patch does not exist, or git fails.
pub fn single(cx: &Context, request: &BisectRequest, commit: &str) -> Result<Line, Failure> {
    let git = repo::git(&cx.cache, &request.base);
    let _lock = cx.cache.lock(&base::lock_name(&request.base), &|text| {
        cx.terminal.line(&text)
    })?;
    let candidates = Candidates {
        commits: vec![candidates::one(&git, commit)?],
    };
    replayed(git, candidates, request, &KnownInputs::default(), 1)
}

/// Returns the line of commits in the repository `git`, with the patches of the
/// request.
///
/// # Errors
/// A patch does not exist, or git fails.
pub fn replayed(
    git: Git,
    candidates: Candidates,
    request: &BisectRequest,
    known: &KnownInputs,
    width: usize,
) -> Result<Line, Failure> {
    let (patches, enabling) = patches(&git, &request.base, &request.with, candidates.good())?;
    let changes = changes::read(&git, &candidates)?;
    let replays = replay::replay(&git, &patches, &candidates, &changes)?;
    let points = (0..candidates.commits.len())
        .map(|at| Point {
            same_kernel: at > 0
                && replays.same_fates(at - 1, at)
                && !can_differ(known, &changes[at]),
            testable: matches!(replays.at(at), Replayed::Clean { .. }),
        })
        .collect();
    Ok(Line {
        candidates,
        problem: Problem {
            points,
            width,
            rules: request.rules(),
        },
        git,
        kernels: Kernels::Replayed {
            replays,
            patches: patches.into_iter().map(|patch| patch.id).collect(),
            enabling,
        },
    })
}

/// Returns whether a commit with these changes can have another kernel than the
/// commit before. A file that is compiled in the middle of the range only, and
/// in no earlier build, is not known; the bisection finds that out when it
/// confirms its answer with the commits themselves, and splits the group.
fn can_differ(known: &KnownInputs, changes: &[Change]) -> bool {
    let reads = |change: &Change| known.reads(&change.path, change.before.is_none());
    changes.iter().any(reads)
}

/// Returns the prefixes of the series.
fn prefixes(cx: &Context, request: &BisectRequest, width: usize) -> Result<Line, Failure> {
    let series = load::must(&request.base)?;
    let say = |text: String| cx.terminal.line(&text);
    let applied = applied::apply_series(&cx.cache, &series, &say)?;
    let candidate = |commit: &str, subject: &str| Candidate {
        commit: commit.to_owned(),
        subject: subject.to_owned(),
        is_merge: false,
    };
    let mut commits = vec![candidate(applied.start(), "no patch")];
    let mut enabling = BTreeSet::new();
    for (patch, commit) in applied.patches() {
        commits.push(candidate(commit, &patch.id));
        if patch.class == Class::Enabling {
            enabling.insert(patch.id.clone());
        }
    }
    let point = Point {
        same_kernel: false,
        testable: true,
    };
    Ok(Line {
        problem: Problem {
            points: vec![point; commits.len()],
            width,
            rules: request.rules(),
        },
        candidates: Candidates { commits },
        git: applied.git().clone(),
        kernels: Kernels::Prefixes {
            ids: series.ids(),
            enabling,
        },
    })
}

fn check_exists(git: &Git, commit: &str) -> Result<(), Failure> {
    let tried = format!("test {commit:.12}");
    let tree = format!("{commit}^{{tree}}");
    if git.run(&tried, &["cat-file", "-e", &tree])?.ok {
        return Ok(());
    }
    Err(Failure::usage(
        tried,
        "the repository no longer has it: the range was rewritten during the bisection",
    )
    .help("bisect the range as it is now"))
}

#[cfg(test)]
mod tests {
    use kdk_series::base::fixtures;

    use super::*;

    #[test]
    fn a_commit_that_is_gone_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (git, head) = fixtures::kdk_repo(dir.path());
        check_exists(&git, &head).unwrap();
        // kdk's repository borrows the objects of the user's.
        std::fs::rename(dir.path().join("src/.git"), dir.path().join("gone")).unwrap();
        let failure = check_exists(&git, &head).unwrap_err();
        assert_eq!(failure.class(), kdk_core::failure::Class::Usage);
        let text = failure.in_one_line();
        assert!(text.contains("the range was rewritten"), "{text}");
        assert!(text.contains(&head[..12]), "{text}");
    }
}
