//! Reads a series from its folder.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::base::apply::Change;
use crate::manifest::{Class, Manifest, Patch, problems};
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};
use kdk_core::workspace::workspace;
use kdk_core::yaml::{self, places};

/// The name of the manifest's file.
pub const MANIFEST: &str = "series.yaml";

/// The largest patch file that is read, in bytes.
pub const LARGEST: u64 = 10 << 20;

/// The largest manifest that is read, in bytes.
pub const LARGEST_MANIFEST: u64 = 1 << 20;

/// A series, read from its folder.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The manifest of the series.
    pub manifest: Manifest,
    /// The folder of the series.
    pub dir: PathBuf,
    /// The text of the manifest.
    pub text: String,
}

/// Returns the folder with one folder for each series: `KDK_PATCHES`, else this
/// repository's `patches`.
pub fn folder() -> PathBuf {
    std::env::var_os("KDK_PATCHES")
        .filter(|path| !path.is_empty())
        .map_or_else(|| workspace().join("patches"), PathBuf::from)
}

/// Returns the absolute path of the folder of `series`, which may not exist.
pub fn series_dir(series: &str) -> PathBuf {
    let folder = folder();
    let folder = fs::canonicalize(&folder)
        .or_else(|_| std::path::absolute(&folder))
        .unwrap_or(folder);
    folder.join(series)
}

/// Returns the names of all series, sorted.
pub fn names() -> Result<Vec<String>, Failure> {
    let folder = folder();
    let failed = |error| Failure::io("list the series", &folder, error);
    let entries = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        if path.join(MANIFEST).is_file() {
            names.extend(
                path.file_name()
                    .map(|name| name.to_string_lossy().into_owned()),
            );
        }
    }
    names.sort();
    Ok(names)
}

/// Reads the series of `base`, if there is one.
pub fn find(base: &str) -> Result<Option<Loaded>, Failure> {
    let dir = folder().join(base);
    let path = dir.join(MANIFEST);
    if !is_name(base) || fs::symlink_metadata(&path).is_err_and(|error| is_missing(&error)) {
        return Ok(None);
    }
    let text = input::read_text("read the series", &path, LARGEST_MANIFEST, Links::Refuse)?;
    parse(&dir, base, &text).map(Some)
}

/// Reads the series of `base`. Fails if there is none.
pub fn must(base: &str) -> Result<Loaded, Failure> {
    find(base)?.ok_or_else(|| none(base))
}

/// Returns the folder of the series of `base`. Fails if it has no manifest.
pub fn existing(base: &str) -> Result<PathBuf, Failure> {
    let dir = folder().join(base);
    let is_there = is_name(base) && dir.join(MANIFEST).exists();
    is_there.then_some(dir).ok_or_else(|| none(base))
}

fn none(base: &str) -> Failure {
    let dir = folder().join(base);
    Failure::usage(
        format!("read the series {base}"),
        format!("there is no {}", dir.join(MANIFEST).display()),
    )
    .help(format!(
        "begin one with `cargo xtask patches new ID --series {base}`, or set KDK_PATCHES to the folder that \
            contains it"
    ))
}

/// Returns whether `base` is a plain name, and not a path.
fn is_name(base: &str) -> bool {
    Path::new(base).components().count() == 1
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Reads the manifest `text` of the folder `dir`, whose series is `name`.
pub fn parse(dir: &Path, name: &str, text: &str) -> Result<Loaded, Failure> {
    parse_as(&format!("patches/{name}/{MANIFEST}"), dir, name, text)
}

/// Like [`parse`]; messages call the text `place`.
pub fn parse_as(place: &str, dir: &Path, name: &str, text: &str) -> Result<Loaded, Failure> {
    let manifest: Manifest = yaml::parse(place, text)?;
    if let Some(problem) = problems(&manifest, name).into_iter().next() {
        let span = places::span(text, &problem.path);
        return Err(Failure::usage(format!("use {place}"), problem.text)
            .help(problem.help)
            .at(place, text, span, "here"));
    }
    Ok(Loaded {
        manifest,
        dir: dir.to_owned(),
        text: text.to_owned(),
    })
}

impl Loaded {
    /// Returns the name of the series.
    pub fn name(&self) -> &str {
        &self.manifest.series.name
    }

    /// Fails unless the tree has the version that the series was written for.
    pub fn check_base(&self, osreldate: u32) -> Result<(), Failure> {
        let wanted = self.manifest.base.osreldate;
        if wanted == osreldate {
            return Ok(());
        }
        Err(Failure::usage(
            format!("apply the series {}", self.name()),
            format!("osreldate {wanted} but sys/sys/param.h says {osreldate}"),
        )
        .help(format!(
            "run `cargo xtask patches rebase --series {}`, or test without the series (`--no-patches`)",
            self.name()
        )))
    }

    /// Returns the series without the patches `ids` and without those that need
    /// one of them.
    pub fn without(mut self, ids: &[String]) -> Result<Self, Failure> {
        for id in ids {
            self.patch(id)?;
        }
        let mut out: BTreeSet<String> = ids.iter().cloned().collect();
        // A patch comes after those it needs, so one pass finds all.
        self.manifest.patches.retain(|patch| {
            let goes = out.contains(&patch.id) || patch.needs.iter().any(|id| out.contains(id));
            if goes {
                out.insert(patch.id.clone());
            }
            !goes
        });
        Ok(self)
    }

    /// Returns whether a patch of the series lets the kernel boot directly.
    pub fn enables_direct_boot(&self) -> bool {
        let enabling = |patch: &Patch| patch.class == Class::Enabling;
        self.manifest.patches.iter().any(enabling)
    }

    /// Returns the ids of the patches, in apply order.
    pub fn ids(&self) -> Vec<String> {
        let patches = self.manifest.patches.iter();
        patches.map(|patch| patch.id.clone()).collect()
    }

    /// Returns the patch `id`.
    pub fn patch(&self, id: &str) -> Result<&Patch, Failure> {
        let patches = &self.manifest.patches;
        if let Some(patch) = patches.iter().find(|patch| patch.id == id) {
            return Ok(patch);
        }
        let ids = patches.iter().map(|patch| patch.id.as_str());
        let help = match yaml::closest(id, ids) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!(
                "`cargo xtask patches list --series {}` lists them",
                self.name()
            ),
        };
        Err(Failure::usage(
            format!("find the patch `{id}`"),
            format!("the series {} has no patch with this id", self.name()),
        )
        .help(help))
    }

    /// Returns the path of the file of `patch`.
    pub fn path(&self, patch: &Patch) -> PathBuf {
        self.dir.join(&patch.file)
    }

    /// Reads the patch files, in apply order.
    pub fn changes(&self) -> Result<Vec<Change>, Failure> {
        let read = |patch: &Patch| {
            let path = self.path(patch);
            let tried = format!("read the patch {}", patch.id);
            let diff = input::read(&tried, &path, LARGEST, Links::Refuse)?;
            Change::new(patch.id.clone(), diff)
        };
        self.manifest.patches.iter().map(read).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use kdk_core::failure::rendered;

    /// Returns a series of patches: id, needs, tests.
    pub fn series(list: &[(&str, &str, &str)]) -> Loaded {
        let mut text = "schema: 1\nseries: {name: x, revision: 1}\nbase: {repo: r, branch: b, \
                        osreldate: 1}\npatches:\n"
            .to_owned();
        for (id, needs, tests) in list {
            text += &format!(
                "  - {{id: {id}, file: {id}.patch, class: fix, needs: [{needs}], provenance: {{origin: \
                 own, ai_assisted: false}}, check: {{tests: [{tests}]}}}}\n"
            );
        }
        parse(Path::new("/patches/x"), "x", &text).unwrap()
    }

    #[test]
    fn what_needs_a_patch_goes_with_it() {
        let all = series(&[("a", "", ""), ("b", "a", ""), ("c", "", ""), ("d", "b", "")]);
        for (ids, want) in [
            (vec!["a"], vec!["c"]),
            (vec!["b"], vec!["a", "c"]),
            (vec!["c"], vec!["a", "b", "d"]),
            (vec!["d"], vec!["a", "b", "c"]),
            (vec!["c", "d"], vec!["a", "b"]),
            (vec![], vec!["a", "b", "c", "d"]),
        ] {
            let ids: Vec<String> = ids.into_iter().map(str::to_owned).collect();
            assert_eq!(all.clone().without(&ids).unwrap().ids(), want, "{ids:?}");
        }
        let unknown = all.without(&["aa".into()]).unwrap_err();
        insta::assert_snapshot!(rendered(&unknown));
    }

    #[test]
    fn a_problem_shows_its_place() {
        let text = "schema: 1\nseries: {name: x, revision: 1}\nbase: {repo: r, branch: b, osreldate: 1}\n\
                    patches:\n  - id: a\n    file: ../a.patch\n    class: fix\n    provenance: {origin: own, \
                    ai_assisted: false}\n";
        let failure = parse(Path::new("/patches/x"), "x", text).unwrap_err();
        insta::assert_snapshot!(rendered(&failure));
    }
}
