//! The report files that a user asks for.

use std::path::PathBuf;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::good_run;

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
