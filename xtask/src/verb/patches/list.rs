//! `cargo xtask patches list`.

use crate::context::Context;
use crate::failure::Failure;
use crate::series::load::Loaded;
use crate::series::mail;
use crate::verb::patches::which::Which;

/// The patches of a series, and where each stands
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    which: Which,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    for line in lines(&series)? {
        println!("{line}");
    }
    Ok(())
}

fn lines(series: &Loaded) -> Result<Vec<String>, Failure> {
    let manifest = &series.manifest;
    let mut lines = vec![format!(
        "{} revision {}: FreeBSD {}, {}",
        series.name(),
        manifest.series.revision,
        manifest.base.osreldate,
        manifest.base.branch
    )];
    for (patch, change) in manifest.patches.iter().zip(series.changes()?) {
        let subject = match mail::is_mail(&change.diff) {
            true => mail::read(&patch.id, &change.diff)?.subject,
            false => "(no message)".to_owned(),
        };
        lines.push(format!(
            "{}  {}  {}  {subject}",
            patch.id,
            patch.class.name(),
            patch.upstream.status.name()
        ));
    }
    Ok(lines)
}
