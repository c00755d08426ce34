//! Files of JSON that carry the version of their format.

use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use kdk_core::failure::Failure;

/// Why a file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadFile {
    /// It does not exist.
    Missing,
    /// It cannot be read.
    Unreadable(String),
    /// It ends too early.
    Truncated,
    /// It is not what its name says.
    Malformed(String),
    /// It has an older version of the format.
    Older {
        /// The version of the file.
        found: u32,
        /// The version that this kdk reads.
        wanted: u32,
    },
    /// It has a newer version of the format.
    Newer {
        /// The version of the file.
        found: u32,
        /// The version that this kdk reads.
        wanted: u32,
    },
}

impl std::fmt::Display for BadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => write!(f, "does not exist"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Truncated => write!(f, "is truncated"),
            Self::Malformed(error) => write!(f, "is malformed: {error}"),
            Self::Older { found, wanted } => write!(
                f,
                "has the older schema {found}; this version of kdk reads {wanted}"
            ),
            Self::Newer { found, wanted } => write!(
                f,
                "has the newer schema {found}; this version of kdk reads {wanted}"
            ),
        }
    }
}

impl BadFile {
    /// Returns the failure to read `path`, which is `what`.
    pub fn failure(&self, what: &str, path: &Path) -> Failure {
        let failure = Failure::usage(format!("read {what}"), format!("{} {self}", path.display()));
        match self {
            Self::Older { .. } => failure.help("write it again with this version of kdk"),
            Self::Newer { .. } => failure.help("use the version of kdk that wrote it"),
            _ => failure,
        }
    }
}

/// The part of every file that is read first.
#[derive(Deserialize)]
struct Header {
    schema: u32,
}

/// Reads the file `path`, whose format must have the version `wanted`.
///
/// # Errors
/// Why the file cannot be used.
pub fn read<T: DeserializeOwned>(path: &Path, wanted: u32) -> Result<T, BadFile> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => BadFile::Missing,
        _ => BadFile::Unreadable(error.to_string()),
    })?;
    parse(&bytes, wanted)
}

/// Parses the content of a file whose format must have the version `wanted`.
///
/// # Errors
/// Why the content cannot be used.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], wanted: u32) -> Result<T, BadFile> {
    let bad = |error: serde_json::Error| match error.is_eof() {
        true => BadFile::Truncated,
        false => BadFile::Malformed(error.to_string()),
    };
    let found = serde_json::from_slice::<Header>(bytes).map_err(bad)?.schema;
    match found.cmp(&wanted) {
        std::cmp::Ordering::Less => Err(BadFile::Older { found, wanted }),
        std::cmp::Ordering::Greater => Err(BadFile::Newer { found, wanted }),
        std::cmp::Ordering::Equal => serde_json::from_slice(bytes).map_err(bad),
    }
}
