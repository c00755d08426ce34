//! `cargo xtask tidy`: the style of the repository's own files.

use kdk_tidy::{CHECKS, Repo};

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;

/// Runs the command: prints every finding, and fails if there is one.
pub fn run(cx: &Context) -> Result<(), Failure> {
    let repo = Repo::read(workspace()).map_err(|error| {
        Failure::infra("read the repository", "its files cannot be listed").source(error)
    })?;
    let mut summary = Vec::new();
    for check in &CHECKS {
        let findings = check.run(&repo);
        for finding in &findings {
            cx.terminal.print(finding);
        }
        if !findings.is_empty() {
            summary.push(format!("{}: {}", check.name, findings.len()));
        }
    }
    if summary.is_empty() {
        cx.terminal
            .print(format_args!("{} files are tidy", repo.paths.len()));
        return Ok(());
    }
    Err(Failure::tests(format!(
        "the repository is not tidy: {}",
        summary.join(", ")
    ))
    .help("each line above names a file, a line, and what to do"))
}
