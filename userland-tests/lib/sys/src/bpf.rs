//! bpf(4): frames as they are on the wire.

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd};
use crate::file::{O_CLOEXEC, O_RDWR, open};
use crate::net::{control, direction, interface_request, request};
use crate::poll::{POLLIN, wait_for};
use crate::time::Deadline;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;

const BIOCGBLEN: usize = request(direction::OUT, b'B', 102, 4);
const BIOCSETIF: usize = request(direction::IN, b'B', 108, 32);
const BIOCIMMEDIATE: usize = request(direction::IN, b'B', 112, 4);
const BIOCSHDRCMPLT: usize = request(direction::IN, b'B', 117, 4);
const BIOCSDIRECTION: usize = request(direction::IN, b'B', 119, 4);
const INCOMING_ONLY: u32 = 0;
const WORD: usize = 8;

/// Sees the frames that come in at an interface and puts others out at it.
#[derive(Debug)]
pub struct Wire {
    device: Fd,
    buffer: Vec<u8>,
    frames: VecDeque<Vec<u8>>,
}

impl Wire {
    /// Attaches to an interface.
    ///
    /// # Errors
    /// `ENOENT` without bpf(4) in the kernel, `ENXIO` without the interface.
    pub fn attach(interface: &str) -> Result<Self> {
        let device = open("/dev/bpf", O_RDWR | O_CLOEXEC)?;
        let mut length = [0; 4];
        control(&device, BIOCGBLEN, &mut length)?;
        control(&device, BIOCSETIF, &mut interface_request(interface)?)?;
        for (request, value) in [
            (BIOCIMMEDIATE, 1),
            (BIOCSHDRCMPLT, 1),
            (BIOCSDIRECTION, INCOMING_ONLY),
        ] {
            control(&device, request, &mut value.to_le_bytes())?;
        }
        Ok(Self {
            device,
            buffer: vec![0; u32::from_le_bytes(length) as usize],
            frames: VecDeque::new(),
        })
    }

    /// Puts a frame out, all of it the caller's, Ethernet header included.
    ///
    /// # Errors
    /// Those of bpf(4); `EIO` when only a part was taken.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        match self.device.write(frame)? {
            count if count == frame.len() => Ok(()),
            _ => Err(Errno::EIO),
        }
    }

    /// The next frame that came in.
    ///
    /// # Errors
    /// Those of bpf(4); `ETIMEDOUT` after the deadline.
    pub fn receive(&mut self, deadline: Deadline) -> Result<Vec<u8>> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            wait_for(&self.device, POLLIN, deadline)?;
            let count = self.device.read(&mut self.buffer)?;
            self.frames = frames(self.buffer.get(..count).unwrap_or_default())?;
        }
    }
}

/// The frames in what a read gave: each after a header of time (16 bytes),
/// captured length (4), true length (4) and length of the header (2), and
/// padded to a word.
fn frames(mut bytes: &[u8]) -> Result<VecDeque<Vec<u8>>> {
    let mut frames = VecDeque::new();
    while !bytes.is_empty() {
        let head = bytes.get(16..26).ok_or(Errno::EBADMSG)?;
        let captured = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        let start = usize::from(u16::from_le_bytes([head[8], head[9]]));
        let end = start + captured;
        frames.push_back(bytes.get(start..end).ok_or(Errno::EBADMSG)?.to_vec());
        // The last one may not be padded.
        bytes = bytes.get(end.next_multiple_of(WORD)..).unwrap_or_default();
    }
    Ok(frames)
}
