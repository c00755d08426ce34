//! epair(4) with a network stack at each end.

use kdk_fixtures::bytes::{assert_same, pattern, receive, soon};
use kdk_fixtures::child::Child;
use kdk_fixtures::epair::keep_quiet;
use kdk_fixtures::vnet;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::fd::pipe;
use kdk_sys::file::{O_CLOEXEC, O_RDONLY, open, unlink, write_file};
use kdk_sys::jail::Jail;
use kdk_sys::net::{Epair, Interfaces};
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::sendfile::{Request, Sent, sendfile};
use kdk_sys::socket::{Address, Kind, accept, bind, connect, listen, set_linger, socket};
use kdk_sys::suite::must;
use kdk_sys::{Descriptor, Errno, Fd};

const HOST: [u8; 4] = [192, 0, 2, 1];
const JAIL: [u8; 4] = [192, 0, 2, 2];
const PORT: u16 = 7777;

kdk_test!("smoke/epair-vnet-sendfile", across, limit_ms = 30_000);

/// A file goes through sendfile(2) and TCP from one network stack to another,
/// over a wire that is not lo0.
fn across() -> TestResult {
    vnet::require()?;
    keep_quiet();
    let pair = must("make an epair", Epair::create());
    let jail = must("make a jail", Jail::with_network("kdk-smoke"));
    let moved = pair.interfaces().move_to(&pair.b(), &jail);
    must("move end b into the jail", moved);
    up(pair.interfaces(), &pair.a(), HOST);

    let sent = pattern(600_000);
    let (ready, ready_tx) = must("pipe", pipe());
    let inside = Child::run(|| {
        must("enter the jail", jail.enter());
        keep_quiet();
        up(&must("socket", Interfaces::open()), &pair.b(), JAIL);
        let listener = listen_at(Address::v4(JAIL, PORT));
        must("report that this end is ready", ready_tx.write_all(b"r"));
        must("see a connection", wait_for(&listener, POLLIN, soon()));
        let (there, peer) = must("accept", accept(&listener));
        assert_eq!(peer.host_v4(), HOST, "whose connection it is");
        let seen = receive(&there, sent.len());
        assert_same("what came across", &seen, &sent);
        must("acknowledge", there.write_all(b"k"));
        must("see the end", wait_for(&there, POLLIN, soon()));
        let end = there.read(&mut [0]);
        assert_eq!(end, Err(Errno::ECONNRESET), "the end of the connection");
    });
    drop(ready_tx);
    must("see the other end ready", wait_for(&ready, POLLIN, soon()));
    send(&sent);
    inside.join();
    drop(pair);
    must("remove the jail", jail.remove());
    Ok(())
}

#[track_caller]
fn up(interfaces: &Interfaces, name: &str, host: [u8; 4]) {
    must("give it an address", interfaces.add_address(name, host, 24));
    must("bring it up", interfaces.bring_up(name));
}

#[track_caller]
fn listen_at(address: Address) -> Fd {
    let listener = must("socket", socket(Kind::Tcp));
    must("bind", bind(&listener, &address));
    must("listen", listen(&listener, 1));
    listener
}

#[track_caller]
fn send(bytes: &[u8]) {
    const PATH: &str = "/tmp/smoke-vnet";
    must("write the file to send", write_file(PATH, bytes));
    let file = must("open the file to send", open(PATH, O_RDONLY | O_CLOEXEC));
    must("unlink the file to send", unlink(PATH));
    let here = must("socket", socket(Kind::Tcp));
    must(
        "connect over the wire",
        connect(&here, &Address::v4(JAIL, PORT)),
    );
    let sent = sendfile(&file, &here, &Request::default());
    let all = Sent {
        bytes: bytes.len() as i64,
        result: Ok(()),
    };
    assert_eq!(sent, all, "sendfile over the wire");
    assert_same("the answer", &receive(&here, 1), b"k");
    // A reset: an orderly end keeps a socket for a minute, and that the jail.
    must("end with a reset", set_linger(&here, 0));
    must("close", here.close());
}
