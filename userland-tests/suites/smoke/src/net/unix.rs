//! Traffic over unix(4).

use kdk_fixtures::bytes::{assert_same, pattern, soon};
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::Descriptor;
use kdk_sys::poll::{POLLIN, wait_for};
use kdk_sys::socket::{Kind, pair, send};
use kdk_sys::suite::must;

kdk_test!("smoke/unix-datagram", datagrams);

/// Datagrams keep their borders and their order.
fn datagrams() -> TestResult {
    let (here, there) = must("socketpair", pair(Kind::UnixDatagram));
    let sizes = [1, 100, 2000, 1];
    for size in sizes {
        let count = must("send a datagram", send(&here, &pattern(size)));
        assert_eq!(count, size, "bytes taken");
    }
    for size in sizes {
        must("see it arrive", wait_for(&there, POLLIN, soon()));
        let mut buffer = [0; 4096];
        let count = must("receive it", there.read(&mut buffer));
        assert_same(
            "datagram",
            buffer.get(..count).unwrap_or_default(),
            &pattern(size),
        );
    }
    Ok(())
}
