//! One open descriptor.

use super::slot::Slot;
use crate::kpi::errno::Errno;
use crate::kpi::{Device, Exclusive, Uio};
use crate::platform::Kernel;
use crate::registry;
use alloc::boxed::Box;
use kdk_harness::{Answer, Command, Place, Reader, Text, parse};

/// Longest command, bytes.
const COMMAND: usize = 200;

/// Bytes handed to the user at a time.
const PIECE: usize = 512;

/// What a descriptor is in the middle of.
enum State {
    /// Nothing was asked.
    Idle,
    /// Text that is ready.
    Text { text: Text<64>, taken: usize },
    /// An answer, and the right to run tests if it does.
    Answer {
        reader: Box<Reader<'static>>,
        _slot: Option<Slot>,
    },
}

/// One open descriptor. Two calls at once on one descriptor: the second gets
/// `EBUSY`.
pub struct Session {
    state: Exclusive<State>,
}

impl Device for Session {
    fn open() -> Result<Self, Errno> {
        Ok(Self {
            state: Exclusive::new(State::Idle),
        })
    }

    fn write(&self, user: &mut Uio<'_>) -> Result<(), Errno> {
        let mut state = self.state.enter().ok_or(Errno::EBUSY)?;
        if !matches!(*state, State::Idle) {
            return Err(Errno::EBUSY);
        }
        let mut bytes = [0; COMMAND];
        if user.left() > bytes.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        let count = user.take(&mut bytes)?;
        let line = bytes
            .get(..count)
            .and_then(|line| core::str::from_utf8(line).ok());
        *state = answer(line.ok_or(Errno::EINVAL)?)?;
        Ok(())
    }

    fn read(&self, user: &mut Uio<'_>) -> Result<(), Errno> {
        let mut state = self.state.enter().ok_or(Errno::EBUSY)?;
        if user.left() == 0 {
            return Ok(());
        }
        let mut piece = [0; PIECE];
        let room = piece.len().min(user.left());
        let room = piece.get_mut(..room).unwrap_or_default();
        let count = state.read(room);
        if count == 0 {
            *state = State::Idle;
        }
        user.give(room.get(..count).unwrap_or_default()).map(|_| ())
    }
}

impl State {
    fn read(&mut self, room: &mut [u8]) -> usize {
        match self {
            Self::Idle => 0,
            Self::Text { text, taken } => {
                let rest = text.as_str().as_bytes().get(*taken..).unwrap_or_default();
                let count = rest.len().min(room.len());
                for (to, from) in room.iter_mut().zip(rest) {
                    *to = *from;
                }
                *taken += count;
                count
            }
            Self::Answer { reader, .. } => reader.read(&mut Kernel, room),
        }
    }
}

/// What answers a command.
fn answer(line: &str) -> Result<State, Errno> {
    if line.trim_ascii() == "version" {
        let text = Text::of(concat!("# kdk-version ", env!("CARGO_PKG_VERSION"), "\n"));
        return Ok(State::Text { text, taken: 0 });
    }
    let slot = match parse(line) {
        Ok(Command::Run(_)) => Some(Slot::take()?),
        Ok(Command::List) => None,
        // Ending the machine is user space's affair.
        Ok(Command::Rest | Command::Wake(_) | Command::End) | Err(_) => return Err(Errno::EINVAL),
    };
    let answer = Answer::to(&registry::all(), Place::Kernel, line);
    Ok(State::Answer {
        reader: Box::new(Reader::new(answer)),
        _slot: slot,
    })
}
