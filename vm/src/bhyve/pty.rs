//! A serial port of a bhyve machine: a pseudo-terminal, whose other end bhyve
//! opens by its name.
//!
//! bhyve(8) joins a port with its own standard input and output (one port
//! only), with a terminal device, or with a TCP port that it listens on. A
//! pseudo-terminal is the terminal device with the fewest parts: the kernel
//! hands out a free one, so no unit and no port has to be guessed or probed;
//! there is no nmdm(4) to load; nobody else can connect, as anybody on the
//! host can to a TCP port; nothing that the guest says before we connect is
//! lost; and every release's bhyve takes it, where TCP is new.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::error::InfraError;

/// bhyve does not wait for a full terminal, it drops bytes. FreeBSD gives a
/// terminal of this speed (bits a second) the largest buffer it has, 64 KiB.
const SPEED: u32 = 460_800;

/// A pseudo-terminal.
#[derive(Debug)]
pub struct Pty {
    /// Our end; it does not block.
    pub master: File,
    /// bhyve's end. While we hold it, too, the terminal and its mode stay, and
    /// our end has no end of file.
    pub slave: File,
    /// The name of bhyve's end.
    pub path: PathBuf,
}

impl Pty {
    /// A new one, in raw mode.
    ///
    /// # Errors
    /// [`InfraError::Io`]: the system has no more of them.
    pub fn open() -> Result<Self, InfraError> {
        open().map_err(|e| InfraError::sys("open a pseudo-terminal for bhyve", e))
    }
}

fn open() -> io::Result<Pty> {
    // Other machines' programs must not inherit it: they would hold it open.
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let master = openpt(OpenptFlags::from_bits_retain(flags.bits() as _))?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let path = PathBuf::from(std::ffi::OsString::from_vec(
        ptsname(&master, Vec::new())?.into_bytes(),
    ));
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(nix::libc::O_NOCTTY)
        .open(&path)?;
    let mut mode = tcgetattr(&slave)?;
    mode.make_raw();
    mode.set_speed(SPEED)?;
    tcsetattr(&slave, OptionalActions::Now, &mode)?;
    rustix::fs::fcntl_setfl(&master, OFlags::NONBLOCK)?;
    Ok(Pty {
        master: master.into(),
        slave,
        path,
    })
}

/// Writes all of `bytes`, waiting `limit` at most for a guest that does not
/// read.
///
/// # Errors
/// The guest's end is gone, or it has not read.
pub fn write_within(mut port: &File, mut bytes: &[u8], limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    while !bytes.is_empty() {
        match port.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => wait(port, deadline)?,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until `port` takes bytes.
fn wait(port: &File, deadline: Instant) -> io::Result<()> {
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut fds, timeout) {
        Ok(0) => Err(ErrorKind::TimedOut.into()),
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn bytes_pass_as_they_are_in_both_directions() {
        let mut pty = Pty::open().unwrap();
        let bytes: Vec<u8> = (0..=255).collect();
        let mut heard = [0; 256];
        pty.slave.write_all(&bytes).unwrap();
        let mut end = File::options().read(true).open(&pty.path).unwrap();
        write_within(&pty.master, &bytes, Duration::from_secs(5)).unwrap();
        end.read_exact(&mut heard).unwrap();
        assert_eq!(heard[..], bytes);
        let mut fds = [PollFd::new(pty.master.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::NONE).unwrap();
        pty.master.read_exact(&mut heard).unwrap();
        assert_eq!(heard[..], bytes);
    }

    #[test]
    fn a_guest_that_does_not_read_is_not_waited_for_for_ever() {
        let pty = Pty::open().unwrap();
        let much = vec![b'x'; 1 << 20];
        let error = write_within(&pty.master, &much, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[test]
    fn two_are_never_one() {
        let (one, other) = (Pty::open().unwrap(), Pty::open().unwrap());
        assert_ne!(one.path, other.path);
    }
}
