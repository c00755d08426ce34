//! Lists of knotes that are cleared, as when a descriptor's other end goes.

use super::call::{Call, WAITS_TO_CLEAR, watched};
use crate::kpi::descriptor::Descriptor;
use crate::kpi::kqueue::{Kept, Place, Subject, dump, fork};
use alloc::sync::Arc;
use kdk_harness::TestResult;

/// A knote that is being dumped is passed over, and its dump ends before the
/// list is looked at again.
pub fn as_dump_ends() -> TestResult {
    let subject = Subject::new()?;
    let queue = Descriptor::kqueue()?;
    let other = Descriptor::kqueue()?;
    // The newest knote is the first of the list.
    subject.watch(&other, Kept::Clear)?;
    subject.watch(&queue, Kept::Clear)?;
    subject.stop_next(Place::Dump, 1);
    let dumping = Call::start(c"kdk dump", dump)?;
    subject.wait_for(Place::Dump, 1);
    subject.clear_as_dump_ends();
    assert_eq!(subject.knotes(), 0, "knotes on the list");
    dumping.wait()??;
    Ok(())
}

/// A list waits for a knote that is being dumped.
pub fn while_dumped() -> TestResult {
    let (subject, _queue) = watched(Kept::Clear)?;
    subject.stop_next(Place::Dump, 1);
    let dumping = Call::start(c"kdk dump", dump)?;
    subject.wait_for(Place::Dump, 1);
    let theirs = Arc::clone(&subject);
    let clearing = Call::start(c"kdk clear", move || theirs.clear())?;
    clearing.wait_until_asleep(WAITS_TO_CLEAR);
    subject.release(Place::Dump);
    assert_eq!(dumping.wait()??, 1, "knotes in the dump");
    assert!(clearing.returns(WAITS_TO_CLEAR), "it is not woken");
    clearing.wait()?;
    assert_eq!(subject.knotes(), 0, "knotes on the list");
    Ok(())
}

/// A list waits for a knote that fork(2) has just added to it.
pub fn while_copied() -> TestResult {
    let (subject, queue) = watched(Kept::Clear)?;
    subject.stop_next(Place::Unlock, 1);
    let theirs = Arc::clone(&queue);
    let forking = Call::start(c"kdk fork", move || fork(&theirs))?;
    subject.wait_for(Place::Unlock, 1);
    assert_eq!(subject.knotes(), 2, "knotes on the list");
    let theirs = Arc::clone(&subject);
    let clearing = Call::start(c"kdk clear", move || theirs.clear())?;
    clearing.wait_until_asleep(WAITS_TO_CLEAR);
    subject.release(Place::Unlock);
    let copy = forking.wait()??;
    let returns = clearing.returns(WAITS_TO_CLEAR);
    // Closing it ends the wait.
    drop(copy);
    clearing.wait()?;
    assert!(returns, "it is not woken");
    assert_eq!(subject.knotes(), 0, "knotes on the list");
    Ok(())
}
