//! Kernel threads (kthread(9)), and what the module knows of each of its own.
//!
//! A thread can die in the middle: see [`die`]. Its entry in the table stays
//! until it has left the module's code for good, which only the kernel can
//! say; until then the module cannot be unloaded.

use super::errno::Errno;
use super::locked::Locked;
use super::{bindings, held_locks, resource, time};
use alloc::boxed::Box;
use arrayvec::ArrayVec;
use core::ffi::{CStr, c_int, c_void};
use core::time::Duration;
use kdk_harness::{Message, TestResult};

/// Threads of the module at one time.
const CAPACITY: usize = 32;

/// One thread, as the module knows it.
pub(super) struct Entry {
    id: u32,
    /// Shared by a test's thread and all threads it started, themselves and
    /// through others.
    group: u32,
    leader: bool,
    /// Address of the kernel's `struct thread`; only compared.
    thread: usize,
    tid: c_int,
    phase: Phase,
    /// Nobody will ask how it went.
    detached: bool,
    /// How it went; there is something from the moment it is over.
    end: Option<End>,
    pub(super) held_locks: ArrayVec<held_locks::HeldLock, { held_locks::DEPTH }>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Running,
    /// Cleaning up after a Rust panic.
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
        // The kernel reuses its structures: an entry whose thread is over may
        // have the address of another one by now.
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

/// How a thread ended. A panic does not allocate, so its message is not boxed.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant)]
pub enum End {
    /// By returning, a test with its result.
    Returned(TestResult),
    /// By a Rust panic with this message.
    Panicked(Message),
}

/// A thread, to be waited for. Dropping it lets the thread go on alone.
#[derive(Debug)]
pub struct Thread {
    id: u32,
}

enum Body {
    Call(Box<dyn FnOnce() + Send>),
    /// No allocation: it would be lost when the test panics.
    Test(fn() -> TestResult),
}

struct Start {
    id: u32,
    body: Body,
}

impl Thread {
    /// Starts a thread that runs `call`, and belongs to the test that starts
    /// it.
    ///
    /// # Errors
    /// `EAGAIN` when the module has too many threads, or what the kernel says.
    pub fn spawn(name: &CStr, call: impl FnOnce() + Send + 'static) -> Result<Self, Errno> {
        start(name, Body::Call(Box::new(call)))
    }

    /// Starts a thread that runs a test. When the test ends, in whatever way,
    /// the locks it holds are given back and what calls back is stopped.
    ///
    /// # Errors
    /// As for [`spawn`](Self::spawn).
    pub fn spawn_test(name: &CStr, test: fn() -> TestResult) -> Result<Self, Errno> {
        start(name, Body::Test(test))
    }

    /// Names this thread and all that it starts, if it runs a test.
    pub(super) const fn group(&self) -> u32 {
        self.id
    }

    /// Waits for the thread to end.
    ///
    /// # Errors
    /// The thread itself, when it is still running after `limit`.
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

/// How many threads of the module have not left its code yet.
#[must_use]
pub fn count() -> usize {
    reap();
    TABLE.with(|table| table.entries.iter().flatten().count())
}

/// Runs `f` on the current thread's entry, if it is one of ours.
pub(super) fn with_current<R>(f: impl FnOnce(&mut Entry) -> R) -> Option<R> {
    let thread = current();
    TABLE.with(|table| table.of_thread(thread).map(f))
}

/// The current thread's group; 0 when it is not one of ours.
pub(super) fn current_group() -> u32 {
    with_current(|entry| entry.group).unwrap_or(0)
}

/// Ends the current thread after a Rust panic, if it is one of ours and can
/// end here; returns otherwise.
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
    // A second panic while cleaning up is one too many.
    if first == Some(true) {
        end(End::Panicked(*message))
    }
}

fn current() -> usize {
    // SAFETY: always there.
    unsafe { bindings::kdk_curthread() }.addr()
}

fn start(name: &CStr, body: Body) -> Result<Thread, Errno> {
    reap();
    let id = enter(matches!(body, Body::Test(_)))?;
    let start = Box::into_raw(Box::new(Start { id, body }));
    // SAFETY: the name is copied; `main` takes the box over.
    let started = unsafe { bindings::kdk_thread_create(Some(main), start.cast(), name.as_ptr()) };
    Errno::check(started).inspect_err(|_| {
        // SAFETY: no thread was made, so the box is still ours.
        drop(unsafe { Box::from_raw(start) });
        TABLE.with(|table| table.remove(id));
    })?;
    Ok(Thread { id })
}

/// Makes an entry for a thread to come.
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
    // SAFETY: `start` made this box for us.
    let Start { id, body } = *unsafe { Box::from_raw(arg.cast::<Start>()) };
    let thread = current();
    // SAFETY: always there.
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

/// Cleans up after the current thread, says that it is over, and ends it.
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
    // SAFETY: this is a kthread, nothing is held, and no destructor is due.
    unsafe { bindings::kthread_exit() }
}

/// Forgets the threads that are gone and that nobody waits for.
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

/// A thread that said it is over has a few instructions left.
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
    // SAFETY: looks a number up.
    unsafe { bindings::kdk_thread_exists(tid) != 0 }
}
