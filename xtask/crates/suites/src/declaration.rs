//! The form of the declarations.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Reads a declaration.
pub fn parse<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    serde_yaml::from_str(&text).map_err(|source| Error::Form {
        path: path.to_owned(),
        source,
    })
}

/// The content of a userland suite's declaration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Userland {
    /// What the suite tests.
    pub about: String,
    /// What kdk.ko has for the same subject.
    pub kernel: Option<Kernel>,
    /// Names of suites whose tests it runs, or whose files it uses.
    #[serde(default)]
    pub uses: Vec<String>,
}

/// The part of a userland suite that is in kdk.ko.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Files and folders that belong to this suite alone.
    pub sources: Vec<PathBuf>,
}

/// The content of the declaration of suites that only kdk.ko has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InKernel {
    /// The suites declared here.
    pub suites: Vec<OneInKernel>,
}

/// One suite that only kdk.ko has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneInKernel {
    /// The part of its tests' names before the slash.
    pub name: String,
    /// What the suite tests.
    pub about: String,
    /// Files and folders that belong to this suite alone.
    pub sources: Vec<PathBuf>,
}
