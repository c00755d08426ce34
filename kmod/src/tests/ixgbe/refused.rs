//! Errors, and the cleanup after a test.

use super::{Card, Setup, leave, running};
use crate::kpi::Locked;
use crate::kpi::errno::Errno;
use crate::kpi::interface::{Interface, Tap};
use crate::kpi::leaked;
use crate::kpi::nic::{Wire, most_queues};
use crate::tests::harness::{expect, output_of};
use kdk_harness::{Stop, Test, TestResult};

/// Missing interfaces, second taps, and impossible numbers of queues are refused.
pub fn refused() -> TestResult {
    let missing = Interface::named(c"ix7".into());
    assert_eq!(missing.state(), Err(Errno::ENXIO));
    assert_eq!(missing.set_up(true), Err(Errno::ENXIO));
    assert_eq!(missing.transmit(&[0; 60]), Err(Errno::ENXIO));
    assert_eq!(missing.tap().err(), Some(Errno::ENXIO));

    for queues in [0, most_queues() + 1, u32::MAX] {
        let setup = Setup {
            queues: Some(queues),
            ..Setup::nth(0)
        };
        assert_eq!(Card::attach(&setup).err(), Some(Errno::EINVAL), "{queues}");
    }

    let card = Card::attach(&Setup::nth(0))?;
    let tap = card.interface().tap()?;
    assert_eq!(card.interface().tap().err(), Some(Errno::EBUSY));
    drop(tap);
    drop(card.interface().tap()?);
    leave(card)
}

/// The attach fails for a NIC whose reset does not complete, and succeeds for the
/// next NIC. The driver of 2014 waits without limit.
#[cfg(iflib)]
pub fn attach_fails() -> TestResult {
    let mut setup = Setup::nth(0);
    setup.card.reset_reads = u32::MAX;
    for _ in 0..3 {
        assert_eq!(Card::attach(&setup).err(), Some(Errno::EIO));
    }
    let card = running(&Setup::nth(0))?;
    assert_eq!(card.interface().name(), "ix0");
    leave(card)
}

/// The resources of a test that ends without running destructors.
static KEPT: Locked<Option<(Card, Card, Wire, Tap)>> = Locked::new(None);

/// The resources of a test are released and reported when it ends.
pub fn leaked_cards() -> TestResult {
    static LEAVES: Test = Test {
        limit_ms: super::LIMIT_MS,
        ..Test::new("inner/leaves-cards", || {
            let (one, other) = (running(&Setup::nth(0))?, running(&Setup::nth(1))?);
            let wire = Wire::between(&one, &other)?;
            let tap = one.interface().tap()?;
            let mut all = Some((one, other, wire, tap));
            KEPT.with(|kept| core::mem::swap(kept, &mut all));
            Ok(())
        })
    };
    let text = output_of(&LEAVES)?;
    let kept = KEPT.with(Option::take);
    let (one, other, wire, tap) = kept.ok_or(Stop::Fail("no card was kept"))?;
    for card in [&one, &other] {
        assert_eq!(card.interface().state(), Err(Errno::ENXIO));
    }
    drop((tap, wire, one, other));
    for (kind, count) in [
        ("network card", 2),
        ("tap", 1),
        ("task", 1),
        ("task queue", 1),
    ] {
        expect(&text, &alloc::format!("# leak: {kind} +{count}"));
        for _ in 0..count {
            leaked::discount(kind, "");
        }
    }
    expect(&text, "not ok 1 inner/leaves-cards");
    Ok(())
}
