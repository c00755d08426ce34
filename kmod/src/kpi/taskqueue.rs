//! Taskqueues (taskqueue(9)), each with a thread of its own.

use super::bindings;
use super::errno::Errno;
use super::resource::{Registration, Stop};
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::ffi::{CStr, c_char, c_int, c_void};
use core::sync::atomic::{AtomicBool, Ordering};

/// A taskqueue and its thread.
pub struct Taskqueue(Arc<Queue>);

type Create = unsafe extern "C" fn(*const c_char, *mut *mut bindings::taskqueue) -> c_int;

struct Queue {
    registration: UnsafeCell<Option<Registration>>,
    /// The kernel stores the address of this pointer, so it must not move.
    raw: Box<UnsafeCell<*mut bindings::taskqueue>>,
    freed: AtomicBool,
}

// SAFETY: taskqueue(9) does its own locking; `registration` is written before
// the queue is shared and in `drop`.
unsafe impl Sync for Queue {}
// SAFETY: as above.
unsafe impl Send for Queue {}

// SAFETY: freeing a queue runs its tasks and ends its thread. The tasks were
// made after the queue, so they are stopped before it.
unsafe impl Stop for Queue {
    const WHAT: &'static str = "task queue";

    fn stop(&self) {
        if !self.freed.swap(true, Ordering::SeqCst) {
            // SAFETY: created in `new`, freed once.
            unsafe { bindings::taskqueue_free(self.raw()) }
        }
    }
}

impl Queue {
    fn raw(&self) -> *mut bindings::taskqueue {
        // SAFETY: written before the queue is shared, never after.
        unsafe { *self.raw.get() }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.stop();
        *self.registration.get_mut() = None;
    }
}

impl Taskqueue {
    /// Makes a queue and its thread, both with this name. May sleep.
    ///
    /// # Errors
    /// Returns the error of starting the thread, or `EAGAIN` if the test has
    /// too many resources already.
    pub fn new(name: &'static CStr) -> Result<Self, Errno> {
        Self::create(name, bindings::kdk_taskqueue_create)
    }

    /// Makes a queue as [`new`](Self::new) does, whose tasks may be queued under
    /// a spin mutex, too.
    ///
    /// # Errors
    /// Returns the errors of [`new`](Self::new).
    #[cfg(ixgbe)]
    pub(super) fn fast(name: &'static CStr) -> Result<Self, Errno> {
        Self::create(name, bindings::kdk_taskqueue_create_fast)
    }

    fn create(name: &'static CStr, create: Create) -> Result<Self, Errno> {
        let raw = Box::new(UnsafeCell::new(core::ptr::null_mut()));
        // SAFETY: the name is a C string, and the pointer does not move.
        Errno::check(unsafe { create(name.as_ptr(), raw.get()) })?;
        let queue = Arc::new(Queue {
            registration: UnsafeCell::new(None),
            raw,
            freed: AtomicBool::new(false),
        });
        // SAFETY: an `Arc`'s content does not move, and `drop` removes the
        // registration first.
        let registration = unsafe { Registration::new(Arc::as_ptr(&queue)) }?;
        // SAFETY: the queue is not shared yet.
        unsafe { *queue.registration.get() = Some(registration) };
        Ok(Self(queue))
    }

    /// Makes a task that calls `call` in the queue's thread, where it may sleep.
    ///
    /// # Errors
    /// Returns `EAGAIN` if the test has too many resources already.
    pub fn task(&self, call: impl Fn() + Send + Sync + 'static) -> Result<Task, Errno> {
        let shared = Box::new(Shared {
            // SAFETY: all-zero bytes are what TASK_INIT(9) starts from.
            raw: UnsafeCell::new(unsafe { core::mem::zeroed() }),
            queue: Arc::clone(&self.0),
            call: Box::new(call),
            dead: AtomicBool::new(false),
        });
        let arg = (&raw const *shared).cast_mut().cast();
        // SAFETY: the memory is owned and does not move.
        unsafe { bindings::kdk_task_init(shared.raw.get(), Some(work), arg) };
        // SAFETY: `shared` is freed after the registration, see `drop`.
        let registration = unsafe { Registration::new(&raw const *shared) }?;
        Ok(Task {
            registration: Some(registration),
            shared,
        })
    }
}

/// A task of one queue.
pub struct Task {
    registration: Option<Registration>,
    shared: Box<Shared>,
}

struct Shared {
    raw: UnsafeCell<bindings::task>,
    queue: Arc<Queue>,
    call: Box<dyn Fn() + Send + Sync>,
    dead: AtomicBool,
}

// SAFETY: taskqueue(9) does its own locking, and `call` is Sync.
unsafe impl Sync for Shared {}
// SAFETY: as above.
unsafe impl Send for Shared {}

// SAFETY: after `dead` is set nothing queues the task, and draining waits for
// a task that was queued before.
unsafe impl Stop for Shared {
    const WHAT: &'static str = "task";

    fn stop(&self) {
        self.dead.store(true, Ordering::SeqCst);
        self.drain();
    }
}

impl Shared {
    fn drain(&self) {
        if !self.queue.freed.load(Ordering::SeqCst) {
            // SAFETY: both exist; a freed queue ran all its tasks before.
            unsafe { bindings::taskqueue_drain(self.queue.raw(), self.raw.get()) }
        }
    }
}

impl Task {
    /// Queues the task, unless it is queued already.
    ///
    /// # Errors
    /// Returns the error of the queue, or `ENXIO` once the task is stopped.
    pub fn enqueue(&self) -> Result<(), Errno> {
        if self.shared.dead.load(Ordering::SeqCst) {
            return Err(Errno::ENXIO);
        }
        // SAFETY: queue and task outlive the run: the task is drained first.
        Errno::check(unsafe {
            bindings::taskqueue_enqueue(self.shared.queue.raw(), self.shared.raw.get())
        })
    }

    /// Waits until the task is neither queued nor running.
    pub fn drain(&self) {
        self.shared.drain();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.stop();
        self.registration = None;
    }
}

extern "C" fn work(arg: *mut c_void, _pending: c_int) {
    // SAFETY: `task` passed the shared part, which is drained before it is
    // freed.
    let shared = unsafe { &*arg.cast::<Shared>() };
    (shared.call)();
}
