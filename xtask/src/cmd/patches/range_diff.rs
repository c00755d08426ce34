//! `cargo xtask patches range-diff`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::applied;
use kdk_series::base::apply;
use kdk_series::history::SeriesRepo;
use kdk_series::load;
use kdk_series::range_diff::{self, Side};

/// Compare the series with an earlier revision.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// A commit, branch or tag of the repository that contains the series
    rev: String,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    const TRIED: &str = "compare the series with an earlier revision";
    let rev = args.rev.as_str();
    let now = args.which.load(cx)?;
    let repo = SeriesRepo::open(&load::folder())?;
    let commit = repo.commit(rev)?;
    let dir =
        tempfile::tempdir().map_err(|error| Failure::io(TRIED, &std::env::temp_dir(), error))?;
    let then = repo.series_at(rev, &commit, now.name(), dir.path())?;
    let base = applied::lock_base(&cx.cache, now.name(), &|text| cx.terminal.line(&text))?;
    let (git, start) = (&base.resolved.git, base.resolved.commit.as_str());
    now.check_base(base.resolved.osreldate)?;
    let (was, is) = (then.manifest.base.osreldate, base.resolved.osreldate);
    if was != is {
        return Err(Failure::usage(
            TRIED,
            format!("at `{rev}` it is for FreeBSD {was}, and the base is {is} now"),
        )
        .help("choose a later revision: both must apply to the same base"));
    }
    let new = apply::chain(git, start, &now.changes()?)?;
    let old = apply::chain(git, start, &then.changes()?).map_err(|failure| {
        Failure::usage(
            TRIED,
            format!("the series at `{rev}` does not apply to the base"),
        )
        .source(failure.in_one_line())
        .help("choose a later revision: both must apply to the same base")
    })?;
    let (old_ids, new_ids) = (then.ids(), now.ids());
    let pairs = range_diff::compare(
        git,
        Side {
            ids: &old_ids,
            commits: &old,
        },
        Side {
            ids: &new_ids,
            commits: &new,
        },
    )?;
    cx.terminal.print(format_args!(
        "{}: revision {} at {rev} ({commit:.12}), revision {} now",
        now.name(),
        then.manifest.series.revision,
        now.manifest.series.revision
    ));
    for pair in &pairs {
        cx.terminal
            .print(format_args!("{:<9}  {}", pair.state, pair.id));
    }
    if let Some(text) = range_diff::reordered(&old_ids, &new_ids) {
        cx.terminal.print(&text);
    }
    for pair in pairs.iter().filter(|pair| !pair.text.is_empty()) {
        cx.terminal
            .print(format_args!("\n{}:\n{}", pair.id, pair.text));
    }
    Ok(())
}
