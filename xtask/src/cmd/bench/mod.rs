//! `cargo xtask bench`: what the kit itself costs, and what its series are
//! worth. Both sides of a comparison are measured in turn in one run.

mod bed;
mod clock;
mod flowtable;
mod goal;
mod isolation;
mod ixgbe;
mod notes;
mod overhead;
mod plot;
mod results;
mod sendfile;

use clap::Subcommand;

use crate::cmd::args::GuestArgs;
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_doctor::Need;
use kdk_guest::guest;

/// Measure the kit itself, and what its series are worth.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// vm-test against the bare machine and the bare make
    Overhead(Common),
    /// A fresh kernel for every test, against the tests' own time
    Isolation(Common),
    /// SF_KQUEUE against SF_SYNC and write(2), on the patched kernel
    Sendfile(sendfile::Args),
    /// The flowtable's expiry: the series, the tree, and FreeBSD 10.0's walk
    Flowtable(flowtable::Args),
    /// The ixgbe driver's receive path, with a ring that is stalled and without
    Ixgbe(ixgbe::Args),
}

#[derive(Debug, clap::Args)]
struct Common {
    #[command(flatten)]
    guest: GuestArgs,
    /// How often each side is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// Runs the verb.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let guest = match &args.what {
        What::Overhead(common) | What::Isolation(common) => &common.guest,
        What::Sendfile(args) => &args.guest,
        What::Flowtable(args) => &args.guest,
        What::Ixgbe(args) => &args.guest,
    };
    let own = match &args.what {
        What::Flowtable(_) => Some(flowtable::BASE),
        What::Ixgbe(_) => Some(ixgbe::BASE),
        What::Overhead(_) | What::Isolation(_) | What::Sendfile(_) => None,
    };
    let name = match (&guest.base, own) {
        (None, Some(base)) => base.to_owned(),
        _ => guest::base_name(cx, guest.base.as_deref())?,
    };
    kdk_doctor::need(cx, Need::guest(&name), false)?;
    match &args.what {
        What::Overhead(common) => overhead::run(cx, &common.guest.request(), &name, common.rounds),
        What::Isolation(common) => {
            isolation::run(cx, &common.guest.request(), &name, common.rounds)
        }
        What::Sendfile(args) => sendfile::run(cx, args, &name),
        What::Flowtable(args) => flowtable::run(cx, args, &name),
        What::Ixgbe(args) => ixgbe::run(cx, args, &name),
    }
}

fn median(values: &mut [u64]) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

fn goal(ms: u64, most: u64) -> String {
    let word = word(ms <= most);
    format!("{} (goal {}: {word})", seconds(ms), seconds(most))
}

fn word(reached: bool) -> &'static str {
    if reached { "reached" } else { "MISSED" }
}

/// A ratio in hundredths, against the goal: at most, or at least.
fn ratio(top: u64, bottom: u64) -> f64 {
    top as f64 / bottom.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_goals() {
        assert_eq!(median(&mut [5, 1, 9]), 5);
        assert_eq!(goal(1001, 1000), "1.001 (goal 1.000: MISSED)");
        assert_eq!(goal(1000, 1000), "1.000 (goal 1.000: reached)");
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        assert_eq!(ratio(3, 2), 1.5);
        assert_eq!(ratio(3, 0), 3.0);
    }
}
