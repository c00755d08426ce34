//! epair(4): a wire between two interfaces.

use kdk_sys::net::Epair;
use kdk_sys::suite::must;
use kdk_sys::sysctl;

/// New interfaces get no IPv6 address of their own from now on: what the
/// kernel says on the wire about them comes at random times, and kernels of
/// 2014 lose the mbufs of it when the interface goes away meanwhile.
#[track_caller]
pub fn keep_quiet() {
    let off = sysctl::set("net.inet6.ip6.auto_linklocal", 0);
    must("switch automatic link-local addresses off", off);
}

/// A pair with both ends up.
#[track_caller]
pub fn pair() -> Epair {
    keep_quiet();
    let pair = must("make an epair", Epair::create());
    for end in [pair.a(), pair.b()] {
        must("bring it up", pair.interfaces().bring_up(&end));
    }
    pair
}
