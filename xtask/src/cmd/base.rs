//! `cargo xtask base`: the FreeBSD trees to test on.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde::Serialize;

use kdk_core::cache_dir::CacheDir;
use kdk_core::clock;
use kdk_core::context::Context;
use kdk_core::event::{Event, Phase, Sink};
use kdk_core::failure::Failure;
use kdk_core::git::Progress;
use kdk_doctor::Need;
use kdk_doctor::disk_space::human;
use kdk_series::base::definition::{self, Definition};
use kdk_series::base::record::{self, Record};
use kdk_series::base::{add, files, lock_name};
use kdk_series::operation;

/// Manage the FreeBSD trees to test on.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add a base: clone FreeBSD's official repository, or use your tree
    Add {
        /// The name of the base: releng-15.1, main or head-2014
        name: String,
        /// Use your checkout or git directory; kdk never writes to it
        #[arg(long, value_name = "DIR")]
        src: Option<PathBuf>,
        /// Use this commit of the official repository; do nothing if the base has it already
        #[arg(long, value_name = "ID", value_parser = commit_id, conflicts_with = "src")]
        commit: Option<String>,
    },
    /// List the bases
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a base and everything that was built from it, but not your tree
    Remove {
        /// The name of the base
        name: String,
    },
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.command {
        Command::Add { name, src, commit } => add(cx, name, src.as_deref(), commit.as_deref()),
        Command::List { json } => list(cx, *json),
        Command::Remove { name } => remove(cx, name),
    }
}

fn say(cx: &Context, text: impl Into<String>) {
    cx.terminal.emit(Event::Line {
        phase: Phase::Resolve,
        text: text.into(),
    });
}

/// Parses the complete id of a commit.
fn commit_id(text: &str) -> Result<String, String> {
    let is_id = text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id
        .then(|| text.to_ascii_lowercase())
        .ok_or_else(|| "a commit has 40 hexadecimal digits here".into())
}

fn add(cx: &Context, name: &str, src: Option<&Path>, commit: Option<&str>) -> Result<(), Failure> {
    let definition = definition::find(name)?;
    kdk_doctor::need(cx, Need::Trees, false)?;
    let _lock = cx.cache.lock(&lock_name(name), &|text| say(cx, text))?;
    if let Some(record) = record::all(&cx.cache)?
        .iter()
        .find(|record| record.name == name)
    {
        if commit.is_some_and(|commit| commit == record.commit) {
            cx.terminal.print(format_args!(
                "{name} has the commit {:.12} already",
                record.commit
            ));
            return Ok(());
        }
        return Err(added_already(record));
    }
    let added = match src {
        Some(src) => add::from_checkout(&cx.cache, &definition, src),
        None => {
            let mut listen = |progress| show(cx, &progress);
            add::from_upstream(&cx.cache, &definition, commit, &mut listen)
        }
    };
    let record = match added {
        Ok(record) => record,
        Err(_) if cx.interrupt.is_set() => return Err(interrupted(name)),
        Err(failure) => return Err(failure),
    };
    cx.terminal.print(format_args!(
        "added {name}: FreeBSD {} (commit {:.12}), from {}",
        record.osreldate,
        record.commit,
        origin(record.src.as_deref())
    ));
    if let Some(notes) = &definition.notes {
        cx.terminal.print(notes);
    }
    cx.terminal.print(format_args!(
        "test it with `cargo xtask vm-test --base {name}`"
    ));
    Ok(())
}

fn added_already(record: &Record) -> Failure {
    let name = &record.name;
    Failure::usage(
        format!("add the base `{name}`"),
        format!(
            "it has been added already: the commit {:.12}, from {}",
            record.commit,
            origin(record.src.as_deref())
        ),
    )
    .help(format!(
        "{}: cargo xtask base remove {name}, then add it again",
        match record.src {
            Some(_) => "kdk follows that tree; to use another one",
            None => "to update it, or to use another tree",
        }
    ))
}

fn interrupted(name: &str) -> Failure {
    Failure::infra(format!("add the base `{name}`"), "it was interrupted").help(format!(
        "fetched files are kept: cargo xtask base add {name} continues"
    ))
}

/// Shows git's progress.
fn show(cx: &Context, progress: &Progress) {
    cx.terminal.emit(Event::Progress {
        phase: Phase::Tree,
        done: progress.done,
        total: progress.total,
        unit: if progress.what == "Receiving files" {
            "files"
        } else {
            "objects"
        },
    });
}

fn origin(src: Option<&Path>) -> String {
    src.map_or_else(
        || "FreeBSD's official repository".into(),
        |src| src.display().to_string(),
    )
}

/// A line of the list.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    about: String,
    added: bool,
    default: bool,
    osreldate: Option<u32>,
    commit: Option<String>,
    src: Option<PathBuf>,
    /// The disk usage of all its files in bytes.
    size: u64,
    /// The time of last use, in seconds since 1970.
    last_used: Option<u64>,
}

fn list(cx: &Context, json: bool) -> Result<(), Failure> {
    let records = record::all(&cx.cache)?;
    let rows = rows(&cx.cache, &definition::all()?, &records);
    if json {
        let text = serde_json::to_string_pretty(&rows)
            .map_err(|error| Failure::infra("list the bases", error.to_string()))?;
        cx.terminal.print(&text);
        return Ok(());
    }
    let now = clock::now() / 1000;
    for row in rows {
        cx.terminal.print(line(&row, now));
    }
    Ok(())
}

fn rows(cache: &CacheDir, definitions: &[Definition], records: &[Record]) -> Vec<Row> {
    let default = records.first().map(|record| record.name.as_str());
    let row = |definition: &Definition| {
        let name = definition.name.as_str();
        let record = records.iter().find(|record| record.name == name);
        Row {
            name: name.to_owned(),
            about: definition.about.clone(),
            added: record.is_some(),
            default: default == Some(name),
            osreldate: record.map(|record| record.osreldate),
            commit: record.map(|record| record.commit.clone()),
            src: record.and_then(|record| record.src.clone()),
            size: files::of(cache, name)
                .iter()
                .map(|path| files::disk_usage(path))
                .sum(),
            last_used: record.map(|_| record::last_used(cache, name)),
        }
    };
    definitions.iter().map(row).collect()
}

/// Renders `row`; `now` is in seconds since 1970.
fn line(row: &Row, now: u64) -> String {
    let mark = if row.default { '*' } else { ' ' };
    let (Some(osreldate), Some(commit)) = (row.osreldate, &row.commit) else {
        return format!("{mark} {:<12} not added: {}", row.name, row.about);
    };
    format!(
        "{mark} {:<12} {osreldate}  {commit:.12}  {:>10}  used {:<14}  {}",
        row.name,
        human(row.size),
        ago(now.saturating_sub(row.last_used.unwrap_or(now))),
        origin(row.src.as_deref())
    )
}

/// Renders a time span.
fn ago(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..60 => return "just now".into(),
        60..3600 => (seconds / 60, "minute"),
        3600..86400 => (seconds / 3600, "hour"),
        _ => (seconds / 86400, "day"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s} ago")
}

fn remove(cx: &Context, name: &str) -> Result<(), Failure> {
    record::find(&cx.cache, name)?;
    let size = remove_from(&cx.cache, name)?;
    cx.terminal
        .print(format_args!("removed {name}: {}", human(size)));
    Ok(())
}

/// Removes all files of the base `name`. Returns their size in bytes.
fn remove_from(cache: &CacheDir, name: &str) -> Result<u64, Failure> {
    let tried = format!("remove the base `{name}`");
    let busy = |holder: String| {
        Failure::infra(&tried, format!("{holder} is using it"))
            .help("wait until it ends, or stop it")
    };
    let _base = cache.try_lock(&lock_name(name))?.map_err(busy)?;
    let _obj = cache.try_lock(&format!("obj-{name}"))?.map_err(busy)?;
    operation::ensure_none_on_base(cache, Some(name), &tried)?;
    let mut size = 0;
    for path in files::of(cache, name) {
        size += files::disk_usage(&path);
        files::remove(&path).map_err(|error| Failure::io(&tried, &path, error))?;
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use kdk_vm::interrupt::Interrupt;

    use super::*;
    use kdk_core::failure::rendered;
    use kdk_series::base::{fixtures, worktree};

    fn record(name: &str, src: Option<&str>) -> Record {
        Record {
            name: name.into(),
            src: src.map(PathBuf::from),
            commit: "0123456789abcdef0123456789abcdef01234567".into(),
            osreldate: 1_100_020,
            added: 1,
        }
    }

    #[test]
    fn the_list_marks_the_default_and_what_was_not_added() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let records = [record("head-2014", Some("/src/head")), record("main", None)];
        let mut rows = rows(&cache, &definition::all().unwrap(), &records);
        for row in &mut rows {
            (row.size, row.last_used) = (3 << 30, Some(1000));
        }
        let text: Vec<String> = rows.iter().map(|row| line(row, 8300)).collect();
        insta::assert_snapshot!(text.join("\n"));
    }

    #[test]
    fn times_for_people() {
        for (seconds, want) in [
            (0, "just now"),
            (60, "1 minute ago"),
            (7300, "2 hours ago"),
            (86400 * 40, "40 days ago"),
        ] {
            assert_eq!(ago(seconds), want);
        }
    }

    #[test]
    fn an_added_base_and_an_interrupted_one() {
        let added = added_already(&record("head-2014", Some("/src/head")));
        assert_eq!(added.exit_code(), 2);
        let text = rendered(&added) + &rendered(&interrupted("main"));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn removing_takes_what_belongs_to_the_base_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let cache = CacheDir::at(dir.path().join("home"), &Interrupt::new()).unwrap();
        let tree = fixtures::tree(dir.path(), "src", 1_501_000);
        let before = fixtures::fingerprint(&tree);
        let definition = definition::find("releng-15.1").unwrap();
        let record = add::from_checkout(&cache, &definition, &tree).unwrap();
        worktree::prepare(&cache, &record, &definition, &[], &mut |_| {}).unwrap();
        let lock = cache.lock(&lock_name("releng-15.1"), &|_| {}).unwrap();
        assert_eq!(
            remove_from(&cache, "releng-15.1").unwrap_err().exit_code(),
            5
        );
        drop(lock);
        assert!(remove_from(&cache, "releng-15.1").unwrap() > 0);
        assert!(files::of(&cache, "releng-15.1").is_empty());
        assert!(record::all(&cache).unwrap().is_empty());
        assert!(
            before == fixtures::fingerprint(&tree),
            "the source was written to"
        );
    }
}
