//! `cargo xtask base`: the FreeBSD trees that the kit tests on.

use std::path::PathBuf;

use clap::Subcommand;
use serde::Serialize;

use crate::base::record::{self, Record};
use crate::base::{acquire, belongings, definition, lock_name, space};
use crate::context::Context;
use crate::event::{Event, Phase, Sink};
use crate::failure::Failure;

/// The FreeBSD trees that the kit tests on.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Adds a base: a clone of FreeBSD's official repository, or a tree you have
    Add {
        /// One of vm/bases: releng-15.1, main, head-2014
        name: String,
        /// A checkout or git directory of yours; it is only ever read
        #[arg(long, value_name = "DIR")]
        src: Option<PathBuf>,
    },
    /// Lists the bases
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Removes a base and all that was built from it; never the tree it came from
    Remove {
        /// Its name
        name: String,
    },
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    match &args.what {
        What::Add { name, src } => add(cx, name, src.as_deref()),
        What::List { json } => list(cx, *json),
        What::Remove { name } => remove(cx, name),
    }
}

fn say(cx: &Context, text: impl Into<String>) {
    cx.terminal.emit(Event::Line {
        phase: Phase::Resolve,
        text: text.into(),
    });
}

fn add(cx: &Context, name: &str, src: Option<&std::path::Path>) -> Result<(), Failure> {
    let definition = definition::find(name)?;
    let _lock = cx.home.lock(&lock_name(name), &|text| say(cx, text))?;
    if record::path(&cx.home, name).exists() {
        return Err(
            Failure::usage(format!("add the base {name}"), "it was added already").help(format!(
                "`cargo xtask base remove {name}` first, if it should come from elsewhere"
            )),
        );
    }
    let record = match src {
        Some(src) => acquire::borrow(&cx.home, &definition, src)?,
        None => acquire::clone(&cx.home, &definition, &mut |progress| {
            cx.terminal.emit(Event::Progress {
                phase: Phase::Tree,
                done: progress.done,
                total: progress.total,
                unit: "objects",
            });
        })?,
    };
    println!(
        "added {name}: FreeBSD {} (commit {:.12}){}",
        record.osreldate,
        record.commit,
        record
            .src
            .as_ref()
            .map(|src| format!(", from {}", src.display()))
            .unwrap_or_default()
    );
    println!("test it with `cargo xtask vm-test --base {name}`");
    Ok(())
}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    about: String,
    added: bool,
    default: bool,
    osreldate: Option<u32>,
    commit: Option<String>,
    src: Option<PathBuf>,
    /// On disk, bytes.
    size: u64,
    /// Seconds since 1970; 0 if never.
    last_used: u64,
}

fn list(cx: &Context, json: bool) -> Result<(), Failure> {
    let mut rows = rows(&definition::all()?, &record::all(&cx.home)?);
    for row in rows.iter_mut().filter(|row| row.added) {
        let paths = belongings::of(&cx.home, &row.name);
        row.size = paths.iter().map(|path| belongings::size(path)).sum();
        row.last_used = record::last_used(&cx.home, &row.name);
    }
    if json {
        let text = serde_json::to_string_pretty(&rows)
            .map_err(|error| Failure::infra("list the bases", error.to_string()))?;
        println!("{text}");
        return Ok(());
    }
    for row in rows {
        println!("{}", line(&row));
    }
    Ok(())
}

fn rows(definitions: &[definition::Definition], records: &[Record]) -> Vec<Row> {
    let default = records.first().map(|record| record.name.as_str());
    definitions
        .iter()
        .map(|definition| {
            let record = records.iter().find(|record| record.name == definition.name);
            Row {
                name: definition.name.clone(),
                about: definition.about.clone(),
                added: record.is_some(),
                default: default == Some(&definition.name),
                osreldate: record.map(|record| record.osreldate),
                commit: record.map(|record| record.commit.clone()),
                src: record.and_then(|record| record.src.clone()),
                size: 0,
                last_used: 0,
            }
        })
        .collect()
}

fn line(row: &Row) -> String {
    let mark = if row.default { '*' } else { ' ' };
    let state = match (row.osreldate, &row.src) {
        (Some(osreldate), src) => {
            let from = src.as_ref().map_or_else(
                || "FreeBSD's official repository".to_owned(),
                |src| src.display().to_string(),
            );
            format!("{osreldate}  {}  {from}", space::human(row.size))
        }
        (None, _) => format!("not added  ({})", row.about),
    };
    format!("{mark} {:<12} {state}", row.name)
}

fn remove(cx: &Context, name: &str) -> Result<(), Failure> {
    record::find(&cx.home, name)?;
    let busy = |holder: String| {
        Failure::usage(format!("remove the base {name}"), holder)
            .help("wait until it is done, or stop it")
    };
    let _base = cx.home.try_lock(&lock_name(name))?.map_err(busy)?;
    let _obj = cx.home.try_lock(&format!("obj-{name}"))?.map_err(busy)?;
    for path in belongings::of(&cx.home, name) {
        belongings::remove(&path)
            .map_err(|error| Failure::io(format!("remove the base {name}"), &path, error))?;
    }
    println!("removed {name}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_marks_the_default_and_what_was_not_added() {
        let records = [Record {
            name: "head-2014".into(),
            src: Some("/src/head".into()),
            commit: "abc".into(),
            osreldate: 1_100_020,
            added: 1,
        }];
        let rows = rows(&definition::all().unwrap(), &records);
        let text: Vec<String> = rows.iter().map(line).collect();
        insta::assert_snapshot!(text.join("\n"));
    }
}
