//! `cargo xtask bench ixgbe`: what a frame costs between card and stack, and
//! what is left of the other queues' rates when one ring of four is stalled,
//! by the series and without its patches. Tests of kdk.ko measure, each a size
//! of frames, on the software 82599; here stands on which kernels they do
//! that, and what is made of it.

mod charts;
mod figures;
mod goals;
mod notes;
mod table;

use notes::Driver;

use super::bed::{Compared, Side, compared};
use super::goal::Goal;
use super::results::{Out, publish};
use crate::cmd::args::GuestArgs;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_guest::request::{GuestRequest, KernelChoice};
use kdk_series::load;

/// The base whose ixgbe driver is measured.
pub const BASE: &str = "releng-15.1";
/// The tests, without the size that ends their names.
const TEST: &str = "ixgbe/bench-";
/// Bytes of a frame with its check sequence.
const SIZES: [u32; 6] = [64, 128, 256, 512, 1024, 1518];
/// Those that `--quick` measures.
const QUICK: [u32; 2] = [64, 1518];
/// The patch that lets a full queue drop its frames.
const DROP: &str = "ixgbe-rx-drop";
/// How the ids of patches of the driver and of what it is based on begin.
const PATCHES: [&str; 2] = ["ixgbe-", "iflib-"];
/// A queue for each CPU is what the driver takes, and four are measured.
const CPUS: u32 = 4;

/// What is measured.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The patched kernel's machine; it has four CPUs.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Only the shortest and the longest frames
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    out: Out,
}

/// Measures and prints.
pub fn run(cx: &Context, args: &Args, name: &str) -> Result<(), Failure> {
    let logs = logs::folder(cx)?;
    let out = args.out.folder(cx, &logs)?;
    let mut sides = Vec::new();
    for driver in Driver::ALL {
        sides.push(Side {
            which: driver,
            wanted: kernel(&args.guest.request(), driver, name)?,
            tests: tests(args.quick),
        });
    }
    let Compared {
        noted: runs,
        about,
        clock,
    } = compared((cx, name, &logs), sides, notes::runs)?;
    let mut lines = vec![
        about.clone(),
        "a software 82599 with four receive queues, UDP to all in turn; the work of all CPUs together, that of the \
         card's registers included"
            .into(),
    ];
    lines.extend(Driver::ALL.map(|driver| format!("{}: {}", driver.name(), driver.about())));
    lines.push(String::new());
    lines.extend(table::runs(&runs, clock));
    lines.push(String::new());
    lines.extend(goals::of(&runs, TEST).iter().map(Goal::to_string));
    let plot = charts::sheet(&runs, clock, about);
    publish(&out, "bench-ixgbe", &lines, &plot)
}

/// The kernel, and with it kdk.ko, that has the driver.
fn kernel(wanted: &GuestRequest, driver: Driver, name: &str) -> Result<GuestRequest, Failure> {
    let mut wanted = GuestRequest {
        kernel: KernelChoice::Bench,
        cpus: Some(CPUS),
        ..wanted.clone()
    };
    match driver {
        Driver::Series => {}
        Driver::WithoutDrop => wanted.exclude.push(DROP.into()),
        Driver::Tree => {
            let series = load::must(name)?;
            let patches = series.manifest.patches.iter();
            let its = |id: &&String| PATCHES.iter().any(|start| id.starts_with(start));
            wanted
                .exclude
                .extend(patches.map(|patch| &patch.id).filter(its).cloned());
        }
    }
    Ok(wanted)
}

/// The tests that measure, short frames first.
fn tests(quick: bool) -> Vec<String> {
    let sizes: &[u32] = if quick { &QUICK } else { &SIZES };
    sizes.iter().map(|size| format!("{TEST}{size}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_driver_has_its_kernel() {
        let without = |driver| {
            let kernel = kernel(&GuestRequest::default(), driver, BASE).unwrap();
            assert_eq!(kernel.cpus, Some(CPUS));
            kernel.exclude
        };
        assert!(without(Driver::Series).is_empty());
        assert_eq!(without(Driver::WithoutDrop), [DROP]);
        let tree = without(Driver::Tree);
        assert!(tree.contains(&DROP.to_owned()), "{tree:?}");
        assert!(tree.contains(&"iflib-bad-frame".to_owned()), "{tree:?}");
        let others = |id: &String| !id.starts_with("ixgbe") && !id.starts_with("iflib");
        assert!(!tree.iter().any(others), "{tree:?}");
    }

    #[test]
    fn a_base_without_such_patches_has_no_such_kernel() {
        assert!(kernel(&GuestRequest::default(), Driver::Tree, "no-such-base").is_err());
    }

    #[test]
    fn a_test_for_each_size() {
        assert_eq!(tests(true), ["ixgbe/bench-64", "ixgbe/bench-1518"]);
        assert_eq!(tests(false).len(), SIZES.len());
    }
}
