//! `cargo xtask ci lint`.

use kdk_ci::matrix::{self, FILE, Known};
use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_guest::build::userland;

/// Runs the command.
pub fn run(cx: &Context) -> Result<(), Failure> {
    let text = matrix::text()?;
    let known = Known::of_this_repository(&userland::suites()?)?;
    let findings = matrix::lint(&text, &known);
    for finding in &findings {
        let before = text.get(..finding.span.0).unwrap_or(&text);
        let line = before.matches('\n').count() + 1;
        cx.terminal
            .print(format!("{FILE}:{line}: {}: {}", finding.text, finding.help));
    }
    match findings.len() {
        0 => {
            cx.terminal.print(format!("{FILE}: no findings"));
            Ok(())
        }
        count => Err(Failure::plain(
            Class::Usage,
            match count {
                1 => format!("{FILE}: 1 finding"),
                _ => format!("{FILE}: {count} findings"),
            },
        )),
    }
}
