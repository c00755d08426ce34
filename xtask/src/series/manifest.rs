//! `patches/<series>/series.yaml`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::apply::Change;
use crate::failure::Failure;
use crate::yaml;

/// The manifest.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Version of the file's form; 1.
    pub schema: u32,
    /// Name and revision.
    pub series: Series,
    /// What it applies to.
    pub base: Base,
    #[serde(default, rename = "track")]
    _track: Vec<String>,
    #[serde(rename = "cover")]
    _cover: Option<String>,
    /// The patches, in apply order.
    #[serde(default)]
    pub patches: Vec<Patch>,
}

/// Name and revision.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// The directory's name.
    pub name: String,
    #[serde(rename = "revision")]
    _revision: u32,
}

/// What a series applies to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    #[serde(rename = "repo")]
    _repo: String,
    #[serde(rename = "branch")]
    _branch: String,
    #[serde(rename = "commit")]
    _commit: Option<String>,
    /// `__FreeBSD_version`.
    pub osreldate: u32,
}

/// What a patch is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Lets the kit boot or test at all.
    Enabling,
    /// Repairs a defect.
    Fix,
    /// Adds something.
    Feature,
    /// Adds a test.
    Test,
    /// Never leaves this repository.
    Local,
}

/// One patch.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// Its name.
    pub id: String,
    /// Its file, beside the manifest.
    pub file: String,
    /// What it is for.
    pub class: Class,
    /// Ids of patches it builds on.
    #[serde(default)]
    pub needs: Vec<String>,
    #[serde(rename = "upstream")]
    _upstream: serde_yaml::Value,
    #[serde(rename = "provenance")]
    _provenance: serde_yaml::Value,
    #[serde(rename = "trailers")]
    _trailers: serde_yaml::Value,
    #[serde(rename = "check")]
    _check: serde_yaml::Value,
}

/// A series that was read.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its directory.
    pub dir: PathBuf,
}

/// Reads the series of `base`, if there is one.
pub fn load(workspace: &Path, base: &str) -> Result<Option<Loaded>, Failure> {
    let dir = workspace.join("patches").join(base);
    let path = dir.join("series.yaml");
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|error| Failure::io("read the series", &path, error))?,
    };
    let name = format!("patches/{base}/series.yaml");
    let manifest: Manifest = yaml::parse(&name, &text)?;
    if let Some(problem) = problem(&manifest, base) {
        return Err(Failure::usage(format!("use {name}"), problem));
    }
    Ok(Some(Loaded { manifest, dir }))
}

/// What is wrong with a manifest that reads well.
fn problem(manifest: &Manifest, dir: &str) -> Option<String> {
    if manifest.schema != 1 {
        return Some(format!(
            "it has schema {}; this kit reads schema 1",
            manifest.schema
        ));
    }
    if manifest.series.name != dir {
        return Some(format!("it names the series '{}'", manifest.series.name));
    }
    let mut seen: Vec<&str> = Vec::new();
    for patch in &manifest.patches {
        if seen.contains(&patch.id.as_str()) {
            return Some(format!("duplicate id '{}'", patch.id));
        }
        if let Some(need) = patch
            .needs
            .iter()
            .find(|need| !seen.contains(&need.as_str()))
        {
            return Some(format!(
                "'{}' needs '{need}', which does not come before it",
                patch.id
            ));
        }
        let plain = Path::new(&patch.file).components().count() == 1;
        if !plain || patch.file.starts_with('.') {
            return Some(format!(
                "'{}' is not the name of a file beside it",
                patch.file
            ));
        }
        seen.push(&patch.id);
    }
    None
}

impl Loaded {
    /// Fails unless the tree is the one the series was written for.
    pub fn check_base(&self, osreldate: u32) -> Result<(), Failure> {
        let wanted = self.manifest.base.osreldate;
        if wanted == osreldate {
            return Ok(());
        }
        Err(Failure::usage(
            format!("apply the series {}", self.manifest.series.name),
            format!("osreldate {wanted} but sys/sys/param.h says {osreldate}"),
        )
        .help("rebase the series, or run with `--unpatched`"))
    }

    /// Whether a patch lets the kernel boot directly.
    pub fn enables_direct_boot(&self) -> bool {
        let enabling = |patch: &Patch| patch.class == Class::Enabling;
        self.manifest.patches.iter().any(enabling)
    }

    /// Ids, in apply order.
    pub fn ids(&self) -> Vec<String> {
        self.manifest
            .patches
            .iter()
            .map(|patch| patch.id.clone())
            .collect()
    }

    /// The diffs, in apply order.
    pub fn changes(&self) -> Result<Vec<Change>, Failure> {
        self.manifest
            .patches
            .iter()
            .map(|patch| {
                let path = self.dir.join(&patch.file);
                let diff = fs::read(&path).map_err(|error| {
                    Failure::io(format!("read the patch {}", patch.id), &path, error)
                })?;
                Ok(Change {
                    id: patch.id.clone(),
                    diff,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(patches: &str) -> Manifest {
        let text = format!(
            "schema: 1\nseries: {{name: x, revision: 1}}\nbase: {{repo: r, branch: b, commit: null, \
             osreldate: 1}}\npatches:\n{patches}"
        );
        yaml::parse("series.yaml", &text).unwrap()
    }

    fn patch(id: &str, file: &str, needs: &str) -> String {
        format!(
            "  - {{id: {id}, file: {file}, class: fix, needs: [{needs}], upstream: {{}}, provenance: {{}}, \
             trailers: {{}}, check: {{}}}}\n"
        )
    }

    #[test]
    fn problems_of_the_list() {
        let table = [
            (
                patch("a", "a.patch", "") + &patch("b", "b.patch", "a"),
                None,
            ),
            (
                patch("a", "a.patch", "") + &patch("a", "b.patch", ""),
                Some("duplicate id 'a'"),
            ),
            (
                patch("b", "b.patch", "a") + &patch("a", "a.patch", ""),
                Some("'b' needs 'a', which does not come before it"),
            ),
            (
                patch("a", "../a.patch", ""),
                Some("'../a.patch' is not the name of a file beside it"),
            ),
            (
                patch("a", "/a.patch", ""),
                Some("'/a.patch' is not the name of a file beside it"),
            ),
        ];
        for (patches, expected) in table {
            assert_eq!(
                problem(&manifest(&patches), "x").as_deref(),
                expected,
                "{patches}"
            );
        }
        assert!(problem(&manifest(""), "y").is_some());
    }
}
