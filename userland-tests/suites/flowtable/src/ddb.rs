//! `show flowtables` of ddb, run by a script and read from its capture buffer
//! (ddb(4), textdump(4)).

use crate::count::Count;
use crate::traffic::{Network, address};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::suite::must;
use kdk_sys::sysctl;

const FLOWS: u32 = 50;
const SCRIPT: &str = "kdb.enter.sysctl=capture on; show flowtables; capture off; continue";
/// Bytes of captured text.
const CAPTURE: i32 = 1 << 20;

kdk_test!("flowtable/ddb-whole-table", whole_table, limit_ms = 60_000);

/// What the command shows is what the table holds.
fn whole_table() -> TestResult {
    let network = Network::new()?;
    network.send_to_all(FLOWS);
    let before = Count::now()?;
    let text = show();
    let after = Count::now()?;
    assert_eq!(before, after, "flows came or went meanwhile");
    let mut shown = BTreeMap::<&str, u64>::new();
    let ipv4 = text
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "IPv4:")
        .take_while(|line| *line != "IPv6:");
    for line in ipv4 {
        if let [host, hash, ..] = line.split_whitespace().collect::<Vec<_>>()[..]
            && hash.starts_with("hash=")
        {
            *shown.entry(host).or_default() += 1;
        }
    }
    for nth in 0..FLOWS {
        let [a, b, c, d] = address(nth);
        let host = format!("{a}.{b}.{c}.{d}");
        assert!(shown.contains_key(host.as_str()), "no {host} in\n{text}");
    }
    let all: u64 = shown.values().sum();
    assert_eq!(all, after.flows(), "flows shown, flows counted:\n{text}");
    Ok(())
}

/// Enters the debugger, which runs the script and goes on. The console is
/// silent meanwhile: who reads it would think that the kernel is lost.
#[track_caller]
fn show() -> String {
    must(
        "set the script",
        sysctl::write("debug.ddb.scripting.script", SCRIPT.as_bytes()),
    );
    must(
        "make room",
        sysctl::set("debug.ddb.capture.bufsize", CAPTURE),
    );
    must("silence the console", sysctl::set("kern.consmute", 1));
    let entered = sysctl::set("debug.kdb.enter", 1);
    let heard = sysctl::set("kern.consmute", 0);
    must("enter the debugger", entered);
    must("have the console speak again", heard);
    must(
        "read what was captured",
        sysctl::text("debug.ddb.capture.data"),
    )
}
