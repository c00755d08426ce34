//! Tests of callout(9).

use super::resource_error;
use crate::kpi::callout::Callout;
use crate::kpi::time;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use kdk_harness::{TestResult, kdk_test};

kdk_test!("kpi/callout-fires", fires, cpus = &[1, 4]);
kdk_test!("kpi/callout-drains", drains, cpus = &[1, 4]);
kdk_test!("kpi/callout-reschedules", reschedules, cpus = &[1, 4]);

fn counting() -> Result<(Callout, Arc<AtomicU32>), kdk_harness::Stop> {
    let count = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&count);
    let callout = Callout::new(move || {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    Ok((callout.map_err(resource_error)?, count))
}

/// A time that does not pass during a test.
const LATER: Duration = Duration::from_secs(3600);

/// A callout fires once. The time is not checked: on a busy machine clock
/// interrupts are late and then come at once.
fn fires() -> TestResult {
    const DELAY: Duration = Duration::from_millis(30);
    let (callout, count) = counting()?;
    assert!(!callout.is_pending());
    callout.schedule(DELAY);
    while count.load(Ordering::SeqCst) == 0 {
        time::sleep(Duration::from_millis(2));
    }
    assert!(!callout.is_pending());
    time::sleep(DELAY * 2);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    Ok(())
}

/// A drained callout does not fire.
fn drains() -> TestResult {
    let (callout, count) = counting()?;
    callout.schedule(LATER);
    assert!(callout.is_pending());
    assert!(callout.drain());
    assert!(!callout.is_pending());
    assert!(!callout.drain());
    // This one may fire before it is drained, but not afterwards.
    callout.schedule(Duration::from_millis(1));
    let fired = u32::from(!callout.drain());
    assert!(!callout.is_pending());
    assert_eq!(count.load(Ordering::SeqCst), fired);
    time::sleep(Duration::from_millis(20));
    assert_eq!(count.load(Ordering::SeqCst), fired);
    Ok(())
}

/// The last schedule replaces earlier ones.
fn reschedules() -> TestResult {
    let (callout, count) = counting()?;
    callout.schedule(LATER);
    assert!(callout.is_pending());
    callout.schedule(Duration::from_millis(1));
    while count.load(Ordering::SeqCst) == 0 {
        time::sleep(Duration::from_millis(2));
    }
    assert!(!callout.is_pending());
    Ok(())
}
