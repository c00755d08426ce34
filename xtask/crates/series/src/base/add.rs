//! Adds a base: a clone of FreeBSD's official repository, or a repository of
//! the user.

use std::path::Path;

use crate::base::definition::{self, Definition};
use crate::base::record::Record;
use crate::base::source::Source;
use crate::base::upstream;
use crate::base::{osreldate, repo};
use kdk_core::cache_dir::CacheDir;
use kdk_core::clock;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_doctor::disk_space;

/// Adds a base from a checkout or git directory of the user, and never writes
/// to it. The caller has locked the base.
pub fn from_checkout(
    cache: &CacheDir,
    definition: &Definition,
    src: &Path,
) -> Result<Record, Failure> {
    let source = Source::open(src)?;
    let commit = source.head()?;
    let from = source.dir.display().to_string();
    let osreldate = check_osreldate(&source.git(), definition, &commit, &from)?;
    let tried = format!("add the base `{}`", definition.name);
    disk_space::need(&tried, cache.root(), disk_space::TREE_AND_OBJECTS)?;
    repo::add_alternate(&repo::ensure(cache, &definition.name)?, &source)?;
    let record = Record {
        name: definition.name.clone(),
        src: Some(source.dir),
        commit,
        osreldate,
        added: clock::now(),
    };
    record.save(cache)?;
    Ok(record)
}

/// Adds a base from FreeBSD's official repository: the commit `commit`, or the
/// one that the definition describes. Continues an interrupted clone. The caller
/// has locked the base.
pub fn from_upstream(
    cache: &CacheDir,
    definition: &Definition,
    commit: Option<&str>,
    progress: upstream::Listener<'_>,
) -> Result<Record, Failure> {
    let tried = format!("add the base `{}`", definition.name);
    disk_space::need(&tried, cache.root(), disk_space::TREE_AND_OBJECTS)?;
    let git = repo::ensure(cache, &definition.name)?;
    let commit = upstream::clone(&git, definition, commit, progress)?;
    let osreldate = check_osreldate(&git, definition, &commit, &definition.repo)?;
    upstream::fetch_files(&git, definition, &commit, progress)?;
    let record = Record {
        name: definition.name.clone(),
        src: None,
        commit,
        osreldate,
        added: clock::now(),
    };
    record.save(cache)?;
    Ok(record)
}

/// Returns the `__FreeBSD_version` of `commit`, if the definition accepts it.
/// Messages call the tree `from`.
pub fn check_osreldate(
    git: &Git,
    definition: &Definition,
    commit: &str,
    from: &str,
) -> Result<u32, Failure> {
    let found = osreldate::read(git, commit)?;
    check_version(definition, found, from)
}

/// Checks that a tree of version `found` is the base.
fn check_version(definition: &Definition, found: Option<u32>, from: &str) -> Result<u32, Failure> {
    let tried = format!("use {from} as the base `{}`", definition.name);
    let Some(found) = found else {
        return Err(Failure::usage(
            tried,
            "it is not a FreeBSD tree: its commit has no sys/sys/param.h with a __FreeBSD_version",
        )
        .help("give --src a checkout of FreeBSD's source: the folder with sys/ in it"));
    };
    if definition.osreldate.holds(found) {
        return Ok(found);
    }
    let help = match definition::fitting(found)? {
        Some(other) => format!(
            "that is {name}: cargo xtask base add {name} --src {from}",
            name = other.name
        ),
        None => format!("check out the branch {} there", definition.branch),
    };
    Err(Failure::usage(
        tried,
        format!(
            "its __FreeBSD_version is {found}, but {} has {}",
            definition.name, definition.osreldate
        ),
    )
    .help(help))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use crate::base::fixtures::{commit, fingerprint, git, tree, write};
    use kdk_core::failure::rendered;

    struct Sandbox {
        dir: tempfile::TempDir,
        cache: CacheDir,
    }

    fn sandbox() -> Sandbox {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        Sandbox { dir, cache }
    }

    impl Sandbox {
        fn add(&self, name: &str, src: &Path) -> Result<Record, Failure> {
            from_checkout(&self.cache, &definition::find(name).unwrap(), src)
        }

        fn text(&self, failure: &Failure) -> String {
            let here = fs::canonicalize(self.dir.path()).unwrap();
            rendered(failure).replace(&*here.to_string_lossy(), "TMP")
        }
    }

    #[test]
    fn a_matching_tree_is_added_and_not_changed() {
        let sandbox = sandbox();
        let tree = tree(sandbox.dir.path(), "src", 1_501_000);
        let before = fingerprint(&tree);
        let record = sandbox.add("releng-15.1", &tree).unwrap();
        assert_eq!(record.osreldate, 1_501_000);
        assert_eq!(crate::base::record::all(&sandbox.cache).unwrap(), [record]);
        assert!(before == fingerprint(&tree), "the source was written to");
    }

    #[test]
    fn wrong_trees_are_refused_each_with_its_reason() {
        let sandbox = sandbox();
        let root = fs::canonicalize(sandbox.dir.path()).unwrap();
        tree(&root, "modern", 1_501_000);
        let stable = tree(&root, "stable", 1_501_500);
        let _ = stable;
        let linux = root.join("linux");
        write(&linux.join("Kconfig"), "x\n");
        git(&linux, &["init", "-q"]);
        commit(&linux, "import");
        git(&root, &["init", "-q", "empty"]);
        fs::create_dir(root.join("plain")).unwrap();
        write(&root.join("file"), "x");
        let mut texts = Vec::new();
        for (base, src) in [
            ("main", "missing"),
            ("main", "file"),
            ("main", "plain"),
            ("main", "empty"),
            ("main", "linux"),
            ("main", "modern"),
            ("main", "stable"),
        ] {
            let failure = sandbox.add(base, &root.join(src)).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{src}");
            texts.push(sandbox.text(&failure));
        }
        insta::assert_snapshot!(texts.join("\n"));
        assert!(crate::base::record::all(&sandbox.cache).unwrap().is_empty());
    }
}
