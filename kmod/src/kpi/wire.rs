//! Wires between software NICs.

use super::errno::Errno;
use super::exclusive::Exclusive;
use super::nic::{Card, Shared};
use super::taskqueue::{Task, Taskqueue};
use alloc::sync::Arc;
use alloc::vec;
use kdk_nic82599::{FrameErrors, MAX_FRAME};

/// A wire between two NICs: each receives what the other transmits.
pub struct Wire {
    ends: [Arc<Shared>; 2],
    /// The task is dropped before its queue.
    _task: Arc<Task>,
    _queue: Taskqueue,
}

impl Wire {
    /// Connects two NICs.
    ///
    /// # Errors
    /// Returns the kernel's error of starting a thread, or `EAGAIN` if the test
    /// has too many resources already.
    pub fn between(one: &Card, other: &Card) -> Result<Self, Errno> {
        let queue = Taskqueue::fast(c"kdk wire")?;
        let ends = [Arc::clone(&one.shared), Arc::clone(&other.shared)];
        let theirs = ends.clone();
        let buffer = Exclusive::new(vec![0; MAX_FRAME].into_boxed_slice());
        let carry = move || {
            // A task never runs twice at the same time.
            if let Some(mut buffer) = buffer.enter() {
                carry(&theirs, &mut buffer);
            }
        };
        let task = Arc::new(queue.task(carry)?);
        for end in &ends {
            let mut task = Some(Arc::clone(&task));
            end.state
                .with(|state| core::mem::swap(&mut state.wire, &mut task));
        }
        // Frames that were transmitted before go first.
        task.enqueue()?;
        Ok(Self {
            ends,
            _task: task,
            _queue: queue,
        })
    }
}

/// Carries all frames, one in each direction at a time.
fn carry(ends: &[Arc<Shared>; 2], buffer: &mut [u8]) {
    let [one, other] = ends;
    loop {
        let there = carry_one(one, other, buffer);
        let back = carry_one(other, one, buffer);
        if !there && !back {
            return;
        }
    }
}

/// Carries a frame. Returns false if there is none.
fn carry_one(from: &Shared, to: &Shared, buffer: &mut [u8]) -> bool {
    let taken = from.take_transmitted(buffer);
    let Some(frame) = taken.and_then(|length| buffer.get(..length)) else {
        return false;
    };
    to.state.with(|state| state.segments.record(frame));
    to.with(|nic, memory| nic.receive(frame, FrameErrors::NONE, memory));
    true
}

impl Drop for Wire {
    fn drop(&mut self) {
        for end in &self.ends {
            // Dropped without the NIC's lock.
            drop(end.state.with(|state| state.wire.take()));
        }
    }
}
