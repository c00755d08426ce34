//! Commands about cards, and those that cannot be done.

use crate::cards::Cards;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::Errno;
use kdk_sys::net::Interfaces;
use kdk_sys::suite::must;

kdk_test!("ixgbe/card-commands", commands, limit_ms = 60_000);

/// What can be done is answered; what cannot is refused with its errno, and
/// does nothing.
fn commands() -> TestResult {
    let cards = Cards::none();
    cards.add(0)?;
    for (command, errno) in [
        ("", Errno::EINVAL),
        ("old", Errno::EINVAL),
        ("new 1", Errno::EINVAL),
        ("wire 0", Errno::EINVAL),
        ("wire 0 0", Errno::EINVAL),
        ("wire 0 1", Errno::ENXIO),
        ("wire 0 -1", Errno::EINVAL),
        ("link 0", Errno::EINVAL),
        ("link 0 sideways", Errno::EINVAL),
        ("link 1 up", Errno::ENXIO),
        ("stall 0", Errno::EINVAL),
        ("stall 0 65536", Errno::EINVAL),
        ("stall 1 0", Errno::ENXIO),
        ("raise 0 100000", Errno::EINVAL),
        ("raise 1 0x100000", Errno::ENXIO),
        ("tap", Errno::EINVAL),
        ("tap 1", Errno::ENXIO),
        ("inject 0", Errno::EINVAL),
        ("inject 0 flow", Errno::EINVAL),
        ("inject 0 flow 65536", Errno::EINVAL),
        ("inject 0 flow 1 count=0", Errno::EINVAL),
        ("inject 0 flow 1 count=1001", Errno::EINVAL),
        ("inject 0 flow 1 error=of-mine", Errno::EINVAL),
        ("inject 1 flow 1", Errno::ENXIO),
        ("received 0 flow", Errno::EINVAL),
        ("received 0", Errno::ENXIO),
        ("received 1", Errno::ENXIO),
        ("counts", Errno::EINVAL),
        ("counts 1", Errno::ENXIO),
        ("remove 99999999999999999999", Errno::EINVAL),
        ("remove 1", Errno::ENXIO),
    ] {
        assert_eq!(cards.ask(command), Err(errno), "card {command}");
    }
    for (command, answer) in [
        ("link 0 down", "# card 0 link down"),
        ("link 0 up", "# card 0 link up"),
        ("stall 0 3", "# card 0 queue 3 stalled"),
        ("unstall 0 3", "# card 0 queue 3 runs"),
    ] {
        assert_eq!(cards.ask(command).as_deref(), Ok(answer), "card {command}");
    }
    let other = Cards::none();
    assert_eq!(other.ask("new"), Err(Errno::EBUSY), "cards of two");
    let name = cards.add(1)?;
    must("connect two", cards.ask("wire 0 1"));
    assert_eq!(cards.ask("wire 1 0"), Err(Errno::EBUSY), "a second wire");
    let interfaces = must("socket", Interfaces::open());
    must("the interface is there", interfaces.has_link(&name));
    cards.remove(0);
    assert_eq!(cards.ask("remove 0"), Err(Errno::ENXIO), "removed twice");
    // The other one goes with its descriptor.
    drop(cards);
    assert_eq!(interfaces.has_link(&name), Err(Errno::ENXIO));
    other.add(0)?;
    other.remove(0);
    Ok(())
}
