//! `cargo xtask clean`: lists what it removes with sizes, then removes it.

use std::path::PathBuf;

use kdk_core::cache_dir::{CacheDir, Lock};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_doctor::disk_space::human;
use kdk_series::base::{files, lock_name, record, worktree};
use kdk_series::operation;

/// The arguments of `cargo xtask clean`.
#[derive(Debug, Default, clap::Args)]
pub struct Args {
    /// Remove only the files of this base
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    base: Option<String>,
    /// Remove only finished results, which are rebuilt quickly from the objects
    #[arg(long, conflicts_with = "all")]
    store: bool,
    /// Remove everything in the cache, including the added bases
    #[arg(long)]
    all: bool,
    /// Only list what would be removed
    #[arg(long)]
    dry_run: bool,
    /// Do not ask first
    #[arg(short, long)]
    yes: bool,
}

/// A file or folder to remove.
#[derive(Debug, PartialEq, Eq)]
struct Item {
    what: &'static str,
    path: PathBuf,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let cache = &cx.cache;
    if let Some(name) = &args.base {
        record::find(cache, name)?;
    }
    let items = plan(cache, args);
    let sizes: Vec<u64> = items
        .iter()
        .map(|item| files::disk_usage(&item.path))
        .collect();
    cx.terminal.print(text(&items, &sizes));
    if args.dry_run || items.is_empty() {
        return Ok(());
    }
    let _locks = locks(cache, args)?;
    if args.all {
        operation::ensure_none_on_base(cache, None, "clean")?;
    }
    if !args.yes && !cx.terminal.confirm("clean")? {
        return Ok(());
    }
    for item in &items {
        if item.path == cache.store() || item.what == RESULTS {
            cx.store.clear(args.base.as_deref())?;
            continue;
        }
        files::remove(&item.path).map_err(|error| Failure::io("clean", &item.path, error))?;
    }
    cx.terminal
        .print(format!("removed {}", human(sizes.iter().sum())));
    Ok(())
}

const RESULTS: &str = "results";

/// Returns the existing items that `args` select.
fn plan(cache: &CacheDir, args: &Args) -> Vec<Item> {
    let item = |what, path| Item { what, path };
    let results = || match &args.base {
        None => vec![cache.store()],
        Some(name) => files::store_entries(cache, name),
    };
    let mut items: Vec<Item> = results()
        .into_iter()
        .map(|path| item(RESULTS, path))
        .collect();
    if !args.store {
        items.extend(match &args.base {
            Some(name) => {
                let places = files::places(cache, name);
                let of = |place: &String| {
                    [
                        item("objects", cache.obj().join(place)),
                        item("objects", cache.confined_obj().join(place)),
                        item("checkout", worktree::path(cache, place)),
                    ]
                };
                places.iter().flat_map(of).collect()
            }
            None => vec![
                item("objects", cache.obj()),
                item("confined builds", cache.confined()),
                item("checkouts", cache.trees()),
                item("guests' objects", cache.target()),
                item("compilations", cache.ccache()),
                item("probes", cache.probes()),
            ],
        });
        if args.base.is_none() {
            items.extend(
                logs::finished(cache)
                    .into_iter()
                    .map(|path| item("logs", path)),
            );
        }
    }
    if args.all {
        items.push(item("bases", cache.bases()));
        items.push(item("their repositories", cache.repos()));
        items.push(item("earlier results", cache.history()));
        items.push(item("bisections", cache.bisects()));
        items.push(item("results of CI", cache.ci()));
    }
    items.retain(|item| item.path.exists());
    items
}

/// Renders the items with their sizes; the logs of runs are one line.
fn text(items: &[Item], sizes: &[u64]) -> String {
    let mut lines = Vec::new();
    let (mut runs, mut logs) = (0, 0);
    for (item, size) in items.iter().zip(sizes) {
        if item.what == "logs" {
            (runs, logs) = (runs + 1, logs + size);
            continue;
        }
        lines.push(format!(
            "{:>10}  {}: {}",
            human(*size),
            item.what,
            item.path.display()
        ));
    }
    if runs > 0 {
        lines.push(format!("{:>10}  logs of {runs} runs", human(logs)));
    }
    match lines.len() {
        0 => "there is nothing to remove".into(),
        1 => lines.join("\n"),
        _ => {
            lines.push(format!("{:>10}  in total", human(sizes.iter().sum())));
            lines.join("\n")
        }
    }
}

/// Locks the items to remove. The error names a running process that uses one.
fn locks(cache: &CacheDir, args: &Args) -> Result<Vec<Lock>, Failure> {
    let names: Vec<String> = match &args.base {
        Some(name) => vec![name.clone()],
        None => names_in(&[
            cache.bases(),
            cache.trees(),
            cache.obj(),
            cache.confined_obj(),
            cache.repos(),
        ]),
    };
    let mut entries: Vec<String> = names
        .iter()
        .flat_map(|name| [lock_name(name), format!("obj-{name}")])
        .collect();
    if args.base.is_none() {
        let slots = names_in(&[cache.target()]);
        entries.extend(slots.iter().map(|slot| format!("target-{slot}")));
    }
    let mut locks = Vec::new();
    for entry in entries {
        let lock = cache.try_lock(&entry)?.map_err(|owner| {
            Failure::infra("clean", format!("{owner} uses {entry}"))
                .help("wait until it has ended, or stop it")
        })?;
        locks.push(lock);
    }
    Ok(locks)
}

/// Returns the names in `folders` without their extensions, each once.
fn names_in(folders: &[PathBuf]) -> Vec<String> {
    let mut names: Vec<String> = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten().flatten())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .map(|name| {
            let stem = name.strip_suffix(".git").or(name.strip_suffix(".json"));
            stem.unwrap_or(&name).to_owned()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use kdk_series::base::fixtures::write;

    fn cache() -> (tempfile::TempDir, CacheDir) {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        for name in ["main", "head-2014"] {
            write(&cache.bases().join(format!("{name}.json")), "{}");
            write(&cache.repos().join(format!("{name}.git/HEAD")), "x");
            write(&cache.trees().join(name).join("Makefile"), "x");
            write(&cache.obj().join(name).join("kernel.o"), "x");
            write(&cache.history().join(name).join("1.json"), "{}");
            write(
                &cache.store().join("kernel").join(name).join("k/kernel"),
                "x",
            );
        }
        let own = std::process::id();
        // No process has the number -1 or one beyond the system's limit.
        for run in ["1-2147483647".to_owned(), format!("2-{own}")] {
            write(&cache.runs().join(run).join("console.log"), "x");
        }
        (dir, cache)
    }

    #[test]
    fn each_option_removes_its_part() {
        let (_dir, cache) = cache();
        let all = Args {
            all: true,
            ..Args::default()
        };
        let store = Args {
            store: true,
            ..Args::default()
        };
        let base = |store| Args {
            base: Some("main".into()),
            store,
            ..Args::default()
        };
        let mut table = Vec::new();
        for (name, args) in [
            ("", Args::default()),
            ("--all", all),
            ("--store", store),
            ("--base main", base(false)),
            ("--base main --store", base(true)),
        ] {
            let paths: Vec<String> = plan(&cache, &args)
                .iter()
                .map(|item| {
                    let path = item.path.strip_prefix(cache.root()).unwrap();
                    path.display().to_string()
                })
                .collect();
            table.push(format!("clean {name}: {}", paths.join(" ")));
        }
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn the_text_has_items_and_sizes() {
        let item = |what, path: &str| Item {
            what,
            path: path.into(),
        };
        let items = [
            item(RESULTS, "/c/store"),
            item("objects", "/c/obj"),
            item("logs", "/c/runs/1"),
            item("logs", "/c/runs/2"),
        ];
        insta::assert_snapshot!(text(&items, &[1 << 20, 5 << 30, 4096, 4096]));
        assert_eq!(text(&items[..1], &[2048]), "  2.00 KiB  results: /c/store");
        assert_eq!(text(&[], &[]), "there is nothing to remove");
    }

    #[test]
    fn what_a_live_run_uses_is_refused() {
        let (_dir, cache) = cache();
        let lock = cache.lock("obj-main", &|_| {}).unwrap();
        let failure = locks(&cache, &Args::default()).unwrap_err();
        assert_eq!(failure.exit_code(), 5);
        let text = kdk_core::failure::rendered(&failure);
        assert!(text.contains("uses obj-main"), "{text}");
        drop(lock);
        assert!(locks(&cache, &Args::default()).is_ok());
    }
}
