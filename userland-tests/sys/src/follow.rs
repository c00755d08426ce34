//! Following a child: what it writes, and how it ends.

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd};
use crate::kqueue::{EV_ADD, EV_DELETE, Event, Filter, Kqueue};
use crate::process::Ending;
use crate::signal::Signal;
use crate::time::Deadline;

/// Hands what comes out of `pipe` to `each` until the child has ended: how,
/// or nothing when the deadline passed first. Whether it has ended is what
/// `ended` says, which is asked anew whenever a child of this process's has.
///
/// That the pipe is closed ends nothing, and a process that the child left
/// behind with the pipe open keeps nothing from ending.
///
/// # Errors
/// Those of kevent(2), read(2) and of `ended`.
pub fn follow(
    pipe: &Fd,
    deadline: Deadline,
    ended: &mut dyn FnMut() -> Result<Option<Ending>>,
    each: &mut dyn FnMut(&[u8]),
) -> Result<Option<Ending>> {
    let queue = Kqueue::new()?;
    let children = Event::new(Signal::SIGCHLD.0 as usize, Filter::Signal, EV_ADD);
    queue.change(&[Event::on(pipe, Filter::Read, EV_ADD), children])?;
    pipe.set_nonblocking(true)?;
    let mut open = true;
    loop {
        // A child that ended before the queue was there sends no event.
        let ending = ended()?;
        let more = open && take(pipe, each)?;
        if ending.is_some() || deadline.has_passed() {
            return Ok(ending);
        }
        if open && !more {
            queue.change(&[Event::on(pipe, Filter::Read, EV_DELETE)])?;
        }
        open = more;
        queue.wait(&[], 2, deadline)?;
    }
}

/// Takes what there is to read; whether more may come.
fn take(pipe: &Fd, each: &mut dyn FnMut(&[u8])) -> Result<bool> {
    let mut piece = [0; 4096];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => return Ok(false),
            Ok(count) => each(piece.get(..count).unwrap_or_default()),
            Err(Errno::EAGAIN) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}
