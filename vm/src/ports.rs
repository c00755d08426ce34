//! Reads both serial ports so that the console never lags behind the results:
//! what the kernel printed before a result line arrives before it.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::sync::mpsc::SyncSender;
use std::thread::{self, JoinHandle};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::InfraError;
use crate::machine::{CHUNK, Event, Port};

/// The number of console chunks that may precede one chunk of results.
const AHEAD: usize = 64;

/// The size of a console chunk, in bytes, below which a pause follows.
const FEW: usize = 256;
/// The pause, in milliseconds.
const GATHER: u8 = 1;

/// Forwards the output of both ports until both end. The thread returns whether
/// there was any output.
///
/// # Errors
/// Fails when no thread can be started.
pub fn read<P>(
    console: P,
    result: P,
    events: SyncSender<Event>,
) -> Result<JoinHandle<bool>, InfraError>
where
    P: Read + AsFd + Send + 'static,
{
    let read = move || {
        let mut reader = Reader {
            console: Some(console),
            result: Some(result),
            events,
            buffer: vec![0; CHUNK],
            heard: false,
        };
        while reader.step().is_some() {}
        reader.heard
    };
    thread::Builder::new()
        .name("ports".into())
        .spawn(read)
        .map_err(|e| InfraError::sys("start a thread", e))
}

struct Reader<P> {
    console: Option<P>,
    result: Option<P>,
    events: SyncSender<Event>,
    buffer: Vec<u8>,
    heard: bool,
}

impl<P: Read + AsFd> Reader<P> {
    /// Returns none when both ports have ended.
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
        // The results are read first and sent last: the console output until
        // then is older.
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

    /// Waits a little after a small console chunk. An emulated UART sends byte
    /// by byte, and reading each byte on its own costs as much as the guest.
    /// Results are not delayed.
    fn let_gather(&self) {
        if let Some(result) = &self.result {
            has_bytes(result, GATHER.into());
        }
    }

    /// Waits until a port has output or ends. Returns none when both have
    /// ended.
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

    /// Reads the available output. Closes the port at its end.
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
            // An error is an end, too: of a socket whose program died before it
            // read everything, or of a terminal that no process has open any
            // more.
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

/// Returns whether a read returns within `timeout`.
fn has_bytes(port: &impl AsFd, timeout: PollTimeout) -> bool {
    let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, timeout).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use crate::clock::Instant;

    #[test]
    fn what_was_printed_before_a_result_is_heard_before_it() {
        for _ in 0..200 {
            let (mut console, console_end) = UnixStream::pair().unwrap();
            let (mut result, result_end) = UnixStream::pair().unwrap();
            let (events, inbox) = crate::machine::channel();
            let reader = read(console_end, result_end, events).unwrap();
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
