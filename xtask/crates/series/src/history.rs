//! Earlier revisions of the series, from the git repository that contains them.
//! kdk only reads it.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::repo::names;
use crate::base::source;
use crate::load::{self, LARGEST, Loaded, MANIFEST};
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_core::input::{self, Links};
use kdk_core::yaml;

/// The git repository that contains the series.
#[derive(Debug)]
pub struct SeriesRepo {
    git: Git,
    /// The folder of all series.
    folder: PathBuf,
    /// The path of that folder from the top of the repository: empty, or with a
    /// `/` at its end.
    prefix: String,
}

/// A commit that changed a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The day: 2026-11-25.
    pub date: String,
    /// The full hash.
    pub hash: String,
    /// Its abbreviated hash.
    pub short: String,
    /// The subject of the commit.
    pub subject: String,
}

impl SeriesRepo {
    /// Opens the repository that contains `folder`, the folder of all series.
    ///
    /// # Errors
    /// The folder is in no git repository.
    pub fn open(folder: &Path) -> Result<Self, Failure> {
        let at = folder.display();
        let tried = format!("read the history of {at}");
        let folder =
            fs::canonicalize(folder).map_err(|error| Failure::io(&tried, folder, error))?;
        let Some((git_dir, prefix)) = source::around(&tried, &folder)? else {
            return Err(
                Failure::usage(tried, "it is not in a git repository").help(format!(
                    "make it one: git -C {at} init && git -C {at} add -A && git -C {at} commit -m 'The \
                        series'"
                )),
            );
        };
        Ok(Self {
            git: Git::new(git_dir),
            folder,
            prefix,
        })
    }

    /// Returns the commit that `rev` names.
    pub fn commit(&self, rev: &str) -> Result<String, Failure> {
        let tried = format!("find the revision `{rev}`");
        if let Some(commit) = self.git.commit_id(&tried, rev)? {
            return Ok(commit);
        }
        let at = self.folder.display();
        Err(Failure::usage(
            tried,
            format!("the repository of {at} has no such commit"),
        )
        .help(
            "give a commit, branch or tag of it; `cargo xtask patches log` lists the commits that \
             changed the series",
        ))
    }

    /// Reads the series `name` at the commit `commit`, which messages call
    /// `rev`. Writes its files below `into`.
    pub fn series_at(
        &self,
        rev: &str,
        commit: &str,
        name: &str,
        into: &Path,
    ) -> Result<Loaded, Failure> {
        let tried = format!("read the series {name} at `{rev}`");
        let place = |file: &str| format!("{}{name}/{file}", self.prefix);
        let Some(text) = self.file(commit, &place(MANIFEST))? else {
            return Err(Failure::usage(
                tried,
                format!("{} did not exist then", place(MANIFEST)),
            )
            .help(format!(
                "`cargo xtask patches log --series {name}` lists the commits that changed it"
            )));
        };
        let text = String::from_utf8_lossy(&text).into_owned();
        let dir = into.join(name);
        let shown = format!("{} at {rev}", place(MANIFEST));
        let series = load::parse_as(&shown, &dir, name, &text)?;
        fs::create_dir_all(&dir).map_err(|error| Failure::io(&tried, &dir, error))?;
        for patch in &series.manifest.patches {
            let from = place(&patch.file);
            let Some(content) = self.file(commit, &from)? else {
                return Err(Failure::usage(tried, format!("{from} did not exist then"))
                    .help("that commit is incomplete: give the one after it"));
            };
            let to = series.path(patch);
            fs::write(&to, content).map_err(|error| Failure::io(&tried, &to, error))?;
        }
        Ok(series)
    }

    /// Fails unless HEAD descends from `commit` in a straight line. Messages call
    /// the commit `rev`.
    ///
    /// # Errors
    /// The history was rewritten since, or a merge is in between.
    pub fn check_line(&self, rev: &str, commit: &str) -> Result<(), Failure> {
        let tried = format!("compare the series with `{rev}`");
        let ancestor = ["merge-base", "--is-ancestor", commit, "HEAD"];
        if !self.git.run(&tried, &ancestor)?.ok {
            let failure = Failure::usage(
                &tried,
                "HEAD does not descend from it: the history was rewritten, or it is on another \
                 branch",
            );
            let common = self.git.run(&tried, &["merge-base", commit, "HEAD"])?;
            return Err(match common.ok {
                true => failure.help(format!(
                    "name a commit that HEAD descends from; the last one in common is {}",
                    common.text()
                )),
                false => failure.help("name a commit that HEAD descends from"),
            });
        }
        let range = format!("{commit}..HEAD");
        let merges = ["rev-list", "--merges", &range];
        let merges = self.git.text(&tried, &merges)?;
        let Some(first) = merges.lines().last() else {
            return Ok(());
        };
        let what = format!("{} is a merge, so there is no order of the changes", first);
        Err(Failure::usage(tried, what).help(
            "rebase the branch, or name a commit after the merge; without --since, what has a \
             valid result does not run",
        ))
    }

    /// Returns whether this is the repository whose checkout has the folder
    /// `path`.
    pub fn contains(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|path| self.folder.starts_with(path))
    }

    /// Returns whether the folder of the series `name` is the same as in HEAD.
    ///
    /// # Errors
    /// git cannot be run.
    pub fn is_clean(&self, name: &str) -> Result<bool, Failure> {
        const TRIED: &str = "compare the series with HEAD";
        let Some(top) = self
            .folder
            .ancestors()
            .nth(self.prefix.matches('/').count())
        else {
            return Ok(false);
        };
        let path = format!("{}{name}", self.prefix);
        let args = [
            "--literal-pathspecs",
            "status",
            "--porcelain",
            "--untracked-files=all",
            "--",
            &path,
        ];
        let ran = self.git.clone().work_tree(top).run(TRIED, &args)?;
        Ok(ran.ok && ran.stdout.is_empty())
    }

    /// Writes all files of the commit `commit` below the folder `into`.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn export(&self, commit: &str, into: &Path) -> Result<(), Failure> {
        const TRIED: &str = "read an older state of this repository";
        fs::create_dir_all(into).map_err(|error| Failure::io(TRIED, into, error))?;
        let git = self
            .git
            .clone()
            .index(into.with_extension("index"))
            .work_tree(into);
        git.text(TRIED, &["read-tree", commit])?;
        git.text(TRIED, &["checkout-index", "--all", "--force"])?;
        Ok(())
    }

    /// Returns the commits that changed `file` of the series `name`, the last
    /// first.
    pub fn log(&self, name: &str, file: &str) -> Result<Vec<Entry>, Failure> {
        const TRIED: &str = "read the history of the series";
        let head = ["rev-parse", "--verify", "--quiet", "HEAD"];
        if !self.git.run(TRIED, &head)?.ok {
            return Ok(Vec::new());
        }
        let path = format!("{}{name}/{file}", self.prefix);
        let args = [
            "--literal-pathspecs",
            "log",
            "--follow",
            "--no-show-signature",
            "--no-color",
            "-z",
            "--format=%cs%n%H%n%h%n%s",
            "HEAD",
            "--",
            &path,
        ];
        let list = self.git.must(TRIED, &args, b"")?.stdout;
        let entry = |text: &String| {
            let mut lines = text.splitn(4, '\n').map(str::to_owned);
            Some(Entry {
                date: lines.next()?,
                hash: lines.next()?,
                short: lines.next()?,
                subject: lines.next()?,
            })
        };
        Ok(names(&list).iter().filter_map(entry).collect())
    }

    /// Returns whether `file` of the series `name` is the same as in HEAD.
    pub fn is_committed(&self, name: &str, file: &str) -> Result<bool, Failure> {
        let path = self.folder.join(name).join(file);
        let now = input::read("read a file of the series", &path, LARGEST, Links::Refuse)?;
        let committed = self.file("HEAD", &format!("{}{name}/{file}", self.prefix))?;
        Ok(committed.is_some_and(|committed| committed == now))
    }

    /// Returns the revision of the series `name` in the commit `commit`, if its
    /// manifest can be read.
    pub fn revision(&self, commit: &str, name: &str) -> Result<Option<u32>, Failure> {
        let text = self.file(commit, &format!("{}{name}/{MANIFEST}", self.prefix))?;
        Ok(text.and_then(|text| revision(&String::from_utf8_lossy(&text))))
    }

    fn file(&self, commit: &str, path: &str) -> Result<Option<Vec<u8>>, Failure> {
        let name = format!("{commit}:{path}");
        let args = ["cat-file", "blob", &name];
        let ran = self.git.run("read a file of an older series", &args)?;
        Ok(ran.ok.then_some(ran.stdout))
    }
}

/// Returns the revision in a manifest, whatever the rest of it is.
fn revision(text: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Manifest {
        series: Series,
    }
    #[derive(Deserialize)]
    struct Series {
        revision: u32,
    }
    let manifest: Manifest = yaml::parse(MANIFEST, text).ok()?;
    Some(manifest.series.revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fixtures::{commit, git, write};
    use kdk_core::failure::rendered;

    const NAME: &str = "releng-15.1";

    fn manifest(revision: u32, file: &str) -> String {
        format!(
            "schema: 1\nseries: {{name: {NAME}, revision: {revision}}}\nbase: {{repo: r, branch: b, \
             osreldate: 1}}\npatches:\n  - {{id: a, file: {file}, class: fix, provenance: {{origin: \
             own, ai_assisted: false}}}}\n"
        )
    }

    struct Sandbox {
        root: PathBuf,
        folder: PathBuf,
        _dir: tempfile::TempDir,
    }

    /// Returns a repository with the series in `patches/`, committed twice; its
    /// file was renamed.
    fn sandbox() -> Sandbox {
        let dir = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(dir.path()).unwrap();
        git(&root, &["init", "-q", "repo"]);
        let repo = root.join("repo");
        let folder = repo.join("patches");
        write(&repo.join("README"), "x\n");
        commit(&repo, "Nothing yet");
        let series = folder.join(NAME);
        write(&series.join(MANIFEST), &manifest(1, "old.patch"));
        write(&series.join("old.patch"), "the same text\nfor a while\n");
        commit(&repo, "a: First");
        fs::rename(series.join("old.patch"), series.join("a.patch")).unwrap();
        write(&series.join(MANIFEST), &manifest(2, "a.patch"));
        commit(&repo, "a: Another name");
        Sandbox {
            root,
            folder,
            _dir: dir,
        }
    }

    #[test]
    fn an_older_series_is_read_with_its_files() {
        let sandbox = sandbox();
        let repo = SeriesRepo::open(&sandbox.folder).unwrap();
        let commit = repo.commit("HEAD^").unwrap();
        let into = sandbox.root.join("old");
        let series = repo.series_at("HEAD^", &commit, NAME, &into).unwrap();
        assert_eq!(series.manifest.series.revision, 1);
        let changes = series.changes().unwrap();
        assert_eq!(changes[0].diff, b"the same text\nfor a while\n");
    }

    #[test]
    fn what_is_not_in_the_history_is_said() {
        let sandbox = sandbox();
        let repo = SeriesRepo::open(&sandbox.folder).unwrap();
        let at = |rev: &str| {
            let commit = repo.commit(rev)?;
            repo.series_at(rev, &commit, NAME, &sandbox.root.join("old"))
        };
        let mut failures = Vec::new();
        for rev in ["nowhere", "--all", "HEAD~2"] {
            failures.push(at(rev).unwrap_err());
        }
        let series = sandbox.folder.join(NAME);
        write(&series.join(MANIFEST), &manifest(2, "gone.patch"));
        commit(&sandbox.root.join("repo"), "Half");
        failures.push(at("HEAD").unwrap_err());
        write(&series.join(MANIFEST), &manifest(2, "../a.patch"));
        commit(&sandbox.root.join("repo"), "Bad");
        failures.push(at("HEAD").unwrap_err());
        let alone = sandbox.root.join("alone");
        fs::create_dir(&alone).unwrap();
        failures.push(SeriesRepo::open(&alone).unwrap_err());
        let text = |failure: &Failure| {
            assert_eq!(failure.exit_code(), 2);
            rendered(failure).replace(&*sandbox.root.to_string_lossy(), "TMP")
        };
        let texts: Vec<String> = failures.iter().map(text).collect();
        insta::assert_snapshot!(texts.join("\n"));
    }

    #[test]
    fn the_history_of_a_file_goes_on_under_its_older_name() {
        let sandbox = sandbox();
        let repo = SeriesRepo::open(&sandbox.folder).unwrap();
        let log = repo.log(NAME, "a.patch").unwrap();
        let subjects: Vec<&str> = log.iter().map(|entry| entry.subject.as_str()).collect();
        assert_eq!(subjects, ["a: Another name", "a: First"]);
        let revisions = log.iter().map(|e| repo.revision(&e.hash, NAME).unwrap());
        assert_eq!(revisions.collect::<Vec<_>>(), [Some(2), Some(1)]);
        assert!(repo.is_committed(NAME, "a.patch").unwrap());
        write(&sandbox.folder.join(NAME).join("a.patch"), "other\n");
        assert!(!repo.is_committed(NAME, "a.patch").unwrap());
        assert!(repo.log(NAME, "new.patch").unwrap().is_empty());
    }

    #[test]
    fn a_repository_without_a_commit_has_no_history() {
        let dir = tempfile::tempdir().unwrap();
        git(dir.path(), &["init", "-q"]);
        write(&dir.path().join("x/a.patch"), "x\n");
        let repo = SeriesRepo::open(dir.path()).unwrap();
        assert!(repo.log("x", "a.patch").unwrap().is_empty());
        assert!(!repo.is_committed("x", "a.patch").unwrap());
    }

    #[test]
    fn revisions_of_manifests_of_any_form() {
        for (text, want) in [
            (
                "series: {name: x, revision: 3, more: 1}\nother: 1\n",
                Some(3),
            ),
            ("series: {name: x}\n", None),
            ("series: [", None),
            ("", None),
        ] {
            assert_eq!(revision(text), want, "{text}");
        }
    }
}
