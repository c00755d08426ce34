//! A network of many addresses behind one router, which the test acts as.

use crate::count::Count;
use kdk_fixtures::bytes::soon;
use kdk_fixtures::epair;
use kdk_fixtures::frame::{self, Ip, Said, Station};
use kdk_harness::Stop;
use kdk_sys::bpf::Wire;
use kdk_sys::net::Epair;
use kdk_sys::route::Routes;
use kdk_sys::socket::{Address, Kind, send_to, socket};
use kdk_sys::suite::must;
use kdk_sys::{Errno, Fd};

const KERNEL: Ip = [192, 0, 2, 1];
const ROUTER: Station = Station {
    mac: [2, 0, 0, 0, 0, 0x42],
    ip: [192, 0, 2, 2],
};
const NETWORK: Ip = [10, 0, 0, 0];
const PREFIX: u8 = 8;
/// The discard service.
const PORT: u16 = 9;

/// The way to that network, and a socket to send there with.
pub struct Network {
    _pair: Epair,
    socket: Fd,
}

impl Network {
    /// Makes it; its first address has a flow.
    ///
    /// # Errors
    /// A skip on kernels without a flowtable.
    #[track_caller]
    pub fn new() -> Result<Self, Stop> {
        let before = Count::now()?;
        let pair = epair::pair();
        let end = pair.a();
        let addressed = pair.interfaces().add_address(&end, KERNEL, 24);
        must("give end a an address", addressed);
        let routes = must("open a socket to the routing table", Routes::open());
        must("add a route", routes.add(NETWORK, PREFIX, ROUTER.ip));
        let mut wire = must("bpf on end b", Wire::attach(&pair.b()));
        let network = Self {
            socket: must("socket", socket(Kind::Udp)),
            _pair: pair,
        };
        network.send(0);
        answer(&mut wire);
        // What waited for the router's address has gone out without a flow.
        network.send(0);
        let after = Count::now()?;
        assert_eq!(after.inserts - before.inserts, 1, "flows of one address");
        Ok(network)
    }

    /// Sends a datagram to the network's `nth` address.
    #[track_caller]
    pub fn send(&self, nth: u32) {
        let to = Address::v4(address(nth), PORT);
        match send_to(&self.socket, b"flow", &to) {
            // A datagram lost behind the flowtable does not matter.
            Err(Errno::ENOBUFS) => {}
            sent => drop(must("send", sent)),
        }
    }

    /// Sends a datagram to each of the first `count` addresses; all have a
    /// flow then on the CPU that this ran on.
    #[track_caller]
    pub fn send_to_all(&self, count: u32) {
        for nth in 0..count {
            self.send(nth);
        }
    }
}

/// The network's `nth` address.
pub fn address(nth: u32) -> Ip {
    (u32::from_be_bytes(NETWORK) + 1 + nth).to_be_bytes()
}

/// Answers the kernel's question for the router, and waits until the kernel
/// has understood: for the datagram that it asked for.
#[track_caller]
fn answer(wire: &mut Wire) {
    let deadline = soon();
    loop {
        let seen = must("see what the kernel sends", wire.receive(deadline));
        match frame::read(&seen) {
            Said::ArpRequest(asker, ip) if ip == ROUTER.ip => {
                must("answer", wire.send(&frame::arp_reply(ROUTER, asker)));
            }
            Said::Udp(_, _, PORT, _) => return,
            _ => {}
        }
    }
}
