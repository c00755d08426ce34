//! epair(4) with nothing but a wire at one end.
//!
//! Two addresses of one machine talk through lo0 whatever interface they are
//! on. So one end has the address, and the other is only a wire, where the
//! test acts as a second machine through bpf(4).

use kdk_fixtures::bytes::{assert_same, pattern, soon};
use kdk_fixtures::epair::pair;
use kdk_fixtures::frame::{self, BROADCAST, EXPERIMENT, Said, Station, ethernet};
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::bpf::Wire;
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::socket::{Address, Kind, bind, local_address, receive, send_to, socket};
use kdk_sys::suite::must;
use kdk_sys::time::Deadline;

/// The end with the kernel behind it, and the one with the test behind it.
const KERNEL_IP: frame::Ip = [192, 0, 2, 1];
const TEST: Station = Station {
    mac: [2, 0, 0, 0, 0, 0x42],
    ip: [192, 0, 2, 2],
};

/// The next frame that `wanted` takes.
#[track_caller]
fn next<T>(what: &str, wire: &mut Wire, mut wanted: impl FnMut(Said) -> Option<T>) -> T {
    let deadline: Deadline = soon();
    loop {
        let frame = must(what, wire.receive(deadline));
        if let Some(found) = wanted(frame::read(&frame)) {
            return found;
        }
    }
}

kdk_test!("smoke/epair-frames", frames, limit_ms = 20_000);

/// What goes in at one end comes out at the other, both ways, unchanged.
fn frames() -> TestResult {
    let pair = pair();
    let mut a = must("bpf on end a", Wire::attach(&pair.a()));
    let mut b = must("bpf on end b", Wire::attach(&pair.b()));
    for size in [46, 100, 1000, 1500] {
        let sent = ethernet(BROADCAST, TEST.mac, EXPERIMENT, &pattern(size));
        for to_b in [true, false] {
            let (from, to) = if to_b {
                (&mut a, &mut b)
            } else {
                (&mut b, &mut a)
            };
            must("put a frame out", from.send(&sent));
            let deadline = soon();
            let seen = loop {
                // The kernel may have something to say too.
                let frame = must("see it come in", to.receive(deadline));
                if frame.get(12..14) == Some(&EXPERIMENT.to_be_bytes()) {
                    break frame;
                }
            };
            assert_same("frame", &seen, &sent);
        }
    }
    Ok(())
}

kdk_test!("smoke/epair-udp", udp, limit_ms = 20_000);

/// The kernel answers for its address, takes datagrams from the wire, asks for
/// the other address and puts datagrams on the wire.
fn udp() -> TestResult {
    let pair = pair();
    let addressed = pair.interfaces().add_address(&pair.a(), KERNEL_IP, 24);
    must("give end a an address", addressed);
    let mut wire = must("bpf on end b", Wire::attach(&pair.b()));

    must(
        "ask who has it",
        wire.send(&frame::arp_request(TEST, KERNEL_IP)),
    );
    let kernel = next("an answer", &mut wire, |said| match said {
        Said::ArpReply(station) if station.ip == KERNEL_IP => Some(station),
        _ => None,
    });

    let socket = must("socket", socket(Kind::Udp));
    must("bind", bind(&socket, &Address::v4(KERNEL_IP, 0)));
    let port = must("getsockname", local_address(&socket)).port();
    let sent = pattern(1000);
    let datagram = frame::udp((TEST, 7777), (kernel, port), &sent);
    must("send a datagram from the wire", wire.send(&datagram));
    must("see it arrive", wait_for(&socket, POLLIN, soon()));
    let mut buffer = [0; 2000];
    let (count, from) = must("receive it", receive(&socket, &mut buffer));
    assert_eq!(from, Address::v4(TEST.ip, 7777), "its sender");
    assert_same(
        "from the wire",
        buffer.get(..count).unwrap_or_default(),
        &sent,
    );

    let answer = pattern(1200);
    must("send one to the wire", send_to(&socket, &answer, &from));
    let seen = udp_from(&mut wire, kernel, port);
    assert_same("to the wire", &seen, &answer);
    Ok(())
}

/// The payload of the next datagram of the kernel's to port 7777, whose
/// question for the address is answered when it asks.
#[track_caller]
fn udp_from(wire: &mut Wire, kernel: Station, port: u16) -> alloc::vec::Vec<u8> {
    let deadline = soon();
    loop {
        let frame = must("see the kernel's datagram", wire.receive(deadline));
        match frame::read(&frame) {
            Said::ArpRequest(asker, ip) if ip == TEST.ip => {
                must("answer", wire.send(&frame::arp_reply(TEST, asker)));
            }
            Said::Udp(station, from, 7777, payload) if from == port => {
                assert_eq!(station, kernel, "the datagram's sender");
                return payload;
            }
            _ => {}
        }
    }
}
