//! `patches lint`: what a reviewer, git or the export would stumble over,
//! found in the files of a series and on its base.

pub mod finding;

pub use finding::{Check, Finding, Report, Severity};

use crate::failure::Failure;
use crate::home::Home;
use crate::series::load::Loaded;

/// What is wrong with the files of a series, whatever they are applied to.
/// What a patch waives is left out.
///
/// # Errors
/// The folder cannot be read, or git cannot be run.
pub fn static_findings(series: &Loaded) -> Result<Vec<Finding>, Failure> {
    let _ = series;
    Ok(Vec::new())
}

/// [`static_findings`], and what shows on the base `base` (the series' own
/// where there is none), if it was added.
///
/// # Errors
/// The base cannot be opened, or git cannot be run.
pub fn all(
    home: &Home,
    series: &Loaded,
    base: Option<&str>,
    say: &dyn Fn(String),
) -> Result<Report, Failure> {
    let _ = (home, base, say);
    Ok(Report {
        findings: static_findings(series)?,
        ..Report::default()
    })
}
