//! Objects that call back into the module (callouts, tasks, taskqueues), by
//! the test that made them.
//!
//! A test that dies does not run destructors. That leaks its memory, but a
//! callout that fires after the module is unloaded crashes the kernel. So every
//! such object is registered here, and is stopped when its test ends.

use super::errno::Errno;
use super::locked::Locked;
use super::{kthread, leaked};
use core::time::Duration;

/// The most objects at one time, over all tests.
const CAPACITY: usize = 64;

/// An object that calls back.
///
/// # Safety
/// `stop` may be called by any thread that can sleep. After it returns nothing
/// of the object runs, and nothing will, whatever its owner does.
pub(super) unsafe trait Stop {
    /// The name of the kind in a leak report, such as "callout".
    const WHAT: &'static str;
    /// Stops the object permanently.
    fn stop(&self);
}

struct Entry {
    serial: u64,
    group: u32,
    what: &'static str,
    object: *const (),
    stop: unsafe fn(*const ()),
    /// The end of its test stops it: its owner has to wait.
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

/// The registration of an object. Its owner drops it before the object.
pub(super) struct Registration(u64);

impl Registration {
    /// Registers `object` for the current thread's test.
    ///
    /// # Safety
    /// The object must not move or be freed before the registration is dropped.
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
        // Stopping waits for a callback to return. If it never does, the owner
        // waits here, and so the object exists.
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

/// Stops all objects of one test, the latest first.
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

/// Counts the objects that can still call back.
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
