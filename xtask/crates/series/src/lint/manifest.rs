//! The manifest and the folder of a series: read as far as they go, with all
//! that is wrong.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::lint::finding::{Check, Finding, Severity, Spot};
use crate::load::{Loaded, MANIFEST};
use crate::manifest::{Manifest, is_beside, problems};
use kdk_core::failure::Failure;
use kdk_core::yaml::faults;
use kdk_core::yaml::places::{self, Step};

/// The largest manifest that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// What became of a manifest.
#[derive(Debug)]
pub struct Read {
    /// What is wrong with it.
    pub findings: Vec<Finding>,
    /// The series, if the manifest has the right shape.
    pub series: Option<Loaded>,
}

/// The manifest's name in messages.
pub fn place(name: &str) -> String {
    format!("patches/{name}/{MANIFEST}")
}

/// Reads the manifest of the series `name` in `dir`.
///
/// # Errors
/// It is not there, or the disk's.
pub fn read(dir: &Path, name: &str) -> Result<Read, Failure> {
    let path = dir.join(MANIFEST);
    let failed = |error| Failure::io("read the series", &path, error);
    let bad = |text: String, help: &str| {
        Ok(Read {
            findings: vec![error(Check::Key, text, help)],
            series: None,
        })
    };
    let size = fs::metadata(&path).map_err(failed)?.len();
    if size > LARGEST {
        let text = format!(
            "{} is {} MB, limit 1 MB; it was not read",
            place(name),
            size >> 20
        );
        return bad(
            text,
            "a manifest lists patches: look at what the file holds",
        );
    }
    match fs::read_to_string(&path) {
        Ok(text) => Ok(parse(dir, name, &text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => bad(
            format!("{} is not UTF-8", place(name)),
            "save the file as UTF-8",
        ),
        Err(error) => Err(failed(error)),
    }
}

/// Reads the manifest `text` of the series `name` in `dir`.
pub fn parse(dir: &Path, name: &str, text: &str) -> Read {
    let source: Arc<str> = text.into();
    let spot = |span| Spot {
        name: place(name),
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

/// The id of the patch that a part of the manifest belongs to.
fn patch_at(manifest: &Manifest, path: &[Step<'_>]) -> Option<String> {
    let n = path.iter().find_map(|step| match step {
        Step::Item(n) => Some(*n),
        Step::Key(_) => None,
    })?;
    Some(manifest.patches.get(n)?.id.clone())
}

/// What lies in the folder and is not listed; and a cover that is listed and
/// does not lie there. Missing patches show when they are read.
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
            let help = "every patch file of the folder is a patch of the series";
            found.push(error(Check::Listing, text, help));
        } else if is_left {
            let text = format!("{name} was left behind by a tool; delete it");
            let help = "the folder holds the series alone";
            found.push(error(Check::Listing, text, help));
        }
    }
    if let Some(cover) = manifest.cover.as_ref().filter(|cover| is_beside(cover))
        && !names.contains(cover)
    {
        let span = places::span(&series.text, &[Step::Key("cover")]);
        found.push(Finding {
            spot: Some(Spot {
                name: place(series.name()),
                source: series.text.as_str().into(),
                span,
            }),
            ..error(
                Check::Listing,
                format!("{cover} is listed but missing"),
                "write it, a title on its first line; or take `cover` out",
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
