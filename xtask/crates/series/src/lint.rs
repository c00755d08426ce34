//! The checks of `patches lint`: everything in the files of a series, and on
//! its base, that would block review, git or an export.

mod base;
mod body;
mod file;
mod finding;
#[cfg(test)]
mod fuzz;
mod manifest;
mod mdoc;
mod patch;
mod path;
mod proof;
mod provenance;
mod remark;
mod size;
mod style;
mod subject;
mod touched;
pub mod trailers;

pub use finding::{Check, Finding, LintReport, Severity};
pub use proof::waives;

use std::path::Path;

use crate::load::Loaded;
use kdk_core::cache_dir::CacheDir;
use kdk_core::failure::Failure;
use patch::CheckedPatch;

/// The version of the checks of one patch that need no base. Increment it when
/// one of them changes, so that CI runs them again.
pub const RULES: u32 = 1;

/// Checks the series `name` in the folder `dir`, whose manifest may be invalid.
///
/// # Errors
/// The series does not exist, the base cannot be opened, or a tool cannot be
/// run.
pub fn folder(
    cache: &CacheDir,
    dir: &Path,
    name: &str,
    base: Option<&str>,
    say: &dyn Fn(String),
) -> Result<LintReport, Failure> {
    let read = manifest::read(dir, name)?;
    let Some(series) = read.series else {
        return Ok(LintReport {
            findings: read.findings,
            not_checked: vec!["the patches, because the manifest cannot be read".into()],
            ..LintReport::default()
        });
    };
    let mut report = all(cache, &series, base, say)?;
    report.findings.extend(read.findings);
    sort(&mut report.findings, &series);
    Ok(report)
}

/// Returns the findings in the files of a series that need no base, without the
/// waived ones.
///
/// # Errors
/// The folder cannot be read, or git cannot be run.
pub fn static_findings(series: &Loaded) -> Result<Vec<Finding>, Failure> {
    let mut findings = manifest::listing(series)?;
    for checked in check_patches(series)? {
        findings.extend(checked.findings);
    }
    waive(&mut findings, series);
    sort(&mut findings, series);
    Ok(findings)
}

/// Returns the findings of one patch that need no base.
///
/// # Errors
/// The series has no such patch, or git cannot be run.
pub fn patch_findings(series: &Loaded, id: &str) -> Result<Vec<Finding>, Failure> {
    series.patch(id)?;
    let at = series.ids().iter().position(|known| known == id);
    let mut findings = patch::check(series, at.unwrap_or_default())?.findings;
    waive(&mut findings, series);
    Ok(findings)
}

/// Returns [`static_findings`] and those on the base `base` (the series' own if
/// there is none), if it was added.
///
/// # Errors
/// The base cannot be opened, or a tool cannot be run.
pub fn all(
    cache: &CacheDir,
    series: &Loaded,
    base: Option<&str>,
    say: &dyn Fn(String),
) -> Result<LintReport, Failure> {
    let checked = check_patches(series)?;
    let mut report = LintReport {
        findings: manifest::listing(series)?,
        ..LintReport::default()
    };
    for (checked, id) in checked.iter().zip(series.ids()) {
        if checked.text.is_none() {
            let why = format!("the rest of {id}: its file cannot be read");
            report.not_checked.push(why);
        }
    }
    base::check(cache, series, &checked, base, say, &mut report)?;
    for checked in checked {
        report.findings.extend(checked.findings);
    }
    report.waived = waive(&mut report.findings, series);
    sort(&mut report.findings, series);
    Ok(report)
}

fn check_patches(series: &Loaded) -> Result<Vec<CheckedPatch>, Failure> {
    let patches = 0..series.manifest.patches.len();
    patches.map(|n| patch::check(series, n)).collect()
}

/// Removes the findings that the patches waive, and returns their number.
fn waive(findings: &mut Vec<Finding>, series: &Loaded) -> usize {
    let before = findings.len();
    findings.retain(|finding| {
        let is_of = |id: &String| finding.patch.as_ref() == Some(id);
        let mut patches = series.manifest.patches.iter();
        let patch = patches.find(|patch| is_of(&patch.id));
        !patch.is_some_and(|patch| proof::waives(patch, finding.check, finding.severity))
    });
    before - findings.len()
}

/// Sorts findings by patch, then by check.
fn sort(findings: &mut [Finding], series: &Loaded) {
    let ids = series.ids();
    let patch = |finding: &Finding| {
        let id = finding.patch.as_ref()?;
        ids.iter().position(|other| other == id)
    };
    findings.sort_by_key(|finding| (patch(finding), finding.check));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;
    use kdk_core::workspace::workspace;

    #[test]
    fn the_series_of_this_repository_have_no_errors() {
        let folder = workspace().join("patches");
        for entry in std::fs::read_dir(&folder).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let text = std::fs::read_to_string(entry.path().join(load::MANIFEST)).unwrap();
            let series = load::parse(&entry.path(), &name, &text).unwrap();
            let findings = static_findings(&series).unwrap();
            let errors: Vec<&Finding> = findings
                .iter()
                .filter(|finding| finding.severity == Severity::Error)
                .collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
    }
}
