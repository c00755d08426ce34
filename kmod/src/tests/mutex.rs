//! Tests of mtx(9), and of the locks of the module's own.

use super::{FOREVER, resource_error};
use crate::kpi::exclusive::Exclusive;
use crate::kpi::kthread::{End, Thread};
use crate::kpi::mutex::{Lock, Mutex, Recursion};
use crate::kpi::time;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;
use kdk_harness::{TestResult, kdk_test};

kdk_test!("kpi/mutex-excludes", excludes, cpus = &[1, 4]);
kdk_test!("kpi/mutex-owner", owner, cpus = &[1, 4]);
kdk_test!("kpi/mutex-recursion", recursion);
kdk_test!("kpi/mutex-try", try_lock, cpus = &[1, 4]);
kdk_test!("kpi/exclusive", exclusive);

/// No update of concurrent threads is lost.
fn excludes() -> TestResult {
    const THREADS: usize = 3;
    const ROUNDS: u32 = 50;
    let count = Arc::new(Mutex::new(c"kdk excludes", 0_u32));
    let mut threads = Vec::new();
    for _ in 0..THREADS {
        let count = Arc::clone(&count);
        let add = move || {
            for _ in 0..ROUNDS {
                let mut count = count.lock();
                let read = *count;
                spin();
                *count = read + 1;
                drop(count);
                time::yield_now();
            }
        };
        threads.push(Thread::spawn(c"kdk adder", add).map_err(resource_error)?);
    }
    for thread in threads {
        assert!(matches!(thread.join(FOREVER), Ok(End::Returned(Ok(())))));
    }
    assert_eq!(*count.lock(), ROUNDS * 3);
    Ok(())
}

/// Spins long enough for another CPU or an interrupt to interfere.
fn spin() {
    for _ in 0..500 {
        core::hint::spin_loop();
    }
}

fn owner() -> TestResult {
    let lock = Lock::new(c"kdk owner", Recursion::Forbidden);
    assert!(!lock.is_owned());
    let guard = lock.lock();
    assert!(lock.is_owned());
    assert!(!lock.is_recursed());
    drop(guard);
    assert!(!lock.is_owned());
    Ok(())
}

fn recursion() -> TestResult {
    let lock = Lock::new(c"kdk recursion", Recursion::Allowed);
    let outer = lock.lock();
    let inner = lock.lock();
    assert!(lock.is_recursed());
    drop(inner);
    assert!(lock.is_owned() && !lock.is_recursed());
    drop(outer);
    assert!(!lock.is_owned());
    Ok(())
}

/// A try fails while another thread owns the lock, and succeeds afterwards.
fn try_lock() -> TestResult {
    let lock = Arc::new(Mutex::new(c"kdk try", false));
    let attempt = |lock: &Arc<Mutex<bool>>| -> TestResult {
        let lock = Arc::clone(lock);
        let other = move || {
            if let Some(mut got) = lock.try_lock() {
                *got = true;
            }
        };
        let thread = Thread::spawn(c"kdk trier", other).map_err(resource_error)?;
        assert!(thread.join(FOREVER).is_ok());
        Ok(())
    };
    // A thread must not sleep in `join` with a sleep mutex, so a third thread
    // owns the lock, and waits without sleeping.
    let holder = Holder::new(&lock)?;
    attempt(&lock)?;
    holder.stop();
    assert!(!*lock.lock());
    attempt(&lock)?;
    assert!(*lock.lock());
    Ok(())
}

/// A thread that owns a mutex until `stop`.
struct Holder {
    thread: Thread,
    state: Arc<core::sync::atomic::AtomicU8>,
}

impl Holder {
    fn new(lock: &Arc<Mutex<bool>>) -> Result<Self, kdk_harness::Stop> {
        use core::sync::atomic::{AtomicU8, Ordering};
        let state = Arc::new(AtomicU8::new(0));
        let (lock, their_state) = (Arc::clone(lock), Arc::clone(&state));
        let hold = move || {
            let guard = lock.lock();
            their_state.store(1, Ordering::SeqCst);
            while their_state.load(Ordering::SeqCst) != 2 {
                time::yield_now();
            }
            drop(guard);
        };
        let thread = Thread::spawn(c"kdk holder", hold).map_err(resource_error)?;
        while state.load(Ordering::SeqCst) == 0 {
            time::sleep(Duration::from_millis(1));
        }
        Ok(Self { thread, state })
    }

    fn stop(self) {
        self.state.store(2, core::sync::atomic::Ordering::SeqCst);
        assert!(self.thread.join(FOREVER).is_ok());
    }
}

/// A value that is in use stays in use when others fail to enter.
fn exclusive() -> TestResult {
    let value = Exclusive::new(0_u32);
    let mut inside = value.enter();
    assert!(inside.is_some(), "the first to enter");
    for _ in 0..2 {
        assert!(value.enter().is_none(), "two have entered");
    }
    if let Some(inside) = &mut inside {
        **inside += 1;
    }
    drop(inside);
    assert_eq!(value.enter().map(|inside| *inside), Some(1));
    Ok(())
}
