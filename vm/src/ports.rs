//! Both serial ports, read so that the console never lags behind the results:
//! what the kernel printed before a result line is heard before it.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::machine::{CHUNK, Event, Port};

/// Console chunks that may go before one chunk of results.
const AHEAD: usize = 64;

/// A console chunk of fewer bytes is followed by a pause.
const FEW: usize = 256;
/// The pause, milliseconds.
const GATHER: u8 = 1;

/// Hands on what comes from both ports, until the end of both. The thread tells
/// whether anything came.
pub fn read<P>(console: P, result: P, events: SyncSender<Event>) -> JoinHandle<bool>
where
    P: Read + AsFd + Send + 'static,
{
    thread::spawn(move || {
        let mut reader = Reader {
            console: Some(console),
            result: Some(result),
            events,
            buffer: vec![0; CHUNK],
            heard: false,
        };
        while reader.step().is_some() {}
        reader.heard
    })
}

struct Reader<P> {
    console: Option<P>,
    result: Option<P>,
    events: SyncSender<Event>,
    buffer: Vec<u8>,
    heard: bool,
}

impl<P: Read + AsFd> Reader<P> {
    /// None when there is nothing more to do.
    fn step(&mut self) -> Option<()> {
        let (console, result) = self.wait()?;
        if !result {
            let bytes = if console {
                self.take(Port::Console)
            } else {
                None
            };
            return bytes.map_or(Some(()), |bytes| {
                let few = bytes.len() < FEW;
                self.send(Port::Console, bytes)?;
                if few {
                    self.let_gather();
                }
                Some(())
            });
        }
        // Read first, sent last: whatever was on the console by then is older.
        let bytes = self.take(Port::Result);
        for _ in 0..AHEAD {
            if !self
                .console
                .as_ref()
                .is_some_and(|port| has_bytes(port, PollTimeout::ZERO))
            {
                break;
            }
            let Some(bytes) = self.take(Port::Console) else {
                break;
            };
            self.send(Port::Console, bytes)?;
        }
        bytes.map_or(Some(()), |bytes| self.send(Port::Result, bytes))
    }

    /// An emulated UART hands over byte by byte. A console that is read as
    /// often costs as much as the guest; results do not have to wait.
    fn let_gather(&self) {
        if let Some(result) = &self.result {
            has_bytes(result, GATHER.into());
        }
    }

    /// Waits until a port has something, or its end; none when both ended.
    fn wait(&self) -> Option<(bool, bool)> {
        let ports = [self.console.as_ref(), self.result.as_ref()];
        let mut fds: Vec<PollFd<'_>> = ports
            .into_iter()
            .flatten()
            .map(|port| PollFd::new(port.as_fd(), PollFlags::POLLIN))
            .collect();
        if fds.is_empty() {
            return None;
        }
        while let Err(error) = poll(&mut fds, PollTimeout::NONE) {
            if error != Errno::EINTR {
                return None;
            }
        }
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut next = |port: &Option<P>| port.is_some() && ready.next().unwrap_or(false);
        Some((next(&self.console), next(&self.result)))
    }

    /// Reads what is there; at its end the port is let go.
    fn take(&mut self, port: Port) -> Option<Vec<u8>> {
        let slot = match port {
            Port::Console => &mut self.console,
            Port::Result => &mut self.result,
        };
        match slot.as_mut()?.read(&mut self.buffer) {
            Ok(n @ 1..) => {
                self.heard = true;
                Some(self.buffer[..n].to_vec())
            }
            Err(e) if matches!(e.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock) => None,
            // An error is an end, too: of a socket whose program died with our
            // bytes unread, or of a terminal that nobody has open any more.
            Ok(0) | Err(_) => {
                *slot = None;
                None
            }
        }
    }

    fn send(&self, port: Port, bytes: Vec<u8>) -> Option<()> {
        self.events.send(Event::Output(port, bytes)).ok()
    }
}

/// Whether a read would not wait, or not for longer than `timeout`.
fn has_bytes(port: &impl AsFd, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    #[test]
    fn what_was_printed_before_a_result_is_heard_before_it() {
        for _ in 0..200 {
            let (mut console, console_end) = UnixStream::pair().unwrap();
            let (mut result, result_end) = UnixStream::pair().unwrap();
            let (events, inbox) = crate::machine::channel();
            let reader = read(console_end, result_end, events);
            console.write_all(b"lock order reversal:\n").unwrap();
            result.write_all(b"# done 1\n").unwrap();
            let deadline = Instant::now() + Duration::from_secs(5);
            let first = inbox.next(deadline);
            assert!(
                matches!(first, Some(Event::Output(Port::Console, _))),
                "{first:?}"
            );
            drop((console, result));
            assert!(reader.join().unwrap());
        }
    }
}
