//! `cargo xtask bench flowtable`: what it takes to find the buckets in use when
//! flows expire, by the series, by the tree without it, and by the algorithm
//! of FreeBSD 10.0. Tests of kdk.ko measure, each a size of the table; here
//! stands on which kernels they do that, and what is made of it.

mod charts;
mod figures;
mod goals;
mod notes;
mod table;

use notes::Algorithm;

use super::bed::{Compared, Side, compared};
use super::goal::Goal;
use super::results::{Out, publish};
use crate::cmd::args::GuestArgs;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_core::workspace::workspace;
use kdk_guest::request::GuestRequest;

/// The base that is measured: one alone has a flowtable.
pub const BASE: &str = "head-2014";
/// The tests, without the number of buckets that ends their names.
const TEST: &str = "flowtable/bench-expiry-";
/// The patch that brings the walk.
const WALK: &str = "flowtable-expiry-walk";
/// What makes the algorithm of FreeBSD 10.0 of the tree's own.
const BIT_AT_A_TIME: &str = "userland-tests/suites/flowtable/bench/head-2014/bit-at-a-time.patch";
/// Powers of two of the sizes.
const SIZES: std::ops::RangeInclusive<u32> = 8..=18;
/// The largest ones that `--quick` measures, and the quadratic algorithm is
/// measured with: it takes sixteen times as long for each further two.
const QUICK: u32 = 12;
const QUADRATIC: u32 = 16;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The patched kernel's machine.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Only tables of up to 4096 buckets
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    out: Out,
}

/// Measures and prints.
pub fn run(cx: &Context, args: &Args, name: &str) -> Result<(), Failure> {
    let logs = logs::folder(cx)?;
    let out = args.out.folder(cx, &logs)?;
    let sides = Algorithm::ALL.map(|algorithm| Side {
        which: algorithm,
        wanted: kernel(&args.guest.request(), algorithm),
        tests: tests(algorithm, args.quick),
    });
    let Compared {
        noted: walks,
        about,
        clock,
    } = compared((cx, name, &logs), sides.into(), notes::walks)?;
    let mut lines = vec![
        about.clone(),
        "one walk over a CPU's buckets in use, a flow in each, none of them stale; medians of 5, long walks once"
            .into(),
    ];
    lines.extend(
        Algorithm::ALL.map(|algorithm| format!("{}: {}", algorithm.name(), algorithm.about())),
    );
    lines.push(String::new());
    lines.extend(table::walks(&walks, clock));
    lines.push(String::new());
    lines.extend(table::exponents(&walks));
    lines.push(String::new());
    lines.extend(goals::of(&walks, TEST).iter().map(Goal::to_string));
    let plot = charts::sheet(&walks, clock, about);
    publish(&out, "bench-flowtable", &lines, &plot)
}

/// The kernel that has the algorithm.
fn kernel(wanted: &GuestRequest, algorithm: Algorithm) -> GuestRequest {
    let mut wanted = wanted.clone();
    match algorithm {
        Algorithm::Series => {}
        Algorithm::Tree => wanted.exclude.push(WALK.into()),
        Algorithm::BitAtATime => {
            wanted.exclude.push(WALK.into());
            wanted.patch.push(workspace().join(BIT_AT_A_TIME));
        }
    }
    wanted
}

/// The tests that it is measured by, small tables first.
fn tests(algorithm: Algorithm, quick: bool) -> Vec<String> {
    let last = match algorithm {
        _ if quick => QUICK,
        Algorithm::BitAtATime => QUADRATIC,
        Algorithm::Series | Algorithm::Tree => *SIZES.end(),
    };
    let size = |power: u32| format!("{TEST}{}", 1_u64 << power);
    (*SIZES.start()..=last).map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_has_its_kernel_and_its_sizes() {
        let told: Vec<String> = Algorithm::ALL
            .into_iter()
            .map(|algorithm| {
                let wanted = kernel(&GuestRequest::default(), algorithm);
                let files = wanted.patch.iter().filter_map(|path| path.file_name());
                let all = tests(algorithm, false);
                format!(
                    "{algorithm:?}: without {:?}, with {:?}, {} to {}, quick to {}",
                    wanted.exclude,
                    files.collect::<Vec<_>>(),
                    all[0],
                    all[all.len() - 1],
                    tests(algorithm, true)[4],
                )
            })
            .collect();
        insta::assert_snapshot!(told.join("\n"));
    }

    #[test]
    fn the_algorithm_of_10_0_is_there() {
        assert!(workspace().join(BIT_AT_A_TIME).is_file());
    }
}
