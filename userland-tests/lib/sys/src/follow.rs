//! Following a child: what it writes, and how it ends.

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd};
use crate::kqueue::{EV_ADD, EV_DELETE, Event, Filter, Kqueue};
use crate::process::Ending;
use crate::signal::Signal;
use crate::time::Deadline;

/// Waits for what a child writes into a pipe and for its end.
#[derive(Debug)]
pub struct Follower {
    pipe: Fd,
    queue: Kqueue,
    open: bool,
}

impl Follower {
    /// Follows whoever writes into the pipe that this is the other end of.
    ///
    /// # Errors
    /// Those of kqueue(2), kevent(2) and fcntl(2).
    pub fn new(pipe: Fd) -> Result<Self> {
        let queue = Kqueue::new()?;
        let children = Event::new(Signal::SIGCHLD.0 as usize, Filter::Signal, EV_ADD);
        queue.change(&[Event::on(&pipe, Filter::Read, EV_ADD), children])?;
        pipe.set_nonblocking(true)?;
        Ok(Self {
            pipe,
            queue,
            open: true,
        })
    }

    /// Hands what comes out of the pipe to `each` until the child has ended, and
    /// returns how. Whether it has ended is what `ended` says, which is asked
    /// anew whenever a child of this process's has.
    ///
    /// That the pipe is closed ends nothing, and a process that the child left
    /// behind with the pipe open keeps nothing from ending.
    ///
    /// # Errors
    /// Those of kevent(2), read(2) and of `ended`.
    pub fn follow(
        &mut self,
        ended: &mut dyn FnMut() -> Result<Option<Ending>>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<Ending> {
        loop {
            // A child that ended before the queue was there sends no event.
            let ending = ended()?;
            if self.open && !self.take(each)? {
                self.open = false;
                let no_more = Event::on(&self.pipe, Filter::Read, EV_DELETE);
                self.queue.change(&[no_more])?;
            }
            if let Some(ending) = ending {
                return Ok(ending);
            }
            self.queue.wait(&[], 2, Deadline::NEVER)?;
        }
    }

    /// Takes what there is to read; whether more may come.
    fn take(&self, each: &mut dyn FnMut(&[u8])) -> Result<bool> {
        let mut piece = [0; 4096];
        loop {
            match self.pipe.read(&mut piece) {
                Ok(0) => return Ok(false),
                Ok(count) => each(piece.get(..count).unwrap_or_default()),
                Err(Errno::EAGAIN) => return Ok(true),
                Err(errno) => return Err(errno),
            }
        }
    }
}
