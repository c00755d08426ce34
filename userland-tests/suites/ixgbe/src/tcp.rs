//! TCP between two cards, back to back, with a network stack at each end.

use crate::cards::{Cards, bring_up};
use kdk_fixtures::bytes::{assert_same, pattern, receive};
use kdk_fixtures::child::Child;
use kdk_fixtures::epair::keep_quiet;
use kdk_fixtures::vnet;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::jail::Jail;
use kdk_sys::net::Interfaces;
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::socket::{Address, Kind, accept, bind, connect, listen, set_linger, socket};
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;
use kdk_sys::{Descriptor, Errno, sysctl};

const HERE: [u8; 4] = [192, 0, 2, 1];
const THERE: [u8; 4] = [192, 0, 2, 2];
const PORT: u16 = 7778;
/// Bytes in each direction: several rings' worth of frames.
const ASKED: usize = 6 << 20;
const ANSWERED: usize = 4 << 20;
/// How long an end may wait for the other end, milliseconds.
const PART_MS: u64 = 60_000;

kdk_test!("ixgbe/tcp-back-to-back", back_to_back, limit_ms = 120_000);

/// All bytes arrive in both directions, and no segment out of order. The wire
/// checks the order after the sending driver, TCP the order after the receiving
/// driver.
fn back_to_back() -> TestResult {
    vnet::require()?;
    keep_quiet();
    let cards = Cards::none();
    let names = [cards.add(0)?, cards.add(1)?];
    must("connect the cards", cards.ask("wire 0 1"));
    let interfaces = must("socket", Interfaces::open());
    let jails =
        ["kdk-ix-here", "kdk-ix-there"].map(|name| must("make a jail", Jail::with_network(name)));
    for (name, jail) in names.iter().zip(&jails) {
        must("move it into its jail", interfaces.move_to(name, jail));
    }

    let (asked, answered) = (pattern(ASKED), pattern(ANSWERED));
    let (ready, ready_tx) = must("pipe", pipe());
    let (start, start_tx) = must("pipe", pipe());
    let there = Child::run(|| {
        inside(&jails[1], &names[1], THERE);
        let listener = must("socket", socket(Kind::Tcp));
        must("bind", bind(&listener, &Address::v4(THERE, PORT)));
        must("listen", listen(&listener, 1));
        must("report that this end is ready", ready_tx.write_all(b"r"));
        let patience = || Deadline::after_ms(PART_MS);
        must("see a connection", wait_for(&listener, POLLIN, patience()));
        let (peer, address) = must("accept", accept(&listener));
        assert_eq!(address.host_v4(), HERE, "whose connection it is");
        let seen = receive(&peer, asked.len());
        assert_same("what came across", &seen, &asked);
        in_order(asked.len());
        must("answer", peer.write_all(&answered));
        must("see the end", wait_for(&peer, POLLIN, patience()));
        let end = peer.read(&mut [0]);
        assert_eq!(end, Err(Errno::ECONNRESET), "the end of the connection");
    });
    let here = Child::run(|| {
        inside(&jails[0], &names[0], HERE);
        must("report that this end is ready", ready_tx.write_all(b"r"));
        let deadline = Deadline::after_ms(PART_MS);
        must("wait for the start", wait_for(&start, POLLIN, deadline));
        let peer = must("socket", socket(Kind::Tcp));
        must("connect", connect(&peer, &Address::v4(THERE, PORT)));
        must("ask", peer.write_all(&asked));
        let deadline = Deadline::after_ms(PART_MS);
        must("see an answer", wait_for(&peer, POLLIN, deadline));
        let seen = receive(&peer, answered.len());
        assert_same("what came back", &seen, &answered);
        in_order(answered.len());
        // A reset, since an orderly close keeps the socket, and with it the
        // jail, for a minute.
        must("end with a reset", set_linger(&peer, 0));
        must("close", peer.close());
    });
    drop(ready_tx);
    for _ in 0..2 {
        let deadline = Deadline::after_ms(PART_MS);
        must("see an end ready", wait_for(&ready, POLLIN, deadline));
        assert_eq!(receive(&ready, 1), b"r", "an end that is ready");
    }
    // Frames that one end sent while the other driver set its rings up may be
    // lost.
    let before = [0, 1].map(|nth| cards.counts(nth).lost);
    must("start one end", start_tx.write_all(b"s"));
    here.join();
    there.join();

    for (nth, least) in [ANSWERED, ASKED].into_iter().enumerate() {
        let seen = cards.counts(nth);
        // Each segment fits in one frame.
        assert!(seen.next >= (least / 1500) as u64, "{nth}: {seen:?}");
        assert_eq!((seen.ahead, seen.lost), (0, before[nth]), "{nth}: {seen:?}");
        assert!(seen.delivered >= seen.next, "{nth}: {seen:?}");
    }
    for (name, jail) in names.iter().zip(&jails) {
        must("take it back", interfaces.take_back(name, jail));
    }
    for jail in jails {
        must("remove a jail", jail.remove());
    }
    cards.remove(0);
    cards.remove(1);
    Ok(())
}

/// Moves this process into a jail and configures the interface there.
#[track_caller]
fn inside(jail: &Jail, name: &str, host: [u8; 4]) {
    must("enter the jail", jail.enter());
    keep_quiet();
    let interfaces = must("socket", Interfaces::open());
    bring_up(&interfaces, name);
    must("give it an address", interfaces.add_address(name, host, 24));
}

/// Checks that TCP of this jail has received this many bytes, none of them out
/// of order.
#[track_caller]
fn in_order(bytes: usize) {
    /// Places in `struct tcpstat`, `<netinet/tcp_var.h>`.
    const RCVBYTE: usize = 30;
    const RCVOOPACK: usize = 39;
    let all = must("net.inet.tcp.stats", sysctl::bytes("net.inet.tcp.stats"));
    let count = |nth: usize| {
        let bytes = all.chunks_exact(8).nth(nth);
        let bytes = bytes.and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    assert_eq!(count(RCVOOPACK), 0, "tcps_rcvoopack");
    assert_eq!(count(RCVBYTE), bytes as u64, "tcps_rcvbyte");
}
