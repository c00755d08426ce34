//! `cargo xtask patches log`.

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::history::{Entry, SeriesRepo};
use kdk_series::load::{self, Loaded, MANIFEST};
use kdk_series::manifest::Upstream;

/// Show when each patch changed, and its status.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// The id of a patch [default: all, and the manifest]
    id: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    let repo = SeriesRepo::open(&load::folder())?;
    for line in lines(&repo, &series, args.id.as_deref())? {
        cx.terminal.print(&line);
    }
    Ok(())
}

fn lines(repo: &SeriesRepo, series: &Loaded, id: Option<&str>) -> Result<Vec<String>, Failure> {
    let patches = match id {
        Some(id) => vec![series.patch(id)?],
        None => series.manifest.patches.iter().collect(),
    };
    let mut parts: Vec<(String, &str)> = patches
        .iter()
        .map(|patch| {
            let title = format!("{}  {}", patch.id, upstream(&patch.upstream));
            (title, patch.file.as_str())
        })
        .collect();
    if id.is_none() {
        let cover = series.manifest.cover.as_deref();
        let others = [MANIFEST].into_iter().chain(cover);
        parts.extend(others.map(|file| (file.to_owned(), file)));
    }
    let (name, now) = (series.name(), series.manifest.series.revision);
    let mut lines = vec![format!("{name} revision {now}")];
    for (title, file) in parts {
        lines.push(title);
        if !repo.is_committed(name, file)? {
            lines.push(format!("    not committed  r{now}"));
        }
        for entry in repo.log(name, file)? {
            let revision = repo.revision(&entry.hash, name)?;
            lines.push(line(&entry, revision));
        }
    }
    Ok(lines)
}

fn line(entry: &Entry, revision: Option<u32>) -> String {
    let revision = revision.map_or_else(|| "r?".to_owned(), |number| format!("r{number}"));
    format!(
        "    {}  {}  {revision}  {}",
        entry.date, entry.short, entry.subject
    )
}

/// Describes the status of a patch in FreeBSD.
fn upstream(upstream: &Upstream) -> String {
    let mut text = upstream.status.name().to_owned();
    if let Some(url) = &upstream.url {
        text.push_str(&format!("  {url}"));
    }
    if !upstream.reason.is_empty() {
        text.push_str(&format!("  ({})", upstream.reason));
    }
    text
}
