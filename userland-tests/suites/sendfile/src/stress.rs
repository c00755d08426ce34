//! Many processes, many sockets, everything at random: a model knows how many
//! events have to come, and buffers are overwritten the moment one does.
//!
//! A sender has a process of its own that reads what it sends. Both derive
//! from the run's seed how each of their connections goes ([`plan`]); bytes
//! carry their own expected value ([`record`]).

pub mod plan;
mod reader;
mod record;
mod sender;
mod slots;
mod tally;

use crate::case;
use crate::in_flight::InFlight;
use alloc::vec::Vec;
use kdk_fixtures::child::Child;
use kdk_harness::TestResult;
use kdk_sys::fd::pipe;
use kdk_sys::kenv;
use kdk_sys::signal::{Signal, ignore};
use kdk_sys::suite::must;
use plan::Plan;
use tally::Tally;

const SENDERS: u16 = 8;
const SOCKETS: u16 = 256;

/// The longest time without progress in a process, in ms.
const QUIET_MS: u64 = 20_000;

case!("sendfile/stress", stress);

fn stress() -> TestResult {
    let in_flight = InFlight::of_second(
        "SF_KQUEUE of 2014 loses events with equal idents, and reports no lengths",
    )?;
    must("ignore SIGPIPE", ignore(Signal::SIGPIPE));
    let seed = seed();
    let (counts, count) = must("pipe", pipe());
    let senders: Vec<Child> = (0..SENDERS)
        .map(|sender| {
            Child::run(|| {
                let tally = run(seed, sender);
                must("report the counts", tally.write_to(&count));
            })
        })
        .collect();
    drop(count);
    for sender in senders {
        sender.join();
    }
    in_flight.assert_done("all events have come");
    must("hear what happened", Tally::sum(&counts)).covers_all();
    Ok(())
}

/// What is random about this run.
#[track_caller]
pub fn seed() -> u64 {
    let text = must("kdk.seed", kenv::get("kdk.seed"));
    match u64::from_str_radix(&text, 16) {
        Ok(seed) => seed,
        Err(_) => panic!("kdk.seed: expected hexadecimal digits, saw {text:?}"),
    }
}

/// A sender and its reader.
fn run(seed: u64, sender: u16) -> Tally {
    let plans: Vec<Plan> = (0..SOCKETS)
        .map(|socket| Plan::of(seed, sender, socket))
        .collect();
    let (here, there): (Vec<_>, Vec<_>) = plans.iter().map(Plan::connect).unzip();
    let mut here = Some(here);
    let reader = Child::run(|| {
        // The other side would never end while it is open here too.
        here = None;
        reader::read(seed, sender, &plans, there);
    });
    let tally = sender::send(seed, sender, &plans, here.unwrap_or_default());
    reader.join();
    tally
}
