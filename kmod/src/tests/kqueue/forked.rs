//! Kqueues that fork(2) copies.

use super::call::{Call, watched};
use crate::kpi::descriptor::Descriptor;
use crate::kpi::kqueue::{Kept, Place, Subject, dump, fork, take, watch_descriptor};
use alloc::sync::Arc;
use kdk_harness::{Stop, TestResult};

/// Starts a fork, and waits until it has come to the copy of a knote.
fn stopped_fork(
    subject: &Subject,
    queue: &Arc<Descriptor>,
) -> Result<Call<Result<Descriptor, crate::kpi::errno::Errno>>, Stop> {
    subject.stop_next(Place::Copy, 1);
    let theirs = Arc::clone(queue);
    let forking = Call::start(c"kdk fork", move || fork(&theirs))?;
    subject.wait_for(Place::Copy, 1);
    Ok(forking)
}

/// An event that is posted to a knote that is being copied comes to both
/// kqueues, once, with its data.
pub fn event() -> TestResult {
    for kept in [Kept::OneShot, Kept::Clear] {
        let (subject, queue) = watched(kept)?;
        let forking = stopped_fork(&subject, &queue)?;
        subject.post(1);
        subject.release(Place::Copy);
        let copy = forking.wait()??;
        for (whose, queue) in [("the parent", &*queue), ("the child", &copy)] {
            assert_eq!(take(queue)?, Some(1), "{whose}: the event, {kept:?}");
            assert_eq!(take(queue)?, None, "{whose}: another event, {kept:?}");
        }
    }
    Ok(())
}

/// A knote that an event is being posted to is copied.
pub fn during_event() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    subject.stop_next(Place::Event, 1);
    let theirs = Arc::clone(&subject);
    let posting = Call::start(c"kdk post", move || theirs.post_unlocked(1))?;
    subject.wait_for(Place::Event, 1);
    subject.stop_next(Place::Lock, 0);
    let theirs = Arc::clone(&queue);
    let forking = Call::start(c"kdk fork", move || fork(&theirs))?;
    // It may need the list, which is locked.
    while !forking.has_returned() && subject.came(Place::Lock) == 0 {
        crate::kpi::time::yield_now();
    }
    subject.release(Place::Event);
    posting.wait()?;
    let copy = forking.wait()??;
    assert_eq!(take(&queue)?, Some(1), "the event");
    assert_eq!(take(&copy)?, Some(1), "the child's event");
    Ok(())
}

/// A descriptor for which the kqueue needs a larger table is added while a knote
/// is being copied.
pub fn grows() -> TestResult {
    /// A kqueue's first table has 256 descriptors.
    const HIGH: i32 = 600;
    let (subject, queue) = watched(Kept::Clear)?;
    let forking = stopped_fork(&subject, &queue)?;
    let high = subject.duplicate_from(HIGH)?;
    watch_descriptor(&queue, &high, Kept::Clear)?;
    subject.release(Place::Copy);
    let _copy = forking.wait()??;
    assert_eq!(dump()?, 4, "knotes of both kqueues");
    Ok(())
}

/// Two threads copy a kqueue at the same time.
pub fn twice() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    let forking = stopped_fork(&subject, &queue)?;
    let second = fork(&queue)?;
    subject.release(Place::Copy);
    let first = forking.wait()??;
    subject.post(1);
    for queue in [&*queue, &first, &second] {
        assert_eq!(take(queue)?, Some(1), "the event");
    }
    Ok(())
}
