//! The faults a host and a guest can have, played for real against the real
//! command line. Each must end in the right verdict, with a report of all
//! that had been reported and nothing left behind.
//!
//! Each is a test. Those that take long are played only when `KDK_FAULTS` is
//! `all`, as `cargo xtask test --faults` sets it; then the table of all is
//! printed at the end. `KDK_FAULTS_BASE` names a base for those that need a
//! FreeBSD kernel.
#![allow(clippy::unwrap_used, clippy::expect_used)]

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
use judge::Row;
use libtest_mimic::{Arguments, Failed, Trial};

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
    if all && !rows.is_empty() {
        rows.sort_by_key(|(at, _)| *at);
        let rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
        println!("{}", judge::table(&rows));
    }
    conclusion.exit_code()
}

fn trial(at: usize, fault: Fault, rows: Rows) -> Trial {
    Trial::test(fault.name.clone(), move || {
        let row = judge::row(&fault);
        let result = row
            .wrong
            .clone()
            .map_or(Ok(()), |why| Err(Failed::from(why)));
        let mut rows = rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.push((at, row));
        result
    })
}
