//! Checks the manifest and the folder of a series, and reports all problems.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::lint::finding::{Check, Finding, Severity, Spot};
use crate::load::{LARGEST_MANIFEST, Loaded, MANIFEST};
use crate::manifest::{Manifest, is_plain_name, problems};
use kdk_core::failure::Failure;
use kdk_core::yaml::faults;
use kdk_core::yaml::places::{self, PathSegment};

/// The result of reading a manifest.
#[derive(Debug)]
pub struct Read {
    /// The findings in the manifest.
    pub findings: Vec<Finding>,
    /// The series, if the manifest parses.
    pub series: Option<Loaded>,
}

/// Returns the name of the manifest in messages.
pub fn display_path(name: &str) -> String {
    format!("patches/{name}/{MANIFEST}")
}

/// Reads the manifest of the series `name` in `dir`.
///
/// # Errors
/// The file does not exist, or cannot be read.
pub fn read(dir: &Path, name: &str) -> Result<Read, Failure> {
    let path = dir.join(MANIFEST);
    let failed = |error| Failure::io("read the series", &path, error);
    let bad = |text: String, help: &str| {
        Ok(Read {
            findings: vec![error(Check::Key, text, help)],
            series: None,
        })
    };
    let file = fs::symlink_metadata(&path).map_err(failed)?;
    if !file.is_file() {
        return bad(
            format!("{} is not a regular file", display_path(name)),
            "a manifest is a file in the folder of its series",
        );
    }
    let size = file.len();
    if size > LARGEST_MANIFEST {
        let text = format!(
            "{} is {} MB, limit 1 MB; it was not read",
            display_path(name),
            size >> 20
        );
        return bad(
            text,
            "a manifest only lists patches: check what the file contains",
        );
    }
    match fs::read_to_string(&path) {
        Ok(text) => Ok(parse(dir, name, &text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => bad(
            format!("{} is not UTF-8", display_path(name)),
            "save the file as UTF-8",
        ),
        Err(error) => Err(failed(error)),
    }
}

/// Reads the manifest `text` of the series `name` in `dir`.
pub fn parse(dir: &Path, name: &str, text: &str) -> Read {
    let source: Arc<str> = text.into();
    let spot = |span| Spot {
        name: display_path(name),
        source: Arc::clone(&source),
        span,
    };
    let manifest: Manifest = match faults::read(text) {
        Ok(manifest) => manifest,
        Err(faults) => {
            let finding = |fault: faults::Fault| Finding {
                spot: Some(spot(fault.span)),
                ..error(
                    Check::Key,
                    fault.text,
                    fault
                        .help
                        .as_deref()
                        .unwrap_or("README.md shows the form of a manifest"),
                )
            };
            return Read {
                findings: faults.into_iter().map(finding).collect(),
                series: None,
            };
        }
    };
    let findings = problems(&manifest, name)
        .into_iter()
        .map(|problem| Finding {
            patch: patch_at(&manifest, &problem.path),
            spot: Some(spot(places::span(text, &problem.path))),
            ..error(problem.check, problem.text, problem.help)
        })
        .collect();
    let series = Some(Loaded {
        manifest,
        dir: dir.to_owned(),
        text: text.to_owned(),
    });
    Read { findings, series }
}

/// Returns the id of the patch that a path in the manifest belongs to.
fn patch_at(manifest: &Manifest, path: &[PathSegment<'_>]) -> Option<String> {
    let n = path.iter().find_map(|step| match step {
        PathSegment::Item(n) => Some(*n),
        PathSegment::Key(_) => None,
    })?;
    Some(manifest.patches.get(n)?.id.clone())
}

/// Finds files in the folder that are not listed, and a cover letter that is
/// missing. Missing patches are found when they are read.
///
/// # Errors
/// The folder cannot be read.
pub fn listing(series: &Loaded) -> Result<Vec<Finding>, Failure> {
    let failed = |error| Failure::io("list the files of the series", &series.dir, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(&series.dir).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.push(name.to_string_lossy().into_owned());
    }
    names.sort();
    let manifest = &series.manifest;
    let is_listed = |name: &str| manifest.patches.iter().any(|patch| patch.file == name);
    let mut found = Vec::new();
    for name in &names {
        let is_patch = name.ends_with(".patch") || name.ends_with(".diff");
        let is_left = name.ends_with(".rej") || name.ends_with(".orig");
        if is_patch && !is_listed(name) {
            let text = format!("{name} is not listed; add it or delete it");
            let help = "every patch file in the folder must be a patch of the series";
            found.push(error(Check::Listing, text, help));
        } else if is_left {
            let text = format!("{name} is a leftover of a tool; delete it");
            let help = "the folder is for the series only";
            found.push(error(Check::Listing, text, help));
        }
    }
    if let Some(cover) = manifest.cover.as_ref().filter(|cover| is_plain_name(cover))
        && !names.contains(cover)
    {
        let span = places::span(&series.text, &[PathSegment::Key("cover")]);
        found.push(Finding {
            spot: Some(Spot {
                name: display_path(series.name()),
                source: series.text.as_str().into(),
                span,
            }),
            ..error(
                Check::Listing,
                format!("{cover} is listed but missing"),
                "write it, with a title on the first line; or remove `cover`",
            )
        });
    }
    Ok(found)
}

fn error(check: Check, text: String, help: &str) -> Finding {
    Finding {
        check,
        patch: None,
        severity: Severity::Error,
        text,
        help: help.to_owned(),
        spot: None,
    }
}
