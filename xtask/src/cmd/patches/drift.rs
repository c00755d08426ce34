//! `cargo xtask patches drift`.

use std::path::PathBuf;

use crate::cmd::patches::which::Which;
use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::applied;
use kdk_series::drift::table::{self, Column, DriftReport};
use kdk_series::drift::target::Target;
use kdk_series::drift::{DriftResult, Replay};

/// Report which patches apply to other trees, without building.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Added bases, git repositories (their HEAD), or folders with the files
    /// that the series changes; a base takes precedence over a folder of the
    /// same name
    #[arg(long, value_name = "BASE|DIR", num_args = 1.., required = true)]
    to: Vec<String>,
    /// Also write the table to FILE as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let say = |text: String| cx.terminal.line(&text);
    let series = args.which.load(cx)?;
    let targets = args.to.iter().map(|name| Target::find(&cx.cache, name));
    let targets = targets.collect::<Result<Vec<Target>, Failure>>()?;
    // Unlocks the base: another process may lock two bases in the other order.
    let applied = applied::apply_series(&cx.cache, &series, &say)?;
    let (replay, base) = (Replay::of(&applied)?, applied.start().to_owned());
    drop(applied);
    let mut columns = Vec::new();
    for target in &targets {
        if cx.interrupt.is_set() {
            return Err(Failure::infra(
                "compare the series with the targets",
                "it was interrupted",
            )
            .help("nothing was changed; run this again"));
        }
        let opened = target.open(&cx.cache, &say)?;
        columns.push(Column {
            target: target.name.clone(),
            commit: opened.history().map(|(_, commit)| commit.to_owned()),
            rows: replay.on(&opened, &say)?,
        });
    }
    let revision = series.manifest.series.revision;
    cx.terminal.print(format_args!(
        "{} revision {revision}, for {base:.12}",
        series.name()
    ));
    cx.terminal.print(table::text(&columns));
    if let Some(path) = &args.json {
        let report = DriftReport {
            schema: 1,
            series: series.name(),
            revision,
            base: &base,
            targets: columns.iter().map(table::Target::from).collect(),
        };
        let text = serde_json::to_vec_pretty(&report)
            .map_err(|error| Failure::infra("write the table", error.to_string()))?;
        write_atomically(path, &text)
            .map_err(|error| Failure::io("write the table", path, error))?;
    }
    verdict(series.name(), &targets, &columns)
}

/// Fails if a patch conflicts with a target.
fn verdict(series: &str, targets: &[Target], columns: &[Column]) -> Result<(), Failure> {
    let conflicts = |column: &Column| {
        let conflict = |outcome: &DriftResult| matches!(outcome, DriftResult::Conflicts { .. });
        let rows = column.rows.iter();
        rows.filter(|row| conflict(&row.outcome)).count()
    };
    let all: usize = columns.iter().map(|column| column.rows.len()).sum();
    let bad: usize = columns.iter().map(conflicts).sum();
    if bad == 0 {
        return Ok(());
    }
    let pairs = targets.iter().zip(columns);
    let base = pairs
        .filter(|(target, column)| target.is_base() && conflicts(column) > 0)
        .map(|(target, _)| &target.name)
        .next();
    Err(Failure::tests(format!("conflicts in {bad} of {all}")).help(match base {
        Some(base) => format!(
            "resolve them one by one: cargo xtask patches rebase --series {series} --onto {base}"
        ),
        None => {
            "to resolve them one by one, add the tree as a base (`cargo xtask base add`) and run `cargo \
                xtask patches rebase --onto BASE`"
                .to_owned()
        }
    }))
}
