//! The report files that a user asks for.

use std::fs;
use std::path::{Path, PathBuf};

use super::json::Report;
use super::{html, junit};
use crate::history::compare::Comparison;
use kdk_core::failure::Failure;

/// The report files that a caller asks for.
#[derive(Debug, Default)]
pub struct ReportFiles {
    /// The report as JSON.
    pub json: Option<PathBuf>,
    /// The report as JUnit XML.
    pub junit: Option<PathBuf>,
    /// The report as one HTML page.
    pub html: Option<PathBuf>,
}

impl ReportFiles {
    /// Fails if two reports would go to one file.
    ///
    /// # Errors
    /// [`Class::Usage`](kdk_core::failure::Class::Usage), with the file.
    pub fn check(&self) -> Result<(), Failure> {
        different(&[&self.json, &self.junit, &self.html])
    }

    /// Writes each of the files, even if another fails. Returns the first
    /// error.
    pub fn write(&self, report: &Report, changes: &Comparison) -> Result<(), Failure> {
        let json = self.json.as_ref().map(|path| report.write(path));
        let junit = self.junit.as_ref().map(|path| junit::write(path, report));
        let html = self.html.as_ref();
        let html = html.map(|path| html::write(path, report, changes));
        [json, junit, html].into_iter().flatten().collect()
    }
}

/// Fails if two of the reports would go to one file.
///
/// # Errors
/// [`Class::Usage`](kdk_core::failure::Class::Usage), with the file.
pub fn different(reports: &[&Option<PathBuf>]) -> Result<(), Failure> {
    let mut places = Vec::new();
    for path in reports.iter().copied().flatten() {
        let place = place(path);
        if places.contains(&place) {
            let what = format!("two reports would go to {}", path.display());
            return Err(Failure::usage("write the reports", what)
                .help("give each report a file of its own"));
        }
        places.push(place);
    }
    Ok(())
}

/// Returns where a file is, also if it does not exist yet.
fn place(path: &Path) -> PathBuf {
    if let Ok(place) = fs::canonicalize(path) {
        return place;
    }
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = absolute.parent().and_then(|dir| fs::canonicalize(dir).ok());
    match (folder, absolute.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => absolute,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::good_run;

    #[test]
    fn two_reports_do_not_share_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(dir.path().join(name));
        fs::write(dir.path().join("there"), "").unwrap();
        std::os::unix::fs::symlink("there", dir.path().join("link")).unwrap();
        for (json, html, good) in [
            ("a", "b", true),
            ("a", "a", false),
            ("a", "./a", false),
            ("there", "link", false),
            ("new/a", "new/a", false),
        ] {
            let files = ReportFiles {
                json: path(json),
                html: path(html),
                ..ReportFiles::default()
            };
            assert_eq!(files.check().is_ok(), good, "{json} {html}");
        }
    }

    #[test]
    fn one_file_that_cannot_be_written_does_not_prevent_others() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let files = ReportFiles {
            json: Some(file.join("below-a-file.json")),
            junit: Some(dir.path().join("report.xml")),
            html: Some(dir.path().join("new/report.html")),
        };
        let failure = files
            .write(&good_run(), &Comparison::default())
            .unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        assert!(dir.path().join("report.xml").exists());
        assert!(dir.path().join("new/report.html").exists());
    }
}
