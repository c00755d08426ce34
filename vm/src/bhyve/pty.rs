//! A serial port of a bhyve machine: a pseudo-terminal, whose other end bhyve
//! opens by its name.
//!
//! bhyve(8) connects a port to its own standard input and output (one port
//! only), with a terminal device, or with a TCP port that it listens on. A
//! pseudo-terminal is the terminal device with the fewest parts: the kernel
//! hands out a free one, so no unit and no port number has to be guessed; there
//! is no nmdm(4) to load; no one else can connect, as any user of the host can
//! to a TCP port; nothing that the guest says before we connect is lost; and
//! bhyve of every release supports it, while TCP is new.

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

/// The speed of the terminals, in bits a second. bhyve drops bytes when a
/// terminal is full, and FreeBSD gives a terminal of this speed its largest
/// buffer, 64 KiB.
const SPEED: u32 = 460_800;

/// A pair of pseudo-terminal ends.
#[derive(Debug)]
pub struct Pty {
    /// The end of this program, which does not block.
    pub master: File,
    /// The end of bhyve. While this program has it open too, the terminal keeps
    /// its mode, and the other end sees no end of file.
    pub slave: File,
    /// The path of bhyve's end.
    pub path: PathBuf,
}

impl Pty {
    /// Returns a new pseudo-terminal in raw mode.
    ///
    /// # Errors
    /// Fails with [`InfraError::Io`] when the system has no more of them.
    pub fn open() -> Result<Self, InfraError> {
        open().map_err(|e| InfraError::sys("open a pseudo-terminal for bhyve", e))
    }
}

fn open() -> io::Result<Pty> {
    // The programs of other machines must not inherit it: they would keep it
    // open.
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

/// Writes all of `bytes`. It waits at most `limit` for a guest that does not
/// read.
///
/// # Errors
/// Fails when the guest's end is closed, or has not read in time.
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

/// Waits until `port` accepts bytes.
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
