//! A first-in first-out queue of frames in memory of a fixed size: the
//! receive packet buffer, and the wire of transmitted frames.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;

/// Frames with metadata `N`. It allocates only when it is made.
#[derive(Debug)]
pub struct FrameQueue<N> {
    bytes: Box<[u8]>,
    /// The offset of the first frame.
    first: usize,
    used: usize,
    frames: VecDeque<(usize, N)>,
    max_frames: usize,
}

impl<N: Copy> FrameQueue<N> {
    /// Makes a queue with room for `bytes` and for `frames` frames.
    pub fn new(bytes: usize, frames: usize) -> Self {
        Self {
            bytes: vec![0; bytes].into_boxed_slice(),
            first: 0,
            used: 0,
            frames: VecDeque::with_capacity(frames),
            max_frames: frames,
        }
    }

    /// Returns whether `frames` more frames of `bytes` bytes together fit.
    pub fn fits(&self, frames: usize, bytes: usize) -> bool {
        self.max_frames - self.frames.len() >= frames && self.bytes.len() - self.used >= bytes
    }

    /// Appends a frame. Returns `false` if there is no room.
    pub fn push(&mut self, frame: &[u8], metadata: N) -> bool {
        if !self.fits(1, frame.len()) {
            return false;
        }
        let at = (self.first + self.used) % self.bytes.len().max(1);
        let head = frame.len().min(self.bytes.len() - at);
        let (before, after) = frame.split_at(head);
        self.bytes[at..at + head].copy_from_slice(before);
        self.bytes[..after.len()].copy_from_slice(after);
        self.used += frame.len();
        self.frames.push_back((frame.len(), metadata));
        true
    }

    /// Returns the length and the metadata of the first frame.
    pub fn front(&self) -> Option<(usize, N)> {
        self.frames.front().copied()
    }

    /// Copies bytes of the first frame from `offset` on. Returns their number.
    pub fn copy(&self, offset: usize, into: &mut [u8]) -> usize {
        let Some(&(length, _)) = self.frames.front() else {
            return 0;
        };
        let count = into.len().min(length.saturating_sub(offset));
        if count == 0 {
            return 0;
        }
        let at = (self.first + offset) % self.bytes.len();
        let head = count.min(self.bytes.len() - at);
        into[..head].copy_from_slice(&self.bytes[at..at + head]);
        into[head..count].copy_from_slice(&self.bytes[..count - head]);
        count
    }

    /// Removes the first frame.
    pub fn pop(&mut self) {
        if let Some((length, _)) = self.frames.pop_front() {
            self.first = (self.first + length) % self.bytes.len().max(1);
            self.used -= length;
        }
    }

    /// Returns the number of frames.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Removes all frames.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn frames_wrap_around_and_keep_their_order() {
        let mut queue = FrameQueue::new(10, 3);
        let mut copy = [0; 16];
        for round in 0..30u8 {
            assert!(queue.push(&[round; 4], round));
            assert!(queue.push(&[round + 100; 6], round));
            assert!(!queue.push(&[1], 0), "full by bytes");
            assert_eq!(queue.front(), Some((4, round)));
            assert_eq!(queue.copy(1, &mut copy), 3);
            assert_eq!(copy[..3], [round; 3]);
            queue.pop();
            assert_eq!(queue.copy(0, &mut copy), 6);
            assert_eq!(copy[..6], [round + 100; 6]);
            assert_eq!(queue.copy(6, &mut copy), 0);
            queue.pop();
            // The next round begins elsewhere.
            assert!(queue.push(&[0; 3], 0));
            queue.pop();
        }
        assert_eq!((queue.len(), queue.front()), (0, None));
        assert_eq!(queue.copy(0, &mut copy), 0);
        queue.pop();
    }

    #[test]
    fn full_by_frames() {
        let mut queue = FrameQueue::new(100, 2);
        let taken: Vec<_> = (0..3).map(|metadata| queue.push(&[1], metadata)).collect();
        assert_eq!(taken, [true, true, false]);
        queue.clear();
        assert!(queue.fits(2, 100) && !queue.fits(1, 101) && !queue.fits(3, 1));
    }

    #[test]
    fn no_memory_holds_nothing() {
        let mut queue = FrameQueue::new(0, 0);
        assert!(!queue.push(&[], ()));
        queue.pop();
        assert_eq!(queue.len(), 0);
    }
}
