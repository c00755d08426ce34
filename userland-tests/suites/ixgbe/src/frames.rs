//! Frames that user space injects into a card's wire.

use crate::cards::{Cards, bring_up};
use alloc::string::String;
use kdk_fixtures::epair::keep_quiet;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::Errno;
use kdk_sys::net::Interfaces;
use kdk_sys::suite::must;
use kdk_sys::time::{Deadline, sleep_ms};

/// How long the driver's threads may take, milliseconds.
const SOON_MS: u64 = 20_000;

kdk_test!("ixgbe/card-frames", frames, limit_ms = 60_000);

/// A tap reports what the stack would receive, by flow and in order: all good
/// frames, and no bad ones.
fn frames() -> TestResult {
    keep_quiet();
    let cards = Cards::none();
    let name = cards.add(0)?;
    let interfaces = must("socket", Interfaces::open());
    bring_up(&interfaces, &name);
    assert_eq!(cards.ask("received 0"), Err(Errno::ENXIO), "without a tap");
    answers(&cards, "tap 0", "# card 0 tapped");
    assert_eq!(cards.ask("tap 0"), Err(Errno::EBUSY), "a second tap");

    for (options, fate) in [
        (
            "flow 5 count=10",
            "delivered=10 buffered=0 dropped=0 errored=0",
        ),
        ("flow 9", "delivered=1 buffered=0 dropped=0 errored=0"),
        (
            "flow 5 error=crc",
            "delivered=0 buffered=0 dropped=0 errored=1",
        ),
        (
            "flow 5 error=byte length=700",
            "delivered=0 buffered=0 dropped=0 errored=1",
        ),
        (
            "flow 5 length=9000",
            "delivered=0 buffered=0 dropped=0 errored=1",
        ),
        (
            "flow 5 length=50",
            "delivered=0 buffered=0 dropped=0 errored=1",
        ),
        (
            "flow 5 count=2 length=1514",
            "delivered=2 buffered=0 dropped=0 errored=0",
        ),
        (
            "flow 5 checksum=wrong-udp",
            "delivered=1 buffered=0 dropped=0 errored=0",
        ),
        (
            "flow 5 checksum=wrong-ip",
            "delivered=1 buffered=0 dropped=0 errored=0",
        ),
        (
            "flow 5 checksum=none",
            "delivered=1 buffered=0 dropped=0 errored=0",
        ),
        (
            "flow 5 count=3",
            "delivered=3 buffered=0 dropped=0 errored=0",
        ),
    ] {
        let flow = if options.starts_with("flow 9") { 9 } else { 5 };
        let wanted = alloc::format!("# card 0 flow={flow} {fate} other=0");
        answers(&cards, &alloc::format!("inject 0 {options}"), &wanted);
    }
    wait_for_frames(&cards, "flows=2 frames=19 foreign=0");
    answers(
        &cards,
        "received 0 5",
        "# card 0 flow 5 0-9 14-15 16-18! 19-21",
    );
    answers(&cards, "received 0 5", "# card 0 flow 5");
    answers(&cards, "received 0 9", "# card 0 flow 9 0");
    answers(&cards, "received 0 1", "# card 0 flow 1");
    many(&cards);
    stalled_queue(&cards);
    answers(&cards, "raise 0 0x100000", "# card 0 raised 0x100000");
    cards.remove(0);
    Ok(())
}

/// Receives more frames than one answer has room for.
fn many(cards: &Cards) {
    for _ in 0..30 {
        must("a bad one", cards.ask("inject 0 flow 7 error=crc"));
        must("a good one", cards.ask("inject 0 flow 7"));
    }
    wait_for_frames(cards, "flows=1 frames=30 foreign=0");
    let mut seen = String::new();
    loop {
        let answer = must("ask for some", cards.ask("received 0 7"));
        let numbers = answer.strip_prefix("# card 0 flow 7").unwrap_or(&answer);
        let some = numbers.strip_suffix(" ..");
        seen.push_str(some.unwrap_or(numbers));
        if some.is_none() {
            break;
        }
    }
    let wanted: String = (0..30)
        .map(|nth| alloc::format!(" {}", 2 * nth + 1))
        .collect();
    assert_eq!(seen, wanted);
}

/// A stalled queue keeps its frames in the card or drops them.
fn stalled_queue(cards: &Cards) {
    answers(cards, "stall 0 0", "# card 0 queue 0 stalled");
    let answer = must("a frame for it", cards.ask("inject 0 queue 0 count=2"));
    let went = ["buffered=2 dropped=0", "buffered=0 dropped=2"];
    assert!(
        went.iter()
            .any(|went| answer.contains(&alloc::format!("delivered=0 {went}"))),
        "{answer:?}"
    );
    answers(cards, "unstall 0 0", "# card 0 queue 0 runs");
    assert_eq!(
        cards.ask("inject 0 queue 99"),
        Err(Errno::ENXIO),
        "no such queue"
    );
}

#[track_caller]
fn answers(cards: &Cards, command: &str, wanted: &str) {
    assert_eq!(cards.ask(command).as_deref(), Ok(wanted), "card {command}");
}

/// Waits until the card's interface has received `wanted`.
#[track_caller]
fn wait_for_frames(cards: &Cards, wanted: &str) {
    let wanted = alloc::format!("# card 0 {wanted}");
    let deadline = Deadline::after_ms(SOON_MS);
    loop {
        let answer = must("query the received frames", cards.ask("received 0"));
        if answer == wanted {
            return;
        }
        assert!(
            !deadline.has_passed(),
            "expected {wanted:?}, saw {answer:?}"
        );
        sleep_ms(1);
    }
}
