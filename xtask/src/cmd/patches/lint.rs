//! `cargo xtask patches lint`.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};
use serde::Serialize;

use crate::cmd::patches::which::Which;
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::failure::{Class, Failure};
use kdk_core::terminal::cut_lines;
use kdk_series::lint::{self, Finding, LintReport, Severity};
use kdk_series::load;

/// Report everything that would block review, with file and line.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Check on this base instead of the series' own
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// Also write the findings to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let name = args.which.name(cx)?;
    let dir = load::existing(&name)?;
    let say = |text: String| cx.terminal.line(&text);
    let report = lint::folder(&cx.cache, &dir, &name, args.base.as_deref(), &say)?;
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    if let Some(findings) = text(&report, colours).strip_suffix('\n') {
        cx.terminal.print(cut_lines(findings));
    }
    if let Some(path) = &args.json {
        write(path, &name, &report)?;
    }
    if report.is_good() {
        cx.terminal
            .print(format_args!("{name}: {}", report.summary()));
        return Ok(());
    }
    Err(Failure::plain(
        Class::Usage,
        format!("{name}: {}", report.summary()),
    ))
}

/// Renders the report as text, without the summary.
fn text(report: &LintReport, colours: bool) -> String {
    let theme = match colours {
        true => GraphicalTheme::unicode(),
        false => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        // A message stays on one line, so that it can be searched for.
        .with_wrap_lines(false)
        .with_links(false);
    let mut out = String::new();
    for finding in &report.findings {
        // Writing to a string cannot fail.
        let _ = handler.render_report(&mut out, finding);
        out.push('\n');
    }
    for why in &report.not_checked {
        out.push_str(&format!("not checked: {why}\n"));
    }
    out
}

/// The report as JSON.
#[derive(Debug, Serialize)]
struct Json<'a> {
    series: &'a str,
    errors: usize,
    warnings: usize,
    waived: usize,
    findings: Vec<Entry<'a>>,
    not_checked: &'a [String],
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    check: &'static str,
    severity: &'static str,
    patch: Option<&'a str>,
    text: &'a str,
    help: &'a str,
    file: Option<&'a str>,
    line: Option<usize>,
    column: Option<usize>,
}

impl<'a> Entry<'a> {
    fn of(finding: &'a Finding) -> Self {
        let place = finding.spot.as_ref().map(|spot| spot.line_column());
        Self {
            check: finding.check.name(),
            severity: finding.severity.name(),
            patch: finding.patch.as_deref(),
            text: &finding.text,
            help: &finding.help,
            file: finding.spot.as_ref().map(|spot| spot.name.as_str()),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
        }
    }
}

fn json(name: &str, report: &LintReport) -> Result<String, Failure> {
    let json = Json {
        series: name,
        errors: report.count(Severity::Error),
        warnings: report.count(Severity::Warning),
        waived: report.waived,
        findings: report.findings.iter().map(Entry::of).collect(),
        not_checked: &report.not_checked,
    };
    serde_json::to_string_pretty(&json)
        .map_err(|error| Failure::infra("write the findings", error.to_string()))
}

fn write(path: &Path, name: &str, report: &LintReport) -> Result<(), Failure> {
    let text = json(name, report)? + "\n";
    write_atomically(path, text.as_bytes())
        .map_err(|error| Failure::io("write the findings", path, error))
}
