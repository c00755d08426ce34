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
    /// Other branches it should go on applying to.
    #[serde(default)]
    pub track: Vec<String>,
    /// The cover letter, a file beside the manifest.
    pub cover: Option<String>,
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
    /// Counts what was sent out.
    pub revision: u32,
}

/// What a series applies to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Where its history is.
    pub repo: String,
    /// Its branch.
    pub branch: String,
    /// The commit, where one is known.
    pub commit: Option<String>,
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
    /// Where it stands upstream.
    pub upstream: serde_yaml::Value,
    /// Who made it.
    pub provenance: serde_yaml::Value,
    /// Trailers of its message.
    pub trailers: serde_yaml::Value,
    /// What proves it.
    pub check: serde_yaml::Value,
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
    let manifest: Manifest = yaml::parse(&format!("patches/{base}/series.yaml"), &text)?;
    Ok(Some(Loaded { manifest, dir }))
}

impl Loaded {
    /// Whether a patch lets the kernel boot directly.
    pub fn enables_direct_boot(&self) -> bool {
        let enabling = |patch: &Patch| patch.class == Class::Enabling;
        self.manifest.patches.iter().any(enabling)
    }

    /// Ids, in apply order.
    pub fn ids(&self) -> Vec<String> {
        self.manifest.patches.iter().map(|patch| patch.id.clone()).collect()
    }

    /// The diffs, in apply order.
    pub fn changes(&self) -> Result<Vec<Change>, Failure> {
        self.manifest
            .patches
            .iter()
            .map(|patch| {
                let path = self.dir.join(&patch.file);
                let diff = fs::read(&path)
                    .map_err(|error| Failure::io(format!("read the patch {}", patch.id), &path, error))?;
                Ok(Change {
                    id: patch.id.clone(),
                    diff,
                })
            })
            .collect()
    }
}
