//! What calls back into the module (callouts, tasks, task queues), by the test
//! that made it.
//!
//! A test that dies runs no destructors. Its memory is merely lost, but a
//! callout that fires later, perhaps after the module is gone, is a crash. So
//! whatever can call back is registered here, and stopped when its test ends.

use super::errno::Errno;
use super::locked::Locked;
use super::{kthread, leaked};
use core::time::Duration;

/// Registered at one time, over all tests.
const CAPACITY: usize = 64;

/// Something that calls back.
///
/// # Safety
/// `stop` may be called from any thread that can sleep. After it returned
/// nothing of the object runs, and nothing will, whatever its owner does.
pub(super) unsafe trait Stop {
    /// For the report: "callout".
    const WHAT: &'static str;
    /// Stops it for good.
    fn stop(&self);
}

struct Entry {
    serial: u64,
    group: u32,
    what: &'static str,
    object: *const (),
    stop: unsafe fn(*const ()),
    /// Being stopped by the end of its test: its owner has to wait.
    stopping: bool,
}

// SAFETY: the object outlives its registration, see `Registration`.
unsafe impl Send for Entry {}

struct Table {
    serial: u64,
    entries: [Option<Entry>; CAPACITY],
}

static TABLE: Locked<Table> = Locked::new(Table {
    serial: 0,
    entries: [const { None }; CAPACITY],
});

/// Keeps an object registered; its owner drops it before the object.
pub(super) struct Registration(u64);

impl Registration {
    /// Registers `object` for the current thread's test.
    ///
    /// # Safety
    /// The object stays where it is until the registration was dropped.
    pub(super) unsafe fn new<T: Stop>(object: *const T) -> Result<Self, Errno> {
        let group = kthread::current_group();
        TABLE.with(|table| {
            let serial = table.serial + 1;
            let slot = table
                .entries
                .iter_mut()
                .find(|slot| slot.is_none())
                .ok_or(Errno::EAGAIN)?;
            *slot = Some(Entry {
                serial,
                group,
                what: T::WHAT,
                object: object.cast(),
                stop: stop::<T>,
                stopping: false,
            });
            table.serial = serial;
            Ok(Self(serial))
        })
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Stopping takes as long as a callback takes to return; a callback that
        // never returns leaves the owner waiting, and so alive.
        while TABLE
            .wait(Duration::from_secs(60), |table| remove(table, self.0))
            .is_none()
        {}
    }
}

fn remove(table: &mut Table, serial: u64) -> Option<()> {
    for slot in &mut table.entries {
        if let Some(entry) = slot.as_ref().filter(|entry| entry.serial == serial) {
            if entry.stopping {
                return None;
            }
            *slot = None;
        }
    }
    Some(())
}

/// Stops everything of one test, latest first.
pub(super) fn stop_group(group: u32) {
    while let Some((serial, what, object, stop)) = take_latest(group) {
        // SAFETY: the entry is marked, so its owner waits in `drop` and the
        // object exists.
        unsafe { stop(object.0) };
        TABLE.with(|table| {
            for slot in &mut table.entries {
                if slot.as_ref().is_some_and(|entry| entry.serial == serial) {
                    *slot = None;
                }
            }
        });
        TABLE.wake();
        leaked::record(what, c"");
    }
}

/// How many objects can still call back.
pub(super) fn count() -> usize {
    TABLE.with(|table| table.entries.iter().flatten().count())
}

struct Object(*const ());

type Latest = (u64, &'static str, Object, unsafe fn(*const ()));

fn take_latest(group: u32) -> Option<Latest> {
    TABLE.with(|table| {
        let mine = table
            .entries
            .iter_mut()
            .flatten()
            .filter(|entry| entry.group == group && !entry.stopping);
        let latest = mine.max_by_key(|entry| entry.serial)?;
        latest.stopping = true;
        Some((
            latest.serial,
            latest.what,
            Object(latest.object),
            latest.stop,
        ))
    })
}

unsafe fn stop<T: Stop>(object: *const ()) {
    // SAFETY: `Registration::new` stored a pointer to a `T`, which exists.
    unsafe { &*object.cast::<T>() }.stop();
}
