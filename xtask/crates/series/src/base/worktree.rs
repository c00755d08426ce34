//! The checkout that is built: a worktree of the kit's own repository, moved
//! from commit to commit so that only files that differ get a new time.
//! Incremental builds stand on that.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::base::apply::{self, Change};
use crate::base::definition::{Definition, SparsePaths};
use crate::base::record::{self, Record};
use crate::base::{repo, resolve};
use kdk_core::cache_dir::{Home, write_atomically};
use kdk_core::failure::Failure;
use kdk_core::git::{self, Git};
use kdk_doctor::disk_space;

const TRIED: &str = "check the tree out";

/// A tree that is ready to build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The checkout.
    pub path: PathBuf,
    /// Its commit, patches included.
    pub commit: String,
    /// The id of its content: the same for the same files, however they came
    /// about.
    pub content: String,
    /// `__FreeBSD_version`.
    pub osreldate: u32,
    /// Whether uncommitted changes of the user's checkout are in it.
    pub uncommitted: bool,
    /// Whether files had to be written.
    pub changed: bool,
    /// Files that the source lacks, and that are left out therefore.
    pub missing: Vec<String>,
}

/// Where the tree of the base `name` is checked out.
pub fn path(home: &Home, name: &str) -> PathBuf {
    home.trees().join(name)
}

/// Makes the tree of `record` with `patches` on top ready. The caller holds
/// the lock of the base.
pub fn prepare(
    home: &Home,
    record: &Record,
    definition: &Definition,
    patches: &[Change],
    say: &mut dyn FnMut(String),
) -> Result<Tree, Failure> {
    let base = resolve::resolve(home, record, definition, say)?;
    let git = &base.git;
    let commit = apply::commit(git, &base.commit, patches)?;
    let content = repo::tree_of(git, &commit)?;
    let path = path(home, &record.name);
    if admin_folder(&path).is_none() {
        say("checking the tree out, once for this base".into());
    }
    let checkout = Checkout::open(git, home, &path, &commit)?;
    let (changed, missing) = checkout.move_to(&definition.tree, &commit, say)?;
    record::touch(home, &record.name);
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

/// One worktree and the folder in which git administers it.
#[derive(Debug)]
pub struct Checkout {
    /// Where the files are.
    pub path: PathBuf,
    /// Where git keeps its index and HEAD.
    pub admin: PathBuf,
    /// git in it.
    pub git: Git,
}

impl Checkout {
    /// The worktree at `path`, made if there is none, of `commit` then. Locks
    /// that a killed git left in it are removed: nobody else works there.
    pub fn open(repo: &Git, home: &Home, path: &Path, commit: &str) -> Result<Self, Failure> {
        let found = match Self::find(path) {
            Some(found) => found,
            None => Self::create(repo, home, path, commit)?,
        };
        repo::remove_stale_locks(&found.admin);
        Ok(found)
    }

    /// The worktree at `path`, as somebody may have left it.
    pub fn find(path: &Path) -> Option<Self> {
        let admin = admin_folder(path)?;
        // A checksum over the index of so many files is a third of its writing.
        let git = Git::new(&admin)
            .work_tree(path)
            .setting("index.skipHash=true");
        let path = path.to_owned();
        Some(Self { path, admin, git })
    }

    fn create(repo: &Git, home: &Home, path: &Path, commit: &str) -> Result<Self, Failure> {
        disk_space::need(TRIED, home.root(), disk_space::TREE_AND_OBJECTS)?;
        if path.exists() {
            fs::remove_dir_all(path).map_err(|error| Failure::io(TRIED, path, error))?;
        }
        home.create(path.parent().unwrap_or(path))?;
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

    /// Makes the files those of `commit`. Tells whether any had to be
    /// written, and which the source lacks.
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
        // Written again when all is done, so that a checkout that was cut
        // off is done again.
        let _ = fs::remove_file(&stamp);
        let missing = self.write_files(parts, commit, missing, say)?;
        let state = state_of(commit, parts, &missing);
        write_atomically(&stamp, state.as_bytes())
            .map_err(|error| Failure::io(TRIED, &stamp, error))?;
        Ok((true, missing))
    }

    /// Writes the files that differ. Files whose content the source lacks are
    /// left out when git stumbles over them.
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
            // takes seconds; what is left out stays so without that.
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

    /// Tells git which files to leave out. False if it knew, and the files
    /// that are there follow it already.
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

    /// Notes that the files that are there follow the patterns.
    fn patterns_are_in_force(&self) -> Result<(), Failure> {
        repo::write_list(&self.admin.join("kdk-sparse"), "")
    }

    /// The files found missing earlier.
    fn known_missing(&self) -> Vec<String> {
        let list = fs::read_to_string(self.admin.join("kdk-missing")).unwrap_or_default();
        list.lines().map(str::to_owned).collect()
    }

    /// The files of `commit` whose content is not there.
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

    /// Whether the kernel's files are as git left them: somebody may have
    /// edited one. To look at all the others too takes twice as long.
    fn is_untouched(&self) -> Result<bool, Failure> {
        Ok(self
            .git
            .run(TRIED, &["diff-files", "--quiet", "--", "sys"])?
            .ok)
    }
}

/// The ids of the objects of `commit` that are not there.
pub fn absent(git: &Git, commit: &str) -> Result<Vec<String>, Failure> {
    let args = [
        "rev-list",
        "--objects",
        "--no-walk",
        "--missing=print",
        commit,
    ];
    let list = git.text("look for missing files", &args)?;
    let ids = list.lines().filter_map(|line| line.strip_prefix('?'));
    Ok(ids.map(str::to_owned).collect())
}

/// Every file of `commit` with the id of its content.
pub fn files(git: &Git, commit: &str) -> Result<BTreeMap<String, String>, Failure> {
    let entries = repo::entries(git, "list the tree", &["-r", commit])?;
    let file = |entry: repo::Entry| (entry.path, entry.id);
    Ok(entries.into_iter().map(file).collect())
}

/// The folder that the `.git` file of a worktree points to, if both are whole.
fn admin_folder(worktree: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(worktree.join(".git")).ok()?;
    let admin = PathBuf::from(text.trim().strip_prefix("gitdir: ")?);
    admin.join("HEAD").exists().then_some(admin)
}

/// What a complete checkout is of.
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
        [one] => format!("{one} cannot be read in the source and is left out"),
        many => format!(
            "{} files cannot be read in the source and are left out",
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

    struct Place {
        dir: tempfile::TempDir,
        src: PathBuf,
        home: Home,
        record: Record,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let src = tree(dir.path(), "src", 1_501_000);
        let home = Home::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let definition = definition::find("releng-15.1").unwrap();
        let record = add::from_checkout(&home, &definition, &src).unwrap();
        Place {
            dir,
            src,
            home,
            record,
        }
    }

    impl Place {
        fn prepare(&self, patches: &[Change]) -> Result<(Tree, Vec<String>), Failure> {
            let definition = definition::find("releng-15.1")?;
            let mut said = Vec::new();
            let mut say = |line| said.push(line);
            let tree = prepare(&self.home, &self.record, &definition, patches, &mut say)?;
            Ok((tree, said))
        }

        /// The file as it is now. While it is open no other file can get its
        /// inode, so one that is written anew has another.
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
        let place = place();
        let before = fingerprint(&place.src);
        let (tree, _) = place.prepare(&[]).unwrap();
        assert!(tree.changed && !tree.uncommitted && tree.missing.is_empty());
        assert_eq!(tree.commit, place.record.commit);
        assert!(tree.path.join("sys/kern/a.c").exists());
        assert!(!tree.path.join("tests").exists());
        let (again, said) = place.prepare(&[]).unwrap();
        assert!(!again.changed && said.is_empty());
        assert!(
            before == fingerprint(&place.src),
            "the source was written to"
        );
    }

    #[test]
    fn only_files_that_differ_are_written() {
        let inode = |file: &fs::File| file.metadata().unwrap().ino();
        let place = place();
        let (plain, _) = place.prepare(&[]).unwrap();
        let (a, b) = (
            place.open(&plain, "sys/kern/a.c"),
            place.open(&plain, "sys/kern/b.c"),
        );
        let (patched, _) = place.prepare(&[change("2")]).unwrap();
        assert_eq!(
            fs::read_to_string(patched.path.join("sys/kern/a.c")).unwrap(),
            "one\n2\nthree\n"
        );
        assert_ne!(inode(&place.open(&patched, "sys/kern/a.c")), inode(&a));
        assert_eq!(inode(&place.open(&patched, "sys/kern/b.c")), inode(&b));
        assert_ne!(plain.content, patched.content);
        // Another series that ends in the same files is no change.
        let two = change("x");
        let mut back = change("2");
        back.diff = String::from_utf8(back.diff)
            .unwrap()
            .replace("-two", "-x")
            .into_bytes();
        let (same, _) = place.prepare(&[two, back]).unwrap();
        assert_eq!(same.content, patched.content);
        assert_ne!(same.commit, patched.commit);
    }

    #[test]
    fn the_checkout_follows_the_source() {
        let place = place();
        place.prepare(&[]).unwrap();
        write(&place.src.join("sys/kern/b.c"), "new\n");
        let head = commit(&place.src, "a change");
        let (tree, _) = place.prepare(&[]).unwrap();
        assert_eq!(tree.commit, head);
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/b.c")).unwrap(),
            "new\n"
        );
    }

    #[test]
    fn uncommitted_changes_under_sys_are_taken_and_said() {
        let place = place();
        write(&place.src.join("sys/kern/b.c"), "edited\n");
        fs::remove_file(place.src.join("sys/kern/a.c")).unwrap();
        write(&place.src.join("contrib/sqlite3/sqlite3.c"), "not ours\n");
        write(&place.src.join("sys/kern/untracked.c"), "not tracked\n");
        let before = fingerprint(&place.src);
        let (tree, said) = place.prepare(&[]).unwrap();
        let src = fs::canonicalize(&place.src).unwrap();
        let line = format!("with 2 uncommitted changes of {} under sys/", src.display());
        assert!(said.contains(&line), "{said:?}");
        assert!(tree.uncommitted);
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/b.c")).unwrap(),
            "edited\n"
        );
        assert!(!tree.path.join("sys/kern/a.c").exists());
        assert!(!tree.path.join("sys/kern/untracked.c").exists());
        assert!(
            before == fingerprint(&place.src),
            "the source was written to"
        );
        // Edited once more with the same length, then put back.
        write(&place.src.join("sys/kern/b.c"), "EDITED\n");
        let (tree, _) = place.prepare(&[]).unwrap();
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/b.c")).unwrap(),
            "EDITED\n"
        );
        git(&place.src, &["checkout", "-q", "--", "sys"]);
        let (tree, _) = place.prepare(&[]).unwrap();
        assert!(!tree.uncommitted);
        assert_eq!(tree.commit, place.record.commit);
    }

    #[test]
    fn an_edit_in_the_kits_own_checkout_does_not_stay() {
        let place = place();
        let (tree, _) = place.prepare(&[]).unwrap();
        write(&tree.path.join("sys/kern/a.c"), "edited by hand\n");
        let (tree, _) = place.prepare(&[]).unwrap();
        assert!(tree.changed);
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/a.c")).unwrap(),
            "one\ntwo\nthree\n"
        );
    }

    #[test]
    fn what_a_killed_run_leaves_is_mended() {
        let place = place();
        let (tree, _) = place.prepare(&[]).unwrap();
        let admin = admin_folder(&tree.path).unwrap();
        write(&admin.join("index.lock"), "");
        let _ = fs::remove_file(admin.join("kdk-at"));
        fs::remove_file(tree.path.join("sys/kern/a.c")).unwrap();
        let (tree, _) = place.prepare(&[change("2")]).unwrap();
        assert!(tree.path.join("sys/kern/a.c").exists());
        // Half a worktree: its files are there, git's side is not.
        fs::remove_dir_all(&admin).unwrap();
        let (tree, _) = place.prepare(&[]).unwrap();
        assert!(tree.path.join("sys/kern/a.c").exists());
        // A folder that git never got to.
        fs::remove_file(tree.path.join(".git")).unwrap();
        let (tree, _) = place.prepare(&[]).unwrap();
        assert!(tree.path.join(".git").exists());
    }

    #[test]
    fn files_that_the_source_lacks_do_not_matter() {
        let place = place();
        write(&place.src.join("contrib/big [1].c"), "lost\n");
        commit(&place.src, "a large file");
        let id = git(&place.src, &["rev-parse", "HEAD:contrib/big [1].c"]);
        let object = place.src.join(".git/objects").join(&id[..2]).join(&id[2..]);
        fs::remove_file(object).unwrap();
        let (tree, said) = place.prepare(&[change("2")]).unwrap();
        assert_eq!(tree.missing, ["contrib/big [1].c"]);
        assert!(
            said.iter().any(|line| line.contains("cannot be read")),
            "{said:?}"
        );
        assert_eq!(
            fs::read_to_string(tree.path.join("sys/kern/a.c")).unwrap(),
            "one\n2\nthree\n"
        );
        let (again, said) = place.prepare(&[change("2")]).unwrap();
        assert!(!again.changed && said.is_empty(), "{said:?}");
    }

    #[test]
    fn a_source_that_went_away_or_became_another_is_said() {
        let place = place();
        write(
            &place.src.join("sys/sys/param.h"),
            "#define __FreeBSD_version 1501500\n",
        );
        commit(&place.src, "stable");
        let wrong = place.prepare(&[]).unwrap_err();
        fs::rename(&place.src, place.dir.path().join("elsewhere")).unwrap();
        let gone = place.prepare(&[]).unwrap_err();
        let here = fs::canonicalize(place.dir.path()).unwrap();
        let text = rendered(&wrong) + &rendered(&gone);
        insta::assert_snapshot!(text.replace(&*here.to_string_lossy(), "TMP"));
    }
}
