//! `cargo xtask clean`: removes what can be made again, and says what.

use std::fs;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::failure::Failure;

/// Remove what can be made again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Everything in the cache, the added bases too
    #[arg(long)]
    all: bool,
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let home = &cx.home;
    let mut folders = vec![
        home.store(),
        home.obj(),
        home.runs(),
        home.probes(),
        home.target(),
    ];
    if args.all {
        folders.extend([home.trees(), home.repos(), home.bases()]);
    }
    for folder in folders.iter().filter(|folder| folder.exists()) {
        let size = size_of(folder) >> 20;
        let verb = if args.dry_run {
            "would remove"
        } else {
            "removing"
        };
        println!("{verb} {} ({size} MiB)", folder.display());
        if !args.dry_run {
            remove(cx, folder)?;
        }
    }
    Ok(())
}

/// Nothing that a live run uses goes: it holds a lock on what it works on.
fn remove(cx: &Context, folder: &Path) -> Result<(), Failure> {
    for name in busy_names(folder) {
        cx.home.try_lock(&name)?.map_err(|holder| {
            Failure::usage(format!("remove {}", folder.display()), holder)
                .help("wait until it is done, or stop it")
        })?;
    }
    fs::remove_dir_all(folder)
        .map_err(|error| Failure::io(format!("remove {}", folder.display()), folder, error))
}

/// The locks of what is in `folder`.
fn busy_names(folder: &Path) -> Vec<String> {
    let kind = match folder.file_name().and_then(|name| name.to_str()) {
        Some("obj") => "obj",
        Some("trees" | "repos") => "base",
        Some("target") => "target",
        _ => return Vec::new(),
    };
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.ends_with(".at"))
        .map(|name| format!("{kind}-{}", name.trim_end_matches(".git")))
        .collect()
}

fn size_of(path: &PathBuf) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|entry| size_of(&entry.path())))
        .sum()
}
