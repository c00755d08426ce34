//! Files of JSON that carry the version of their format.

use std::error::Error;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};

use crate::store::LARGEST;

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

/// Reads the file `path`, whose format must have the version `wanted`. It can
/// come from a stranger: only a regular file of a limited size is read.
///
/// # Errors
/// Why the file cannot be used.
pub fn read<T: DeserializeOwned>(path: &Path, wanted: u32) -> Result<T, BadFile> {
    if !path.is_symlink() && !path.exists() {
        return Err(BadFile::Missing);
    }
    let bytes = input::read("read it", path, LARGEST, Links::Refuse).map_err(|failure| {
        let why = Error::source(&failure).map(ToString::to_string);
        BadFile::Unreadable(why.unwrap_or_else(|| failure.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Example {
        schema: u32,
        name: String,
    }

    #[test]
    fn each_bad_file_has_its_reason() {
        for (text, want) in [
            ("", "is truncated"),
            (r#"{"schema": 2, "na"#, "is truncated"),
            (r#"{"schema": 2, "name": "#, "is truncated"),
            ("x", "is malformed: expected value at line 1 column 1"),
            (
                "{}",
                "is malformed: missing field `schema` at line 1 column 2",
            ),
            (
                r#"{"schema": 2}"#,
                "is malformed: missing field `name` at line 1 column 13",
            ),
            // The version decides before the content does.
            (
                r#"{"schema": 1}"#,
                "has the older schema 1; this version of kdk reads 2",
            ),
            (
                r#"{"schema": 3}"#,
                "has the newer schema 3; this version of kdk reads 2",
            ),
        ] {
            let bad = parse::<Example>(text.as_bytes(), 2).unwrap_err();
            assert_eq!(bad.to_string(), want, "{text}");
        }
        let good = parse::<Example>(br#"{"schema": 2, "name": "a", "more": 1}"#, 2).unwrap();
        assert_eq!(good.name, "a");
    }

    #[test]
    fn a_file_that_does_not_exist_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        assert_eq!(read::<Example>(&path, 2).unwrap_err(), BadFile::Missing);
        std::os::unix::fs::symlink("nothing", dir.path().join("link")).unwrap();
        for (path, want) in [
            (dir.path().to_owned(), "is not a regular file"),
            (dir.path().join("link"), "is a symbolic link"),
        ] {
            let bad = read::<Example>(&path, 2).unwrap_err();
            let want = format!("cannot be read: {} {want}", path.display());
            assert_eq!(bad.to_string(), want);
        }
    }
}
