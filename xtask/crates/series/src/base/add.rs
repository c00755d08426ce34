//! Adding a base: from a clone of FreeBSD's official repository, or from a
//! repository the user has.

use std::path::Path;

use crate::base::definition::{self, Definition};
use crate::base::record::Record;
use crate::base::source::Source;
use crate::base::upstream;
use crate::base::{osreldate, repo};
use kdk_core::cache_dir::Home;
use kdk_core::clock;
use kdk_core::failure::Failure;
use kdk_core::git::Git;
use kdk_doctor::disk_space;

/// Adds a base from a checkout or git directory of the user's, which is never
/// written to. The caller holds the base's lock.
pub fn from_checkout(home: &Home, definition: &Definition, src: &Path) -> Result<Record, Failure> {
    let source = Source::open(src)?;
    let commit = source.head()?;
    let from = source.dir.display().to_string();
    let osreldate = check_osreldate(&source.git(), definition, &commit, &from)?;
    let tried = format!("add the base `{}`", definition.name);
    disk_space::need(&tried, home.root(), disk_space::TREE_AND_OBJECTS)?;
    repo::add_alternate(&repo::ensure(home, &definition.name)?, &source)?;
    let record = Record {
        name: definition.name.clone(),
        src: Some(source.dir),
        commit,
        osreldate,
        added: clock::now(),
    };
    record.save(home)?;
    Ok(record)
}

/// Adds a base from FreeBSD's official repository. An interrupted one goes on
/// where it was. The caller holds the base's lock.
pub fn from_upstream(
    home: &Home,
    definition: &Definition,
    progress: upstream::Listener<'_>,
) -> Result<Record, Failure> {
    let tried = format!("add the base `{}`", definition.name);
    disk_space::need(&tried, home.root(), disk_space::TREE_AND_OBJECTS)?;
    let git = repo::ensure(home, &definition.name)?;
    let commit = upstream::clone(&git, definition, progress)?;
    let osreldate = check_osreldate(&git, definition, &commit, &definition.repo)?;
    upstream::fetch_files(&git, definition, &commit, progress)?;
    let record = Record {
        name: definition.name.clone(),
        src: None,
        commit,
        osreldate,
        added: clock::now(),
    };
    record.save(home)?;
    Ok(record)
}

/// The `__FreeBSD_version` of `commit`, if it is what the definition wants.
/// `from` names the place in messages.
pub fn check_osreldate(
    git: &Git,
    definition: &Definition,
    commit: &str,
    from: &str,
) -> Result<u32, Failure> {
    let found = osreldate::read(git, commit)?;
    judge(definition, found, from)
}

/// Whether a tree of version `found` is the base.
fn judge(definition: &Definition, found: Option<u32>, from: &str) -> Result<u32, Failure> {
    let tried = format!("use {from} as the base `{}`", definition.name);
    let Some(found) = found else {
        return Err(Failure::usage(
            tried,
            "it is not a FreeBSD tree: its commit has no sys/sys/param.h with a __FreeBSD_version",
        )
        .help("give --src a checkout of FreeBSD's source: the folder that holds sys/"));
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

    struct Place {
        dir: tempfile::TempDir,
        home: Home,
    }

    fn place() -> Place {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        Place { dir, home }
    }

    impl Place {
        fn add(&self, name: &str, src: &Path) -> Result<Record, Failure> {
            from_checkout(&self.home, &definition::find(name).unwrap(), src)
        }

        fn text(&self, failure: &Failure) -> String {
            let here = fs::canonicalize(self.dir.path()).unwrap();
            rendered(failure).replace(&*here.to_string_lossy(), "TMP")
        }
    }

    #[test]
    fn a_right_tree_is_taken_and_left_alone() {
        let place = place();
        let tree = tree(place.dir.path(), "src", 1_501_000);
        let before = fingerprint(&tree);
        let record = place.add("releng-15.1", &tree).unwrap();
        assert_eq!(record.osreldate, 1_501_000);
        assert_eq!(crate::base::record::all(&place.home).unwrap(), [record]);
        assert!(before == fingerprint(&tree), "the source was written to");
    }

    #[test]
    fn wrong_trees_are_refused_each_with_its_reason() {
        let place = place();
        let root = fs::canonicalize(place.dir.path()).unwrap();
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
            let failure = place.add(base, &root.join(src)).unwrap_err();
            assert_eq!(failure.exit_code(), 2, "{src}");
            texts.push(place.text(&failure));
        }
        insta::assert_snapshot!(texts.join("\n"));
        assert!(crate::base::record::all(&place.home).unwrap().is_empty());
    }
}
