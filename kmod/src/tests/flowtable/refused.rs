//! Packets that get no flow.

use super::{assert_references, small};
use crate::kpi::flowtable::{RouteDefect, key};
use kdk_harness::TestResult;

const CPU: u32 = 0;

/// No flow is inserted, and no reference is leaked.
pub fn refused() -> TestResult {
    let table = small()?;
    let wrongs = [
        (RouteDefect::Missing, 0),
        (RouteDefect::Loopback, 0),
        (RouteDefect::NoLle, 0),
        (RouteDefect::LleInvalid, 1),
    ];
    for (wrong, lle_invalid) in wrongs {
        table.set_route(2, Some(wrong))?;
        let before = table.counts()?;
        assert_eq!(table.look_up(CPU, key(table.size(), 2, 9, 0))?, None);
        let after = table.counts()?;
        assert_eq!(after.flows, 0, "{wrong:?}");
        assert_eq!(after.inserts, before.inserts, "{wrong:?}");
        assert_eq!(
            after.lle_invalid,
            before.lle_invalid + lle_invalid,
            "{wrong:?}"
        );
        assert_references(&table, |_| 0)?;
    }
    Ok(())
}
