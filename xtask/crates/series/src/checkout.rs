//! Commits the series on a user's checkout with `git am`. Nothing else in this
//! crate writes to a user's tree. It commits all patches, or leaves the
//! checkout unchanged.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::base::apply::{Change, reject};
use crate::base::osreldate;
use crate::base::source::Source;
use crate::drift::target::OpenTarget;
use crate::load::Loaded;
use crate::mail;
use crate::temp_repo::TempRepo;
use kdk_core::failure::Failure;
use kdk_core::git::{Git, Ran, failed};

/// The files that git keeps while a command is in progress, the name of the
/// state, and the command.
const UNFINISHED: [(&str, &str, &str); 7] = [
    ("rebase-merge", "a rebase", "rebase"),
    ("rebase-apply/applying", "git am", "am"),
    ("rebase-apply", "a rebase", "rebase"),
    ("MERGE_HEAD", "a merge", "merge"),
    ("CHERRY_PICK_HEAD", "a cherry-pick", "cherry-pick"),
    ("REVERT_HEAD", "a revert", "revert"),
    ("sequencer", "a cherry-pick or revert", "cherry-pick"),
];

/// A checkout that is ready for new commits.
#[derive(Debug)]
pub struct Checkout {
    source: Source,
    /// git in the user's name, with the work tree.
    git: Git,
    /// The commit at HEAD.
    head: String,
    /// The branch at HEAD; `None` if it is detached.
    on: Option<String>,
    /// The branch to create.
    begin: Option<String>,
    tried: String,
}

/// A new commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// The abbreviated hash.
    pub short: String,
    /// The subject of the commit.
    pub subject: String,
}

impl Checkout {
    /// Opens the checkout `dir` to commit the series `name` on the branch at
    /// HEAD, or on the new branch `begin`.
    ///
    /// # Errors
    /// The directory is no checkout, is not clean, has a git command in
    /// progress, or git has no committer identity. Nothing is changed.
    pub fn open(dir: &Path, name: &str, begin: Option<&str>) -> Result<Self, Failure> {
        let tried = format!("commit the series {name} on {}", dir.display());
        let source = source(&tried, dir)?;
        let git = Git::new(&source.git_dir)
            .work_tree(&source.dir)
            .in_users_name()
            // The fuzz is 0, whatever the user's settings are.
            .setting("apply.ignoreWhitespace=no");
        nothing_unfinished(&tried, &source)?;
        let Some(head) = git.commit_id(&tried, "HEAD")? else {
            return Err(Failure::usage(tried, "it has no commits")
                .help("check out the base of the series in it"));
        };
        let on = git.run(&tried, &["symbolic-ref", "--quiet", "HEAD"])?;
        let checkout = Self {
            head,
            on: on.ok.then(|| on.text()),
            begin: begin.map(str::to_owned),
            source,
            git,
            tried,
        };
        checkout.has_a_branch()?;
        checkout.is_clean()?;
        checkout.knows_its_user()?;
        Ok(checkout)
    }

    /// Returns the branch that gets the commits.
    pub fn branch(&self) -> &str {
        let on = self.on.as_deref().unwrap_or_default();
        let on = on.strip_prefix("refs/heads/").unwrap_or(on);
        self.begin.as_deref().unwrap_or(on)
    }

    /// Commits `series`, or leaves the checkout unchanged.
    pub fn commit(&self, series: &Loaded) -> Result<Vec<Made>, Failure> {
        let changes = series.changes()?;
        self.is_the_base(series)?;
        self.takes(&changes)?;
        let orig = self.git.run(&self.tried, &ORIG_HEAD)?;
        let orig = orig.ok.then(|| orig.text());
        let files = files(&self.tried, series)?;
        if let Some(branch) = &self.begin {
            let name = format!("refs/heads/{branch}");
            let args = ["update-ref", &name, &self.head, ""];
            self.git.text(&self.tried, &args)?;
            self.git
                .text(&self.tried, &["symbolic-ref", "HEAD", &name])?;
        }
        let mut args: Vec<PathBuf> = ["am", "--quiet", "--no-3way", "--keep-cr", "--no-scissors"]
            .into_iter()
            .chain(["--no-message-id", "--whitespace=nowarn"])
            .map(PathBuf::from)
            .collect();
        args.extend(files);
        let ran = self.git.run(&self.tried, &args)?;
        if ran.ok {
            return self.made();
        }
        let stopped = self.stopped(&ran, &changes);
        match self.put_back(orig.as_deref()) {
            Ok(()) => Err(stopped
                .help("the checkout is unchanged; fix what git reports, and run this again")),
            Err(back) => Err(stopped.help(format!(
                "the checkout could not be restored ({}): run `git -C {at} am --abort`, then `git -C {at} \
                    reset --keep {head}`",
                back.in_one_line(),
                at = self.source.dir.display(),
                head = self.head
            ))),
        }
    }

    fn has_a_branch(&self) -> Result<(), Failure> {
        let at = self.source.dir.display();
        let refuse = |what: String, help: &str| Err(Failure::usage(&self.tried, what).help(help));
        let Some(branch) = &self.begin else {
            if self.on.is_some() {
                return Ok(());
            }
            let what = format!(
                "its HEAD is detached at {:.12}: no branch would get the commits",
                self.head
            );
            return refuse(what, "create a branch for them: --branch NAME");
        };
        let args = ["check-ref-format", "--branch", branch];
        if branch.starts_with('-') || !self.git.run(&self.tried, &args)?.ok {
            let what = format!("`{branch}` is not a valid branch name");
            return refuse(what, "see git-check-ref-format(1)");
        }
        let name = format!("refs/heads/{branch}");
        let args = ["show-ref", "--verify", "--quiet", &name];
        if self.git.run(&self.tried, &args)?.ok {
            let what = format!("the branch {branch} exists already");
            let help = format!(
                "choose another name, or use that branch: git -C {at} switch {branch}, then run this \
                    without --branch"
            );
            return refuse(what, &help);
        }
        Ok(())
    }

    fn is_clean(&self) -> Result<(), Failure> {
        let args = ["status", "--porcelain", "--untracked-files=no"];
        let ran = self.git.must(&self.tried, &args, b"")?;
        // `XY PATH`, where X may be a space.
        let text = String::from_utf8_lossy(&ran.stdout).into_owned();
        let changed: Vec<&str> = text.lines().filter_map(|line| line.get(3..)).collect();
        let what = match changed[..] {
            [] => return Ok(()),
            [one] => format!("{one} has uncommitted changes"),
            [first, ..] => format!(
                "{} files have uncommitted changes, {first} among them",
                changed.len()
            ),
        };
        let at = self.source.dir.display();
        Err(Failure::usage(&self.tried, what).help(format!(
            "commit them, or stash them: git -C {at} stash (and git stash pop afterwards)"
        )))
    }

    /// The committer is the user's configured identity, and not git's guess.
    fn knows_its_user(&self) -> Result<(), Failure> {
        let git = self.git.clone().setting("user.useConfigOnly=true");
        let ran = git.run(&self.tried, &["var", "GIT_COMMITTER_IDENT"])?;
        if ran.ok {
            return Ok(());
        }
        Err(
            Failure::usage(&self.tried, "git has no committer identity").help(
                "set it: git config --global user.name 'YOUR NAME', and git config --global user.email \
                    YOU@EXAMPLE.ORG",
            ),
        )
    }

    fn is_the_base(&self, series: &Loaded) -> Result<(), Failure> {
        let wanted = series.manifest.base.osreldate;
        match osreldate::read(&self.source.git(), &self.head)? {
            Some(found) if found != wanted => Err(Failure::usage(
                &self.tried,
                format!("it is FreeBSD {found}, and the series is for {wanted}"),
            )
            .help(format!(
                "check out {} there; `cargo xtask patches drift --to {}` reports which patches apply to it",
                series.manifest.base.branch,
                self.source.dir.display()
            ))),
            _ => Ok(()),
        }
    }

    /// Checks that all patches apply, without touching the checkout.
    fn takes(&self, changes: &[Change]) -> Result<(), Failure> {
        let temp = TempRepo::new()?;
        let mut diffs = Vec::new();
        let mut paths = BTreeSet::new();
        for Change { id, diff } in changes {
            if !mail::is_mail(diff) {
                return Err(Failure::usage(
                    &self.tried,
                    format!("the patch `{id}` is a diff without a message"),
                )
                .help(format!("add a message: cargo xtask patches edit {id}")));
            }
            let diff = mail::read(id, diff)?.diff;
            paths.extend(temp.files_of(id, &diff)?);
            diffs.push((id, diff));
        }
        let tree = OpenTarget::Repository(self.source.clone(), self.head.clone());
        let found = tree.files(&temp, &paths, &|_| {})?;
        let mut tree = temp.tree(&found.files)?;
        for (id, diff) in diffs {
            tree = match temp.apply(&tree, &diff)? {
                Ok(applied) => applied.tree,
                Err(ran) => {
                    let at = self.source.dir.display();
                    let tried = format!("apply the patch `{id}` to {at}");
                    let why = reject(&ran, &String::from_utf8_lossy(&diff));
                    return Err(Failure::usage(tried, why).help(format!(
                        "nothing was changed there; `cargo xtask patches drift --to {at}` reports which \
                            patches apply to it"
                    )));
                }
            };
        }
        Ok(())
    }

    fn made(&self) -> Result<Vec<Made>, Failure> {
        let range = format!("{}..HEAD", self.head);
        let args = ["log", "--reverse", "--no-show-signature", "--no-color"];
        let args = [&args[..], &["--format=%h %s", &range]].concat();
        let list = self.git.text("list the new commits", &args)?;
        let made = |line: &str| {
            let (short, subject) = line.split_once(' ').unwrap_or((line, ""));
            Made {
                short: short.to_owned(),
                subject: subject.to_owned(),
            }
        };
        Ok(list.lines().map(made).collect())
    }

    /// Returns the failure of `git am`, with the patch at which it stopped.
    fn stopped(&self, ran: &Ran, changes: &[Change]) -> Failure {
        let next = fs::read_to_string(self.source.git_dir.join("rebase-apply/next"));
        let at = next
            .ok()
            .and_then(|number| number.trim().parse::<usize>().ok())
            .and_then(|number| changes.get(number.checked_sub(1)?));
        let Some(Change { id, diff }) = at else {
            return failed(&self.tried, ran);
        };
        let tried = format!("apply the patch `{id}` to {}", self.source.dir.display());
        Failure::usage(tried, reject(ran, &String::from_utf8_lossy(diff)))
    }

    /// Undoes a `git am` that stopped.
    fn put_back(&self, orig: Option<&str>) -> Result<(), Failure> {
        const TRIED: &str = "restore the checkout";
        if self.source.git_dir.join("rebase-apply").exists() {
            self.git.text(TRIED, &["am", "--abort"])?;
        }
        if self.git.text(TRIED, &["rev-parse", "HEAD"])? != self.head {
            self.git
                .text(TRIED, &["reset", "--quiet", "--keep", &self.head])?;
        }
        if let Some(branch) = &self.begin {
            match &self.on {
                Some(name) => self.git.text(TRIED, &["symbolic-ref", "HEAD", name])?,
                None => {
                    let args = ["update-ref", "--no-deref", "HEAD", &self.head];
                    self.git.text(TRIED, &args)?
                }
            };
            let name = format!("refs/heads/{branch}");
            self.git.text(TRIED, &["update-ref", "-d", &name])?;
        }
        match orig {
            Some(orig) => self.git.text(TRIED, &["update-ref", "ORIG_HEAD", orig])?,
            None => self.git.text(TRIED, &["update-ref", "-d", "ORIG_HEAD"])?,
        };
        Ok(())
    }
}

const ORIG_HEAD: [&str; 4] = ["rev-parse", "--verify", "--quiet", "ORIG_HEAD"];

fn source(tried: &str, dir: &Path) -> Result<Source, Failure> {
    let at = dir.display();
    let found = match fs::canonicalize(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(Failure::usage(tried, format!("{at} does not exist"))
                .help("give --to a git checkout of the base"));
        }
        other => other.map_err(|error| Failure::io(tried, dir, error))?,
    };
    if !found.is_dir() {
        return Err(Failure::usage(tried, format!("{at} is not a directory"))
            .help("give --to a git checkout of the base"));
    }
    let Some(source) = Source::at(tried, &found)? else {
        return Err(Failure::usage(tried, "it is not the top of a git repository").help(
            "give --to the top folder of a git checkout; for an unpacked tar file, run `git init \
             && git add -f . && git commit -m import` in it first",
        ));
    };
    if source.work_tree.is_none() {
        return Err(
            Failure::usage(tried, "it is a bare repository").help(format!(
                "create a worktree, and use that: git -C {at} worktree add ../series"
            )),
        );
    }
    Ok(source)
}

fn nothing_unfinished(tried: &str, source: &Source) -> Result<(), Failure> {
    let at = source.dir.display();
    let is_there = |name: &str| source.git_dir.join(name).exists();
    if let Some((name, what, command)) = UNFINISHED.iter().find(|(name, _, _)| is_there(name)) {
        return Err(Failure::usage(
            tried,
            format!(
                "{what} is in progress there: {}",
                source.git_dir.join(name).display()
            ),
        )
        .help(format!(
            "finish it (git -C {at} {command} --continue) or abort it (git -C {at} {command} --abort)"
        )));
    }
    let locks = ["index.lock", "HEAD.lock"];
    match locks.into_iter().find(|name| is_there(name)) {
        None => Ok(()),
        Some(name) => {
            let lock = source.git_dir.join(name);
            Err(
                Failure::usage(tried, format!("it is locked by {}", lock.display())).help(format!(
                    "wait for the git that runs there; if there is none, a killed one left the lock: rm {}",
                    lock.display()
                )),
            )
        }
    }
}

/// Returns the absolute paths of the patch files.
fn files(tried: &str, series: &Loaded) -> Result<Vec<PathBuf>, Failure> {
    let patches = series.manifest.patches.iter();
    patches
        .map(|patch| {
            let path = series.path(patch);
            fs::canonicalize(&path).map_err(|error| Failure::io(tried, &path, error))
        })
        .collect()
}
