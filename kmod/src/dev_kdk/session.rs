//! Open descriptors of `/dev/kdk`.

#[cfg(ixgbe)]
use super::cards::{Cards, Command as CardCommand};
use super::slot::Slot;
use crate::kpi::errno::Errno;
use crate::kpi::{Device, Exclusive, Uio};
use crate::platform::Kernel;
use crate::registry;
use alloc::boxed::Box;
use kdk_harness::{Answer, Command, Reader, Text, Where, parse};

/// The longest command, in bytes.
const COMMAND: usize = 200;

/// The longest answer that is formatted in one piece, in bytes.
pub const TEXT: usize = 180;

/// The most bytes that one read(2) returns.
const PIECE: usize = 512;

/// The answer that a descriptor is returning.
enum State {
    /// No command was written since the last answer ended.
    Idle,
    /// A formatted text.
    Text { text: Text<TEXT>, taken: usize },
    /// An answer about tests. It has the slot if it runs any.
    Answer {
        reader: Box<Reader<'static>>,
        _slot: Option<Slot>,
    },
}

/// One open descriptor. A call fails with `EBUSY` while another call on the
/// same descriptor is in progress.
pub struct Session {
    inner: Exclusive<Inner>,
}

struct Inner {
    state: State,
    /// The NICs that it has made.
    #[cfg(ixgbe)]
    cards: Option<Cards>,
}

impl Device for Session {
    fn open() -> Result<Self, Errno> {
        Ok(Self {
            inner: Exclusive::new(Inner {
                state: State::Idle,
                #[cfg(ixgbe)]
                cards: None,
            }),
        })
    }

    fn write(&self, user: &mut Uio<'_>) -> Result<(), Errno> {
        let mut inner = self.inner.enter().ok_or(Errno::EBUSY)?;
        if !matches!(inner.state, State::Idle) {
            return Err(Errno::EBUSY);
        }
        let mut bytes = [0; COMMAND];
        if user.resid() > bytes.len() {
            return Err(Errno::ENAMETOOLONG);
        }
        let count = user.copy_in(&mut bytes)?;
        let line = bytes
            .get(..count)
            .and_then(|line| core::str::from_utf8(line).ok());
        inner.state = inner.answer(line.ok_or(Errno::EINVAL)?)?;
        Ok(())
    }

    fn read(&self, user: &mut Uio<'_>) -> Result<(), Errno> {
        let mut inner = self.inner.enter().ok_or(Errno::EBUSY)?;
        if user.resid() == 0 {
            return Ok(());
        }
        let mut piece = [0; PIECE];
        let room = piece.len().min(user.resid());
        let room = piece.get_mut(..room).unwrap_or_default();
        let count = inner.state.read(room);
        if count == 0 {
            inner.state = State::Idle;
        }
        user.copy_out(room.get(..count).unwrap_or_default())
            .map(|_| ())
    }
}

impl State {
    const fn text(text: Text<TEXT>) -> Self {
        Self::Text { text, taken: 0 }
    }

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

impl Inner {
    /// Parses a command and prepares its answer.
    fn answer(&mut self, line: &str) -> Result<State, Errno> {
        let mut words = line.split_ascii_whitespace();
        match words.next() {
            Some("version") if words.next().is_none() => Ok(State::text(Text::of(concat!(
                "# kdk-version ",
                env!("CARGO_PKG_VERSION"),
                "\n"
            )))),
            Some("card") => self.card(words),
            _ => tests(line),
        }
    }

    #[cfg(ixgbe)]
    fn card<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Result<State, Errno> {
        let command = CardCommand::parse(words).ok_or(Errno::EINVAL)?;
        if self.cards.is_none() {
            self.cards = Some(Cards::new()?);
        }
        let cards = self.cards.as_mut().ok_or(Errno::ENXIO)?;
        cards.execute(command).map(State::text)
    }

    /// Fails: the tree has no driver for the NIC.
    #[cfg(not(ixgbe))]
    fn card<'a>(&mut self, _words: impl Iterator<Item = &'a str>) -> Result<State, Errno> {
        Err(Errno::ENXIO)
    }
}

/// Parses a command about tests and prepares its answer.
fn tests(line: &str) -> Result<State, Errno> {
    let slot = match parse(line) {
        Ok(Command::Run(_)) => Some(Slot::take()?),
        Ok(Command::List) => None,
        // User space quiesces, resumes and ends the machine.
        Ok(Command::Quiesce | Command::Resume(_) | Command::End) | Err(_) => {
            return Err(Errno::EINVAL);
        }
    };
    let answer = Answer::to(&registry::all(), Where::Kernel, line);
    Ok(State::Answer {
        reader: Box::new(Reader::new(answer)),
        _slot: slot,
    })
}
