//! Traffic over lo0.

use kdk_fixtures::bytes::{self, assert_same, pattern, receive_all, soon};
use kdk_fixtures::child::Child;
use kdk_fixtures::link::Link;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::poll::{POLLIN, POLLOUT, wait_for};
use kdk_sys::socket::{
    Address, Half, Kind, accept, bind, connect, listen, local_address, receive, send_to,
    set_linger, shutdown, socket, take_error,
};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd};

/// A socket with an address of its own.
#[track_caller]
fn bound(kind: Kind, host: &Address) -> (Fd, Address) {
    let socket = must("socket", socket(kind));
    must("bind", bind(&socket, host));
    let address = must("getsockname", local_address(&socket));
    assert_ne!(address.port(), 0, "the port that bind chose");
    (socket, address)
}

/// Around nothing, a frame of Ethernet's, and the largest datagram that is
/// sent by default.
const DATAGRAMS: [usize; 6] = [0, 1, 512, 1472, 1473, 9000];

fn udp(kind: Kind, host: &Address) -> TestResult {
    let (here, from) = bound(kind, host);
    let (there, to) = bound(kind, host);
    for size in DATAGRAMS {
        let sent = pattern(size);
        let count = must("send a datagram", send_to(&here, &sent, &to));
        assert_eq!(count, size, "bytes taken");
        must("see it arrive", wait_for(&there, POLLIN, soon()));
        let mut buffer = [0; 10_000];
        let (count, sender) = must("receive it", receive(&there, &mut buffer));
        assert_eq!(sender, from, "its sender");
        assert_same("datagram", buffer.get(..count).unwrap_or_default(), &sent);
    }
    Ok(())
}

kdk_test!("smoke/lo-udp", || udp(Kind::Udp, &Address::loopback(0)));
kdk_test!("smoke/lo-udp6", || udp(Kind::Udp6, &Address::loopback6(0)));

kdk_test!("smoke/lo-udp-refused", udp_refused);

/// A datagram to an unused port is answered with an error.
fn udp_refused() -> TestResult {
    let (gone, address) = bound(Kind::Udp, &Address::loopback(0));
    drop(gone);
    let here = must("socket", socket(Kind::Udp));
    must("connect", connect(&here, &address));
    must("send a datagram", here.write(b"x"));
    must("see the error", wait_for(&here, POLLIN, soon()));
    assert_eq!(take_error(&here), Err(Errno::ECONNREFUSED), "the error");
    Ok(())
}

fn tcp(link: Link) -> TestResult {
    const LENGTH: usize = 300_000;
    let (here, there) = link.connect();
    let sent = pattern(LENGTH);
    let (gone, gone_tx) = must("pipe", pipe());
    // Each half is ended apart.
    let echo = Child::run(|| {
        let seen = receive_all(&there);
        must("send it back", there.write_all(&seen));
        must(
            "keep it open until the other side is gone",
            gone.read(&mut [0]),
        );
    });
    must("send", here.write_all(&sent));
    must("end writing", shutdown(&here, Half::Write));
    drop(there);
    assert_same("what came back", &bytes::receive(&here, LENGTH), &sent);
    // An orderly end keeps a socket for a minute, on kernels of 2014 even
    // here.
    must("end with a reset", set_linger(&here, 0));
    drop(here);
    must("report the end", gone_tx.write_all(b"g"));
    echo.join();
    Ok(())
}

kdk_test!("smoke/lo-tcp", || tcp(Link::Tcp));
kdk_test!("smoke/lo-tcp6", || tcp(Link::Tcp6));

kdk_test!("smoke/lo-tcp-refused", tcp_refused);

fn tcp_refused() -> TestResult {
    let (gone, address) = bound(Kind::Tcp, &Address::loopback(0));
    drop(gone);
    let here = must("socket", socket(Kind::Tcp));
    let connected = connect(&here, &address);
    assert_eq!(
        connected,
        Err(Errno::ECONNREFUSED),
        "connect to an unused port"
    );
    Ok(())
}

kdk_test!("smoke/lo-tcp-nonblocking", tcp_nonblocking);

/// A connection that is made while the program does something else.
fn tcp_nonblocking() -> TestResult {
    let (listener, address) = bound(Kind::Tcp, &Address::loopback(0));
    must("listen", listen(&listener, 4));
    must("do not wait", listener.set_nonblocking(true));
    let none = accept(&listener).map(drop);
    assert_eq!(none, Err(Errno::EAGAIN), "accept without a connection");
    let here = must("socket", socket(Kind::Tcp));
    must("do not wait", here.set_nonblocking(true));
    match connect(&here, &address) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(errno) => panic!("connect: expected EINPROGRESS, saw {errno}"),
    }
    must("see it connected", wait_for(&here, POLLOUT, soon()));
    must("no error", take_error(&here));
    must("see it arrive", wait_for(&listener, POLLIN, soon()));
    let (there, peer) = must("accept", accept(&listener));
    let name = must("getsockname", local_address(&here));
    assert_eq!(peer, name, "whose connection it is");
    drop(here);
    assert_same("nothing was sent", &receive_all(&there), b"");
    Ok(())
}
