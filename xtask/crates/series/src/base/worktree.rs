//! The checkout that is built: a worktree of kdk's own repository. It moves
//! from commit to commit, and only files that differ get a new modification
//! time, which incremental builds need.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::apply::{self, Change};
use crate::base::definition::{Definition, SparsePaths};
use crate::base::record::{self, Record};
use crate::base::{osreldate, repo, resolve};
use kdk_core::cache_dir::{CacheDir, write_atomically};
use kdk_core::failure::Failure;
use kdk_core::git::{self, Git};
use kdk_doctor::disk_space;

const TRIED: &str = "check out the tree";

/// A tree that is ready to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The path of the checkout.
    pub path: PathBuf,
    /// The commit, with the patches.
    pub commit: String,
    /// The id of the tree object, which depends only on the files.
    pub content: String,
    /// The `__FreeBSD_version` of the tree.
    pub osreldate: u32,
    /// Whether it has uncommitted changes of the user's checkout.
    pub uncommitted: bool,
    /// Whether any file was written.
    pub changed: bool,
    /// The files that the source lacks, which are not checked out.
    pub missing: Vec<String>,
}

/// Returns the path of the checkout of the base `name`.
pub fn path(cache: &CacheDir, name: &str) -> PathBuf {
    cache.trees().join(name)
}

/// What is between the name of a base and the number of a further checkout.
const SIDE: &str = ".job";

/// Returns the name of the `number`th further checkout of the base `name`, for
/// kernels that are built side by side.
pub fn side_place(name: &str, number: usize) -> String {
    format!("{name}{SIDE}{number}")
}

/// Returns whether `place` is the name of a further checkout of the base `name`.
pub fn is_side_place(name: &str, place: &str) -> bool {
    let number = place
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix(SIDE));
    number.is_some_and(|number| number.parse::<usize>().is_ok())
}

/// Checks out the tree of `record` with `patches` on top. The caller has locked
/// the base.
pub fn prepare(
    cache: &CacheDir,
    record: &Record,
    definition: &Definition,
    patches: &[Change],
    say: &mut dyn FnMut(String),
) -> Result<Tree, Failure> {
    let base = resolve::resolve(cache, record, definition, say)?;
    let git = &base.git;
    let commit = apply::commit(git, &base.commit, patches)?;
    let content = repo::tree_of(git, &commit)?;
    let path = path(cache, &record.name);
    if admin_folder(&path).is_none() {
        say("checking out the tree, once for this base".into());
    }
    let checkout = Checkout::open(git, cache, &path, &commit)?;
    let (changed, missing) = checkout.move_to(&definition.tree, &commit, say)?;
    record::touch(cache, &record.name);
    Ok(Tree {
        path: checkout.path,
        commit,
        content,
        osreldate: base.osreldate,
        uncommitted: !base.uncommitted.is_empty(),
        changed,
        missing,
    })
}

/// Checks out a commit of kdk's repository of `record`, which may have another
/// `__FreeBSD_version` than the base, in the worktree `place`. The caller has
/// locked that place.
///
/// # Errors
/// The commit is not a FreeBSD tree, or git or the disk fails.
pub fn prepare_commit(
    cache: &CacheDir,
    record: &Record,
    definition: &Definition,
    (commit, place): (&str, &str),
    say: &mut dyn FnMut(String),
) -> Result<Tree, Failure> {
    let git = repo::git(cache, &record.name);
    let osreldate = osreldate::read(&git, commit)?.ok_or_else(|| {
        let what =
            format!("the commit {commit:.12} has no sys/sys/param.h with a __FreeBSD_version");
        Failure::usage(TRIED, what).help("name a commit of FreeBSD's source tree")
    })?;
    let path = path(cache, place);
    if admin_folder(&path).is_none() {
        say(format!("checking out the tree in {}", path.display()));
    }
    let checkout = Checkout::open(&git, cache, &path, commit)?;
    let (changed, missing) = checkout.move_to(&definition.tree, commit, say)?;
    record::touch(cache, &record.name);
    Ok(Tree {
        path: checkout.path,
        content: repo::tree_of(&git, commit)?,
        commit: commit.to_owned(),
        osreldate,
        uncommitted: false,
        changed,
        missing,
    })
}

/// A worktree and its administrative folder in the repository.
#[derive(Debug)]
pub struct Checkout {
    /// The path of the files.
    pub path: PathBuf,
    /// The folder with its index and HEAD.
    pub admin: PathBuf,
    /// A git that runs in the worktree.
    pub git: Git,
}

impl Checkout {
    /// Opens the worktree at `path`, or creates it at `commit`. Removes the
    /// locks of a killed git: no one else works there.
    pub fn open(repo: &Git, cache: &CacheDir, path: &Path, commit: &str) -> Result<Self, Failure> {
        let found = match Self::find(path) {
            Some(found) => found,
            None => Self::create(repo, cache, path, commit)?,
        };
        repo::remove_stale_locks(&found.admin);
        Ok(found)
    }

    /// Returns the worktree at `path` as it is, if there is one.
    pub fn find(path: &Path) -> Option<Self> {
        let admin = admin_folder(path)?;
        // The checksum takes a third of the time to write an index of this
        // size.
        let git = Git::new(&admin)
            .work_tree(path)
            .setting("index.skipHash=true");
        let path = path.to_owned();
        Some(Self { path, admin, git })
    }

    fn create(repo: &Git, cache: &CacheDir, path: &Path, commit: &str) -> Result<Self, Failure> {
        disk_space::need(TRIED, cache.root(), disk_space::TREE_AND_OBJECTS)?;
        if path.exists() {
            fs::remove_dir_all(path).map_err(|error| Failure::io(TRIED, path, error))?;
        }
        cache.create(path.parent().unwrap_or(path))?;
        repo.text(TRIED, &["worktree", "prune"])?;
        let text = path.to_string_lossy();
        let args = [
            "worktree",
            "add",
            "--force",
            "--no-checkout",
            "--detach",
            &text,
            commit,
        ];
        repo.text(TRIED, &args)?;
        Self::find(path).ok_or_else(|| Failure::infra(TRIED, "git made no worktree"))
    }

    /// Moves the worktree to `commit`. Returns whether any file was written,
    /// and the files that the source lacks.
    pub fn move_to(
        &self,
        parts: &SparsePaths,
        commit: &str,
        say: &mut dyn FnMut(String),
    ) -> Result<(bool, Vec<String>), Failure> {
        let missing = self.known_missing();
        let state = state(commit, &parts.patterns(&missing));
        let stamp = self.admin.join("kdk-at");
        if fs::read_to_string(&stamp).is_ok_and(|at| at == state) && self.is_untouched()? {
            return Ok((false, missing));
        }
        // Written at the end, so that an interrupted checkout is repeated.
        let _ = fs::remove_file(&stamp);
        let missing = self.write_files(parts, commit, missing, say)?;
        let state = state_of(commit, parts, &missing);
        write_atomically(&stamp, state.as_bytes())
            .map_err(|error| Failure::io(TRIED, &stamp, error))?;
        Ok((true, missing))
    }

    /// Writes the files that differ. If git fails because the source lacks
    /// blobs, leaves those files out.
    fn write_files(
        &self,
        parts: &SparsePaths,
        commit: &str,
        mut missing: Vec<String>,
        say: &mut dyn FnMut(String),
    ) -> Result<Vec<String>, Failure> {
        let args = ["reset", "--hard", "--quiet", commit];
        if !self.write_patterns(parts, &missing)? {
            // git would match every file of the tree with the patterns, which
            // takes seconds. Files that are left out stay so without that.
            let git = self.git.clone().setting("core.sparseCheckout=false");
            if git.run(TRIED, &args)?.ok {
                return Ok(missing);
            }
        }
        let ran = self.git.run(TRIED, &args)?;
        if ran.ok {
            self.patterns_are_in_force()?;
            return Ok(missing);
        }
        let lacking = self.lacking(commit)?;
        if lacking.is_empty() {
            return Err(git::failed(TRIED, &ran));
        }
        say(missing_line(&lacking));
        missing = lacking;
        let list = self.admin.join("kdk-missing");
        repo::write_list(&list, &missing.join("\n"))?;
        self.write_patterns(parts, &missing)?;
        self.git.text(TRIED, &args)?;
        self.patterns_are_in_force()?;
        Ok(missing)
    }

    /// Writes the sparse-checkout patterns. Returns false if they are in force
    /// already.
    fn write_patterns(&self, parts: &SparsePaths, missing: &[String]) -> Result<bool, Failure> {
        let (info, mark) = (self.admin.join("info"), self.admin.join("kdk-sparse"));
        let (path, patterns) = (info.join("sparse-checkout"), parts.patterns(missing));
        let known = fs::read_to_string(&path).is_ok_and(|old| old == patterns);
        if known && mark.exists() {
            return Ok(false);
        }
        let _ = fs::remove_file(&mark);
        fs::create_dir_all(&info).map_err(|error| Failure::io(TRIED, &info, error))?;
        repo::write_list(&path, &patterns)?;
        Ok(true)
    }

    /// Records that the worktree follows the patterns.
    fn patterns_are_in_force(&self) -> Result<(), Failure> {
        repo::write_list(&self.admin.join("kdk-sparse"), "")
    }

    /// Returns the files that were missing before.
    fn known_missing(&self) -> Vec<String> {
        let list = fs::read_to_string(self.admin.join("kdk-missing")).unwrap_or_default();
        list.lines().map(str::to_owned).collect()
    }

    /// Returns the files of `commit` whose blobs are missing.
    fn lacking(&self, commit: &str) -> Result<Vec<String>, Failure> {
        let objects = absent(&self.git, commit)?;
        let mut files: Vec<String> = files(&self.git, commit)?
            .into_iter()
            .filter(|(_, object)| objects.contains(object))
            .map(|(path, _)| path)
            .collect();
        files.sort();
        Ok(files)
    }

    /// Reports whether the kernel's files are as git left them. Checking all
    /// other files too takes twice as long.
    fn is_untouched(&self) -> Result<bool, Failure> {
        Ok(self
            .git
            .run(TRIED, &["diff-files", "--quiet", "--", "sys"])?
            .ok)
    }
}

/// Returns the ids of the missing objects of `commit`.
pub fn absent(git: &Git, commit: &str) -> Result<Vec<String>, Failure> {
    let args = [
        "rev-list",
        "--objects",
        "--no-walk",
        "--missing=print",
        commit,
    ];
    let list = git.text("find missing files", &args)?;
    let ids = list.lines().filter_map(|line| line.strip_prefix('?'));
    Ok(ids.map(str::to_owned).collect())
}

/// Returns every file of `commit` with its blob id.
pub fn files(git: &Git, commit: &str) -> Result<BTreeMap<String, String>, Failure> {
    let entries = repo::entries(git, "list the tree", &["-r", commit])?;
    let file = |entry: repo::Entry| (entry.path, entry.id);
    Ok(entries.into_iter().map(file).collect())
}

/// Returns the folder that the `.git` file of a worktree points to, if both are
/// intact.
fn admin_folder(worktree: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(worktree.join(".git")).ok()?;
    let admin = PathBuf::from(text.trim().strip_prefix("gitdir: ")?);
    admin.join("HEAD").exists().then_some(admin)
}

/// Returns the content of the stamp of a complete checkout.
fn state(commit: &str, patterns: &str) -> String {
    format!("{commit} {}\n", blake3::hash(patterns.as_bytes()).to_hex())
}

fn state_of(commit: &str, parts: &SparsePaths, missing: &[String]) -> String {
    state(commit, &parts.patterns(missing))
}

fn missing_line(missing: &[String]) -> String {
    let sys = missing
        .iter()
        .filter(|path| path.starts_with("sys/"))
        .count();
    let what = match missing {
        [one] => format!("{one} cannot be read in the source and is not checked out"),
        many => format!(
            "{} files cannot be read in the source and are not checked out",
            many.len()
        ),
    };
    match sys {
        0 => what,
        sys => format!("{what}; {sys} of them under sys/, where a build may need them"),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::base::fixtures::{commit, fingerprint, git, tree, write};
    use crate::base::{add, definition};
    use kdk_core::failure::rendered;

    struct Sandbox {
        dir: tempfile::TempDir,
        src: PathBuf,
        cache: CacheDir,
        record: Record,
    }

    fn sandbox() -> Sandbox {
        let dir = tempfile::tempdir().unwrap();
        let src = tree(dir.path(), "src", 1_501_000);
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let definition = definition::find("releng-15.1").unwrap();
        let record = add::from_checkout(&cache, &definition, &src).unwrap();
        Sandbox {
            dir,
            src,
            cache,
            record,
        }
    }

    impl Sandbox {
        fn prepare(&self, patches: &[Change]) -> Result<(Tree, Vec<String>), Failure> {
            let definition = definition::find("releng-15.1")?;
            let mut said = Vec::new();
            let mut say = |line| said.push(line);
            let tree = prepare(&self.cache, &self.record, &definition, patches, &mut say)?;
            Ok((tree, said))
        }

        /// Returns the file as it is now. While it is open no other file can
        /// get its inode, so a file that is written again has another one.
        fn open(&self, tree: &Tree, file: &str) -> fs::File {
            fs::File::open(tree.path.join(file)).unwrap()
        }
    }

    fn change(to: &str) -> Change {
        let diff = format!(
            "--- a/sys/kern/a.c\n+++ b/sys/kern/a.c\n@@ -1,3 +1,3 @@\n one\n-two\n+{to}\n three\n"
        );
        Change {
            id: "fix".into(),
            diff: diff.into_bytes(),
        }
    }

    #[test]
    fn the_parts_that_are_needed_are_checked_out() {
        let sandbox = sandbox();
        let before = fingerprint(&sandbox.src);
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        assert!(tree.changed && !tree.uncommitted && tree.missing.is_empty());
        assert_eq!(tree.commit, sandbox.record.commit);
        assert!(tree.path.join("sys/kern/a.c").exists());
        assert!(!tree.path.join("tests").exists());
        let (again, said) = sandbox.prepare(&[]).unwrap();
        assert!(!again.changed && said.is_empty());
        assert!(
            before == fingerprint(&sandbox.src),
            "the source was written to"
        );
    }

    #[test]
    fn only_files_that_differ_are_written() {
        let inode = |file: &fs::File| file.metadata().unwrap().ino();
        let sandbox = sandbox();
        let (plain, _) = sandbox.prepare(&[]).unwrap();
        let (a, b) = (
            sandbox.open(&plain, "sys/kern/a.c"),
            sandbox.open(&plain, "sys/kern/b.c"),
        );
        let (patched, _) = sandbox.prepare(&[change("2")]).unwrap();
        assert_eq!(
            fs::read_to_string(patched.path.join("sys/kern/a.c")).unwrap(),
            "one\n2\nthree\n"
        );
        assert_ne!(inode(&sandbox.open(&patched, "sys/kern/a.c")), inode(&a));
        assert_eq!(inode(&sandbox.open(&patched, "sys/kern/b.c")), inode(&b));
        assert_ne!(plain.content, patched.content);
        // Another series that ends in the same files is no change.
        let two = change("x");
        let mut back = change("2");
        back.diff = String::from_utf8(back.diff)
            .unwrap()
            .replace("-two", "-x")
            .into_bytes();
        let (same, _) = sandbox.prepare(&[two, back]).unwrap();
        assert_eq!(same.content, patched.content);
        assert_ne!(same.commit, patched.commit);
    }

    #[test]
    fn the_checkout_follows_the_source() {
        let sandbox = sandbox();
        sandbox.prepare(&[]).unwrap();
        write(&sandbox.src.join("sys/kern/b.c"), "new\n");
        let head = commit(&sandbox.src, "a change");
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        assert_eq!(tree.commit, head);
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/b.c")).unwrap(),
            "new\n"
        );
    }

    #[test]
    fn uncommitted_changes_under_sys_are_included_and_reported() {
        let sandbox = sandbox();
        write(&sandbox.src.join("sys/kern/b.c"), "edited\n");
        fs::remove_file(sandbox.src.join("sys/kern/a.c")).unwrap();
        write(&sandbox.src.join("contrib/sqlite3/sqlite3.c"), "not ours\n");
        write(&sandbox.src.join("sys/kern/untracked.c"), "not tracked\n");
        let before = fingerprint(&sandbox.src);
        let (tree, said) = sandbox.prepare(&[]).unwrap();
        let src = fs::canonicalize(&sandbox.src).unwrap();
        let line = format!(
            "includes 2 uncommitted changes of {} under sys/",
            src.display()
        );
        assert!(said.contains(&line), "{said:?}");
        assert!(tree.uncommitted);
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/b.c")).unwrap(),
            "edited\n"
        );
        assert!(!tree.path.join("sys/kern/a.c").exists());
        assert!(!tree.path.join("sys/kern/untracked.c").exists());
        assert!(
            before == fingerprint(&sandbox.src),
            "the source was written to"
        );
        // Edited once more with the same length, then put back.
        write(&sandbox.src.join("sys/kern/b.c"), "EDITED\n");
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/b.c")).unwrap(),
            "EDITED\n"
        );
        git(&sandbox.src, &["checkout", "-q", "--", "sys"]);
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        assert!(!tree.uncommitted);
        assert_eq!(tree.commit, sandbox.record.commit);
    }

    #[test]
    fn an_edit_in_kdks_own_checkout_is_undone() {
        let sandbox = sandbox();
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        write(&tree.path.join("sys/kern/a.c"), "edited by hand\n");
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        assert!(tree.changed);
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/a.c")).unwrap(),
            "one\ntwo\nthree\n"
        );
    }

    #[test]
    fn leftovers_of_a_killed_run_are_repaired() {
        let sandbox = sandbox();
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        let admin = admin_folder(&tree.path).unwrap();
        write(&admin.join("index.lock"), "");
        let _ = fs::remove_file(admin.join("kdk-at"));
        fs::remove_file(tree.path.join("sys/kern/a.c")).unwrap();
        let (tree, _) = sandbox.prepare(&[change("2")]).unwrap();
        assert!(tree.path.join("sys/kern/a.c").exists());
        // A worktree without its administrative folder.
        fs::remove_dir_all(&admin).unwrap();
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        assert!(tree.path.join("sys/kern/a.c").exists());
        // A folder that git never got to.
        fs::remove_file(tree.path.join(".git")).unwrap();
        let (tree, _) = sandbox.prepare(&[]).unwrap();
        assert!(tree.path.join(".git").exists());
    }

    #[test]
    fn files_that_the_source_lacks_do_not_matter() {
        let sandbox = sandbox();
        write(&sandbox.src.join("contrib/big [1].c"), "lost\n");
        commit(&sandbox.src, "a large file");
        let id = git(&sandbox.src, &["rev-parse", "HEAD:contrib/big [1].c"]);
        let object = sandbox
            .src
            .join(".git/objects")
            .join(&id[..2])
            .join(&id[2..]);
        fs::remove_file(object).unwrap();
        let (tree, said) = sandbox.prepare(&[change("2")]).unwrap();
        assert_eq!(tree.missing, ["contrib/big [1].c"]);
        assert!(
            said.iter().any(|line| line.contains("cannot be read")),
            "{said:?}"
        );
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/a.c")).unwrap(),
            "one\n2\nthree\n"
        );
        let (again, said) = sandbox.prepare(&[change("2")]).unwrap();
        assert!(!again.changed && said.is_empty(), "{said:?}");
    }

    #[test]
    fn a_source_that_is_missing_or_another_version_is_reported() {
        let sandbox = sandbox();
        write(
            &sandbox.src.join("sys/sys/param.h"),
            "#define __FreeBSD_version 1501500\n",
        );
        commit(&sandbox.src, "stable");
        let wrong = sandbox.prepare(&[]).unwrap_err();
        fs::rename(&sandbox.src, sandbox.dir.path().join("elsewhere")).unwrap();
        let gone = sandbox.prepare(&[]).unwrap_err();
        let here = fs::canonicalize(sandbox.dir.path()).unwrap();
        let text = rendered(&wrong) + &rendered(&gone);
        insta::assert_snapshot!(text.replace(&*here.to_string_lossy(), "TMP"));
    }
}
