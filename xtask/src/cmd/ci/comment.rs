//! `cargo xtask ci comment`.

use crate::cmd::args::one_of;
use crate::cmd::patches::which::Which;
use kdk_ci::comment::{self, Format, Subject};
use kdk_ci::point::{self, Point};
use kdk_ci::store::CiStore;
use kdk_ci::trend;
use kdk_core::context::Context;
use kdk_core::failure::Failure;

/// Write the result of a revision as a comment for its review.
///
/// The comment says what changed since the revision that it is compared with, and
/// each patch with its verdict. It has the first crash with source lines, and
/// links. It is at most a screen, and is printed; your own tools post it.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the comment goes
    #[arg(long, value_name = "FORMAT", value_parser = one_of::<Format>(&Format::NAMES))]
    format: Format,
    /// The beginning of a revision's id or of its commit [default: the newest revision]
    #[arg(long, value_name = "REV")]
    revision: Option<String>,
    /// The base, and so the series [default: as for `patches`]
    #[arg(long, value_name = "NAME")]
    base: Option<String>,
    /// The address where the folder of results is published, for links to reports
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let which = Which {
        series: args.base.clone(),
    };
    let series = which.name(cx)?;
    let points = Point::all(&CiStore::open(&cx.cache, &series))?;
    let at = point::find(&points, &series, args.revision.as_deref())?;
    let regressions = trend::regressions(&points, &trend::lines(&points));
    let subject = Subject::new(
        &points[at],
        point::previous(&points, at),
        &regressions,
        args.url.as_deref(),
    )?;
    cx.terminal
        .print(comment::render(&subject, args.format).trim_end());
    Ok(())
}
