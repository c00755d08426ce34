//! The faults a host and a guest can have, played for real against the real
//! command line. Each must end in the right verdict, with a report of all
//! that had been reported and nothing left behind.
//!
//! Each is a test. Those that take long are played only when `KDK_FAULTS` is
//! `all`, as `cargo xtask test --faults` sets it; then the table of all is
//! printed at the end. One that this host cannot play is ignored, and the end
//! says why. `KDK_FAULTS_BASE` names a base for those that need a
//! FreeBSD kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod base;
mod fault;
mod guest;
#[path = "../../../vm/tests/faults/mod.rs"]
mod guest_faults;
mod host;
mod judge;
mod kernel;
mod leftovers;
mod moment;
mod place;
mod powers;
mod running;
mod tree;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use fault::Fault;
use judge::{Row, So};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Rows by their place in the table.
type Rows = Arc<Mutex<Vec<(usize, Row)>>>;

fn main() -> ExitCode {
    let all = std::env::var("KDK_FAULTS").is_ok_and(|which| which == "all");
    let rows = Rows::default();
    let faults = [
        host::faults(),
        moment::faults(),
        guest::faults(),
        kernel::faults(),
        base::faults(),
        tree::faults(),
    ];
    let trials = faults
        .into_iter()
        .flatten()
        .filter(|fault| all || fault.daily)
        .enumerate()
        .map(|(at, fault)| trial(at, fault, rows.clone()))
        .collect();
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    let mut rows = std::mem::take(&mut *rows.lock().unwrap_or_else(PoisonError::into_inner));
    rows.sort_by_key(|(at, _)| *at);
    let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
    if all && !rows.is_empty() {
        println!("{}", judge::table(&rows));
    }
    // `cargo xtask test` counts these lines.
    for row in &rows {
        if let So::NotPlayed(why) = &row.so {
            println!("not played: {}: {why}", row.name);
        }
    }
    conclusion.exit_code()
}

fn trial(at: usize, fault: Fault, rows: Rows) -> Trial {
    Trial::ignorable_test(fault.name.clone(), move || {
        let row = judge::row(&fault);
        let result = match &row.so {
            So::Right => Ok(Completion::Completed),
            So::NotPlayed(why) => Ok(Completion::ignored_with(why)),
            So::Wrong(why) => Err(Failed::from(why)),
        };
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push((at, row));
        result
    })
}
