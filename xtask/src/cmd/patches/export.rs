//! `cargo xtask patches export`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cmd::patches::which::Which;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::input::{self, Links};
use kdk_prove::{self, trees};
use kdk_series::applied::{self, AppliedSeries};
use kdk_series::base::repo::changed_paths;
use kdk_series::export::gate::{self, Known};
use kdk_series::export::{self, Exported, cover, github, mail, phabricator};
use kdk_series::lint::{self, Finding, Severity};
use kdk_series::load::{LARGEST_MANIFEST, Loaded};
use kdk_series::manifest::Channel;
use kdk_series::results::Results;

const TRIED: &str = "export the series";

/// Export the series for FreeBSD's reviewers.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The patches to export, with those they need [default: all that are not
    /// local and have not landed]
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    #[command(flatten)]
    which: Which,
    /// The format: mail (for git am), phabricator (diffs) or github (a branch)
    #[arg(long, value_name = "F")]
    format: Format,
    /// The folder to write to; for github a clone of FreeBSD's tree
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    out: Option<PathBuf>,
    /// Also export patches without a proof; the cover letter says so
    #[arg(long)]
    allow_unproven: bool,
    /// Only check that the export applies and makes the tested tree; write
    /// nothing
    #[arg(long, conflicts_with = "out")]
    check: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Mail,
    Phabricator,
    Github,
}

impl Format {
    /// Returns the review channel of the format, if it has one.
    fn channel(self) -> Option<Channel> {
        match self {
            Self::Mail => None,
            Self::Phabricator => Some(Channel::Phabricator),
            Self::Github => Some(Channel::Github),
        }
    }
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let series = args.which.load(cx)?;
    let say = |text: String| cx.terminal.line(&text);
    let ids = export::chosen(&series, &args.ids)?;
    is_sound(cx, &series, &ids)?;
    let results = Results::read(&series.dir)?;
    let applied = applied::apply_series(&cx.cache, &series, &say)?;
    let trees = trees::trees(&applied)?;
    if let Some(file) = applied.base.resolved.uncommitted.first() {
        return Err(Failure::usage(
            TRIED,
            format!("the base has uncommitted changes ({file}), so no one else has it"),
        )
        .help("commit them or put them back"));
    }
    let exported = export::exported(&applied, &ids, args.format == Format::Github)?;
    let mut unproven = Vec::new();
    for (patch, _) in &exported.patches {
        let key = kdk_prove::key(&series, &trees, patch)?;
        unproven.extend(gate::unproven(&Known { patch, key }, &results));
    }
    unproven.extend(gate::untested(&series, &results, &ids, &exported.tree));
    let letter = {
        let text = cover_file(&series)?;
        cover::cover(&series, &exported, &results, text.as_deref(), &unproven)
    };
    let temp =
        tempfile::tempdir().map_err(|error| Failure::io(TRIED, &std::env::temp_dir(), error))?;
    let mails = mail::write(&exported, &letter, temp.path())?;
    makes_the_tree(cx, &applied, &exported, &mails)?;
    if args.check {
        cx.terminal.print(format_args!(
            "{}: not written; what keeps it here:",
            series.name()
        ));
        let unattested = exported
            .patches
            .iter()
            .filter_map(|(p, _)| gate::unattested(p));
        let reasons: Vec<String> = unproven.into_iter().chain(unattested).collect();
        let none = ["nothing".to_owned()];
        for reason in if reasons.is_empty() {
            &none[..]
        } else {
            &reasons
        } {
            cx.terminal.print(format_args!("  {reason}"));
        }
        return Ok(());
    }
    let Some(out) = &args.out else { return Ok(()) };
    refuse(&exported, &unproven, args.allow_unproven)?;
    one_review(&exported, args.format)?;
    let written = match args.format {
        Format::Mail => copy(&mails, &empty(out)?)?,
        Format::Phabricator => phabricator::write(&exported, &results, &empty(out)?)?,
        Format::Github => {
            let name = format!("kdk/{}-v{}", series.name(), series.manifest.series.revision);
            github::write(&exported, &name, out)?;
            cx.terminal
                .print(format_args!("{}: branch {name}", out.display()));
            Vec::new()
        }
    };
    for path in written {
        cx.terminal.print(path.display());
    }
    Ok(())
}

/// Fails if `patches lint` finds an error in the series or in an exported
/// patch.
fn is_sound(cx: &Context, series: &Loaded, ids: &[String]) -> Result<(), Failure> {
    let bears = |finding: &Finding| finding.patch.as_ref().is_none_or(|id| ids.contains(id));
    let say = |text: String| cx.terminal.line(&text);
    let errors: Vec<String> = lint::all(&cx.cache, series, None, &say)?
        .findings
        .into_iter()
        .filter(|finding| finding.severity == Severity::Error && bears(finding))
        .map(|finding| finding.text)
        .collect();
    refuse_for(
        errors,
        "`cargo xtask patches lint` shows each with file and line",
    )
}

/// Applies the mails as a reviewer would, and compares trees.
fn makes_the_tree(
    cx: &Context,
    applied: &AppliedSeries<'_>,
    exported: &Exported<'_>,
    mails: &[PathBuf],
) -> Result<(), Failure> {
    let files = changed_paths(&exported.git, &exported.start, exported.tip())?;
    let tree = export::applied_tree(applied.git(), &exported.start, mails, &files)?;
    if tree != exported.tree {
        let want = &exported.tree;
        return Err(Failure::tests(format!(
            "the mails make the tree {tree}, but {want} was tested"
        )));
    }
    cx.terminal.print(format_args!(
        "git am makes the tree {tree}, which is the tree of the series"
    ));
    Ok(())
}

fn one_review(exported: &Exported<'_>, format: Format) -> Result<(), Failure> {
    let Some(channel) = format.channel() else {
        return Ok(());
    };
    let patches = exported.patches.iter();
    let elsewhere: Vec<String> = patches
        .filter_map(|(patch, _)| gate::elsewhere(patch, channel))
        .collect();
    refuse_for(
        elsewhere,
        "FreeBSD asks for one review of a change: continue there, or withdraw it there first",
    )
}

fn refuse(
    exported: &Exported<'_>,
    unproven: &[String],
    allow_unproven: bool,
) -> Result<(), Failure> {
    let unattested: Vec<String> = exported
        .patches
        .iter()
        .filter_map(|(patch, _)| gate::unattested(patch))
        .collect();
    refuse_for(unattested, gate::AI_RULE)?;
    if allow_unproven {
        return Ok(());
    }
    refuse_for(
        unproven.to_vec(),
        "run `cargo xtask prove`, or export with --allow-unproven, which the cover letter mentions",
    )
}

/// Fails if there are any reasons.
fn refuse_for(reasons: Vec<String>, help: &str) -> Result<(), Failure> {
    match reasons.is_empty() {
        true => Ok(()),
        false => Err(Failure::usage(TRIED, reasons.join("\n")).help(help)),
    }
}

/// Returns the text of the cover letter, if the manifest names one.
fn cover_file(series: &Loaded) -> Result<Option<String>, Failure> {
    let Some(name) = &series.manifest.cover else {
        return Ok(None);
    };
    let path = series.dir.join(name);
    input::read_text("read the cover", &path, LARGEST_MANIFEST, Links::Refuse).map(Some)
}

/// Returns the folder `out`, which is created if necessary and must be empty: a
/// mail of an older export beside the new ones would be sent too.
fn empty(out: &Path) -> Result<PathBuf, Failure> {
    let failed = |error| Failure::io(TRIED, out, error);
    match fs::read_dir(out) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(out).map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
        Ok(mut entries) => {
            if entries.next().is_some() {
                let what = format!("{} is not empty", out.display());
                return Err(
                    Failure::usage(TRIED, what).help("choose a new folder, or empty that one")
                );
            }
        }
    }
    Ok(out.to_owned())
}

fn copy(files: &[PathBuf], out: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    for file in files {
        let to = out.join(file.file_name().unwrap_or_default());
        fs::copy(file, &to).map_err(|error| Failure::io(TRIED, &to, error))?;
        written.push(to);
    }
    Ok(written)
}
