//! Knotes that `kern.proc.kq` shows.

use super::call::{Call, WAITS_FOR_FLUX, watched};
use crate::kpi::kqueue::{Kept, Place, dump, take};
use alloc::sync::Arc;
use kdk_harness::TestResult;

/// An event that is posted to a knote that is being dumped is not lost.
pub fn event() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    subject.stop_next(Place::Dump, 1);
    let dumping = Call::start(c"kdk dump", dump)?;
    subject.wait_for(Place::Dump, 1);
    subject.post(1);
    subject.release(Place::Dump);
    assert_eq!(dumping.wait()??, 1, "knotes in the dump");
    assert_eq!(take(&queue)?, Some(1), "the event");
    Ok(())
}

/// The same after the first of two dumps has left the knote.
pub fn event_between() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    subject.stop_next(Place::Dump, 2);
    let first = Call::start(c"kdk dump", dump)?;
    subject.wait_for(Place::Dump, 1);
    let second = Call::start(c"kdk dump", dump)?;
    subject.wait_for(Place::Dump, 2);
    subject.release(Place::Dump);
    assert_eq!(first.wait()??, 1, "knotes in the first dump");
    subject.post(1);
    subject.release(Place::Dump);
    assert_eq!(second.wait()??, 1, "knotes in the second dump");
    assert_eq!(take(&queue)?, Some(1), "the event");
    Ok(())
}

/// A knote that an event is being posted to is in the dump.
pub fn during_event() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    subject.stop_next(Place::Event, 1);
    let theirs = Arc::clone(&subject);
    let posting = Call::start(c"kdk post", move || theirs.post_unlocked(1))?;
    subject.wait_for(Place::Event, 1);
    let knotes = dump()?;
    subject.release(Place::Event);
    posting.wait()?;
    assert_eq!(knotes, 1, "knotes in the dump");
    assert_eq!(take(&queue)?, Some(1), "the event");
    Ok(())
}

/// A knote that is being deleted is not dumped, and no event is posted to it,
/// whether it was dumped before or not.
pub fn while_deleted() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    for dumped_before in [false, true] {
        if dumped_before {
            subject.watch(&queue, Kept::Clear)?;
            assert_eq!(dump()?, 1, "knotes in the dump");
        }
        subject.stop_next(Place::Detach, 1);
        subject.stop_next(Place::Event, 0);
        let (file, from) = (Arc::clone(&subject), Arc::clone(&queue));
        let deleting = Call::start(c"kdk delete", move || file.unwatch(&from))?;
        subject.wait_for(Place::Detach, 1);
        let knotes = dump()?;
        subject.post(1);
        let events = subject.came(Place::Event);
        subject.release(Place::Detach);
        deleting.wait()??;
        assert_eq!(knotes, 0, "knotes in the dump");
        assert_eq!(events, 0, "events");
    }
    Ok(())
}

/// A knote that is being dumped is deleted when its dump has ended.
pub fn deleted() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    subject.stop_next(Place::Dump, 1);
    let dumping = Call::start(c"kdk dump", dump)?;
    subject.wait_for(Place::Dump, 1);
    let (file, from) = (Arc::clone(&subject), Arc::clone(&queue));
    let deleting = Call::start(c"kdk delete", move || file.unwatch(&from))?;
    deleting.wait_until_asleep(WAITS_FOR_FLUX);
    subject.release(Place::Dump);
    assert_eq!(dumping.wait()??, 1, "knotes in the dump");
    assert!(deleting.returns(WAITS_FOR_FLUX), "it is not woken");
    deleting.wait()??;
    assert_eq!(subject.knotes(), 0, "knotes on the list");
    Ok(())
}
