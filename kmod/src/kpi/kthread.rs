//! Kernel threads (kthread(9)), and a table of the module's own threads.
//!
//! A thread can die at any time: see [`die`]. Its entry stays in the table
//! until the kernel has destroyed the thread. Until then the module cannot be
//! unloaded.

use super::errno::Errno;
use super::locked::Locked;
use super::{bindings, held_locks, resource, time};
use alloc::boxed::Box;
use arrayvec::ArrayVec;
use core::ffi::{CStr, c_int, c_void};
use core::time::Duration;
use kdk_harness::{Message, TestResult};

/// The time after which [`Thread::wait`] looks again.
const LONG: Duration = Duration::from_secs(60 * 60);

/// The most threads of the module at one time.
const CAPACITY: usize = 32;

/// One thread of the module.
pub(super) struct Entry {
    id: u32,
    /// Shared by the thread of a test and all threads that it started, directly
    /// or indirectly.
    group: u32,
    leader: bool,
    /// The address of the kernel's `struct thread`. It is only compared.
    thread: usize,
    tid: c_int,
    phase: Phase,
    /// No thread will join it.
    detached: bool,
    /// How it ended. It is set once the thread is over.
    end: Option<End>,
    pub(super) held_locks: ArrayVec<held_locks::HeldLock, { held_locks::DEPTH }>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    /// The thread cleans up after a Rust panic.
    Dying,
    Over,
}

struct Table {
    ids: u32,
    entries: [Option<Entry>; CAPACITY],
}

static TABLE: Locked<Table> = Locked::new(Table {
    ids: 0,
    entries: [const { None }; CAPACITY],
});

impl Table {
    fn of_thread(&mut self, thread: usize) -> Option<&mut Entry> {
        // The kernel reuses its structures: the address in the entry of a thread
        // that is over may be that of another thread.
        self.entries
            .iter_mut()
            .flatten()
            .find(|entry| entry.thread == thread && entry.phase != Phase::Over)
    }

    fn of_id(&mut self, id: u32) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .flatten()
            .find(|entry| entry.id == id)
    }

    fn remove(&mut self, id: u32) {
        for slot in &mut self.entries {
            if slot.as_ref().is_some_and(|entry| entry.id == id) {
                *slot = None;
            }
        }
    }
}

/// How a thread ended. The message is not boxed, since a panic must not
/// allocate.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum End {
    /// It returned, a test with its result.
    Returned(TestResult),
    /// It panicked with this message.
    Panicked(Message),
}

/// A thread that can be joined. Dropping it detaches the thread.
#[derive(Debug)]
pub struct Thread {
    id: u32,
}

enum Body {
    Call(Box<dyn FnOnce() + Send>),
    /// Not boxed, since a panic of the test would leak the box.
    Test(fn() -> TestResult),
}

struct Start {
    id: u32,
    body: Body,
}

impl Thread {
    /// Starts a thread that runs `call`. It belongs to the test that starts it.
    ///
    /// # Errors
    /// Returns `EAGAIN` if the module has too many threads, or the kernel's
    /// error.
    pub fn spawn(name: &CStr, call: impl FnOnce() + Send + 'static) -> Result<Self, Errno> {
        start(name, Body::Call(Box::new(call)))
    }

    /// Starts a thread that runs a test. However the test ends, its locks are
    /// released and its callbacks are stopped.
    ///
    /// # Errors
    /// Returns the errors of [`spawn`](Self::spawn).
    pub fn spawn_test(name: &CStr, test: fn() -> TestResult) -> Result<Self, Errno> {
        start(name, Body::Test(test))
    }

    /// Returns the group of this thread, if it runs a test, and of all threads
    /// that it starts.
    pub(super) const fn group(&self) -> u32 {
        self.id
    }

    /// Returns whether the thread waits until this task is neither queued nor
    /// running.
    #[cfg(ixgbe)]
    #[must_use]
    pub fn drains(&self, task: super::link_task::LinkTask) -> bool {
        self.sleeps_on(task.channel())
    }

    /// Returns whether the thread sleeps until it gets this lock.
    #[cfg(iflib)]
    #[must_use]
    pub fn waits_for(&self, lock: super::iflib::ContextLock) -> bool {
        self.sleeps_on(lock.channel())
    }

    #[cfg(ixgbe)]
    fn sleeps_on(&self, channel: *const core::ffi::c_void) -> bool {
        // SAFETY: takes a number and an address that is only compared.
        self.tid()
            .is_some_and(|tid| unsafe { bindings::kdk_thread_sleeps_on(tid, channel) != 0 })
    }

    /// Returns whether the thread sleeps with this wait message, see sleep(9).
    #[cfg(kqueue_copy)]
    #[must_use]
    pub fn sleeps_in(&self, message: &CStr) -> bool {
        // SAFETY: takes a number and a C string.
        self.tid().is_some_and(|tid| unsafe {
            bindings::kdk_thread_sleeps_in(tid, message.as_ptr()) != 0
        })
    }

    /// Returns the kernel's number of the thread while it runs.
    #[cfg(any(ixgbe, kqueue_copy))]
    fn tid(&self) -> Option<c_int> {
        TABLE.with(|table| {
            let entry = table.of_id(self.id)?;
            (entry.phase == Phase::Running).then_some(entry.tid)
        })
    }

    /// Waits for the thread to end, however long that takes.
    pub fn wait(mut self) -> End {
        loop {
            self = match self.join(LONG) {
                Ok(end) => return end,
                Err(thread) => thread,
            }
        }
    }

    /// Waits for the thread to end.
    ///
    /// # Errors
    /// Returns the thread itself if it still runs after `limit`.
    pub fn join(self, limit: Duration) -> Result<End, Self> {
        let over = TABLE.wait(limit, |table| {
            let entry = table
                .of_id(self.id)
                .filter(|entry| entry.phase == Phase::Over)?;
            Some((entry.tid, entry.end.take()))
        });
        match over {
            Some((tid, Some(end))) => {
                wait_until_gone(tid);
                Ok(end)
            }
            _ => Err(self),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        TABLE.with(|table| {
            if let Some(entry) = table.of_id(self.id) {
                entry.detached = true;
            }
        });
        reap();
    }
}

/// Returns the number of threads of the module that the kernel has not
/// destroyed.
#[must_use]
pub fn count() -> usize {
    reap();
    TABLE.with(|table| table.entries.iter().flatten().count())
}

/// Runs `f` on the entry of the current thread, if that is the module's.
pub(super) fn with_current<R>(f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    let thread = current();
    TABLE.with(|table| table.of_thread(thread).map(f))
}

/// Returns the group of the current thread, or 0 for another thread.
pub(super) fn current_group() -> u32 {
    with_current(|entry| entry.group).unwrap_or(0)
}

/// Ends the current thread after a Rust panic. Returns if it is not the
/// module's, or cannot exit in this context.
pub(super) fn die(message: &Message) {
    // SAFETY: reads the current thread's state.
    if unsafe { bindings::kdk_thread_may_exit() } == 0 {
        return;
    }
    let first = with_current(|entry| {
        let first = entry.phase == Phase::Running;
        entry.phase = Phase::Dying;
        first
    });
    // A panic during the cleanup panics the kernel.
    if first == Some(true) {
        end(End::Panicked(*message))
    }
}

fn current() -> usize {
    // SAFETY: there is always a current thread.
    unsafe { bindings::kdk_curthread() }.addr()
}

fn start(name: &CStr, body: Body) -> Result<Thread, Errno> {
    reap();
    let id = enter(matches!(body, Body::Test(_)))?;
    let start = Box::into_raw(Box::new(Start { id, body }));
    // SAFETY: the name is copied; `main` takes ownership of the box.
    let started = unsafe { bindings::kdk_thread_create(Some(main), start.cast(), name.as_ptr()) };
    Errno::check(started).inspect_err(|_| {
        // SAFETY: no thread was made, so the box is still owned here.
        drop(unsafe { Box::from_raw(start) });
        TABLE.with(|table| table.remove(id));
    })?;
    Ok(Thread { id })
}

/// Makes the entry of a new thread.
fn enter(leader: bool) -> Result<u32, Errno> {
    let inherited = current_group();
    TABLE.with(|table| {
        table.ids += 1;
        let id = table.ids;
        let slot = table
            .entries
            .iter_mut()
            .find(|slot| slot.is_none())
            .ok_or(Errno::EAGAIN)?;
        *slot = Some(Entry {
            id,
            group: if leader { id } else { inherited },
            leader,
            thread: 0,
            tid: 0,
            phase: Phase::Starting,
            detached: false,
            end: None,
            held_locks: ArrayVec::new_const(),
        });
        Ok(id)
    })
}

extern "C" fn main(arg: *mut c_void) {
    // SAFETY: `start` made this box for this thread.
    let Start { id, body } = *unsafe { Box::from_raw(arg.cast::<Start>()) };
    let thread = current();
    // SAFETY: there is always a current thread.
    let tid = unsafe { bindings::kdk_curtid() };
    TABLE.with(|table| {
        if let Some(entry) = table.of_id(id) {
            entry.thread = thread;
            entry.tid = tid;
            entry.phase = Phase::Running;
        }
    });
    end(End::Returned(match body {
        Body::Call(call) => {
            call();
            Ok(())
        }
        Body::Test(test) => test(),
    }))
}

/// Cleans up after the current thread, marks it as over, and exits it.
fn end(how: End) -> ! {
    held_locks::release_all();
    if let Some(group) = with_current(|entry| entry.leader.then_some(entry.group)).flatten() {
        resource::stop_group(group);
    }
    with_current(|entry| {
        entry.end = Some(how);
        entry.phase = Phase::Over;
    });
    TABLE.wake();
    // SAFETY: this is a kthread without locks, and no destructor is pending.
    unsafe { bindings::kthread_exit() }
}

/// Removes the entries of detached threads that the kernel has destroyed.
fn reap() {
    let over = TABLE.with(|table| {
        let waiting = table
            .entries
            .iter()
            .flatten()
            .filter(|entry| entry.detached && entry.phase == Phase::Over);
        waiting
            .map(|entry| (entry.id, entry.tid))
            .collect::<ArrayVec<_, CAPACITY>>()
    });
    for (id, tid) in over {
        if !exists(tid) {
            TABLE.with(|table| table.remove(id));
        }
    }
}

/// Waits until the kernel has destroyed a thread that is over.
fn wait_until_gone(tid: c_int) {
    for _ in 0..100 {
        if !exists(tid) {
            return;
        }
        time::yield_now();
    }
    while exists(tid) {
        time::sleep(Duration::from_millis(1));
    }
}

fn exists(tid: c_int) -> bool {
    // SAFETY: takes a number.
    unsafe { bindings::kdk_thread_exists(tid) != 0 }
}
