//! Injects the faults of a host and a guest against the real command line. Each
//! must end with the right verdict, a complete report, and nothing left behind.
//!
//! Each fault is a test. Slow ones are injected only if `KDK_FAULTS` is `all`,
//! as `cargo xtask test --faults` sets it; then the table of all faults is
//! printed at the end. A fault that this host does not support is skipped, and
//! the end has the reason. `KDK_FAULTS_BASE` names a base for those that need a
//! FreeBSD kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod base;
mod evaluate;
mod fault;
mod guest;
#[path = "../../../vm/tests/faults/mod.rs"]
mod guest_faults;
mod host;
mod interruptions;
mod kernel;
mod leftovers;
mod output;
mod privileges;
mod process;
mod sandbox;
mod series;
mod standstill;
mod tree;
mod usage;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use evaluate::{Row, Status};
use fault::Fault;
use libtest_mimic::{Arguments, Completion, Failed, Trial as Test};

/// Rows with their position in the table.
type Rows = Arc<Mutex<Vec<(usize, Row)>>>;

fn main() -> ExitCode {
    let all = std::env::var("KDK_FAULTS").is_ok_and(|which| which == "all");
    let rows = Rows::default();
    let faults = [
        host::faults(),
        interruptions::faults(),
        standstill::faults(),
        output::faults(),
        usage::faults(),
        series::faults(),
        guest::faults(),
        kernel::faults(),
        base::faults(),
        tree::faults(),
    ];
    let tests = faults
        .into_iter()
        .flatten()
        .filter(|fault| all || fault.daily)
        .enumerate()
        .map(|(at, fault)| test_of(at, fault, rows.clone()))
        .collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), tests);
    let mut rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    rows.sort_by_key(|(at, _)| *at);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    if all && !rows.is_empty() {
        println!("{}", evaluate::table(&rows));
    }
    // `cargo xtask test` counts these lines.
    for row in &rows {
        if let Status::Skipped(why) = &row.status {
            println!("skipped: {}: {why}", row.name);
        }
    }
    conclusion.exit_code()
}

fn test_of(at: usize, fault: Fault, rows: Rows) -> Test {
    Test::ignorable_test(fault.name.clone(), move || {
        let row = evaluate::row(&fault);
        let result = match &row.status {
            Status::Correct => Ok(Completion::Completed),
            Status::Skipped(why) => Ok(Completion::ignored_with(why)),
            Status::Wrong(why) => Err(Failed::from(why)),
        };
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push((at, row));
        result
    })
}
