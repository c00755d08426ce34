//! `cargo xtask ci report`.

use std::path::PathBuf;

use crate::cmd::patches::which::Which;
use kdk_ci::point::{self, Point};
use kdk_ci::store::CiStore;
use kdk_ci::trend::Trend;
use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// Report how a series developed over its revisions.
///
/// Prints the benchmarks that became worse by more than their noise, each with the
/// revision, and the flaky tests with their intervals. The page has the verdicts
/// and the benchmarks by revision too, and the slowest phases.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Write the report as one HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// The base, and so the series [default: as for `patches`]
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let which = Which {
        series: args.base.clone(),
    };
    let series = which.name(cx)?;
    let store = CiStore::open(&cx.cache, &series);
    let points = Point::all(&store)?;
    let last = point::find(&points, &series, None)?;
    let state = points[last].worst().name();
    let revisions = points.len();
    let trend = Trend::new(points, &store.results());
    for line in trend.findings() {
        cx.terminal.line(&line);
    }
    cx.terminal.line(&format!(
        "{series}: {revisions} revisions, the newest one {state}; {} benchmarks became worse by more than their noise, {} \
         tests are flaky",
        trend.regressions.len(),
        trend.flaky.len()
    ));
    match &args.html {
        Some(path) => trend.write_html(path),
        None => Ok(()),
    }
}
