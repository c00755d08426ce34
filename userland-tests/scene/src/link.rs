//! Connected sockets.

use kdk_sys::socket::{
    Address, Kind, SocketOption, accept, bind, connect, listen, local_address, pair, set_option,
    socket,
};
use kdk_sys::suite::must;
use kdk_sys::{Fd, Result};

/// What two sockets are connected through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// TCP over lo0.
    Tcp,
    /// TCP over lo0 with IPv6.
    Tcp6,
    /// unix(4), bytes.
    Unix,
}

impl Link {
    /// Two connected sockets.
    #[track_caller]
    pub fn connect(self) -> (Fd, Fd) {
        let (here, there) = match self {
            Self::Tcp => tcp(Kind::Tcp, Address::loopback(0), None),
            Self::Tcp6 => tcp(Kind::Tcp6, Address::loopback6(0), None),
            Self::Unix => unix(UNIX_BUFFER),
        }
        .unwrap_or_else(|errno| panic!("connect over {self:?}: expected success, saw {errno}"));
        (here, there)
    }

    /// Two connected sockets with buffers of `buffer` bytes.
    #[track_caller]
    pub fn connect_with(self, buffer: i32) -> (Fd, Fd) {
        let ends = match self {
            Self::Tcp => tcp(Kind::Tcp, Address::loopback(0), Some(buffer)),
            Self::Tcp6 => tcp(Kind::Tcp6, Address::loopback6(0), Some(buffer)),
            Self::Unix => unix(buffer),
        };
        must("connect with other buffers", ends)
    }
}

/// What FreeBSD 15 gives a socket of unix(4), which had a page or two before.
const UNIX_BUFFER: i32 = 64 << 10;

fn unix(buffer: i32) -> Result<(Fd, Fd)> {
    let (here, there) = pair(Kind::UnixStream)?;
    set_buffers(&here, buffer)?;
    set_buffers(&there, buffer)?;
    Ok((here, there))
}

fn set_buffers(socket: &Fd, buffer: i32) -> Result<()> {
    set_option(socket, SocketOption::SendBuffer, buffer)?;
    set_option(socket, SocketOption::ReceiveBuffer, buffer)
}

/// Buffers are set before the connection is made: TCP agrees on windows then.
fn tcp(kind: Kind, address: Address, buffer: Option<i32>) -> Result<(Fd, Fd)> {
    let listener = socket(kind)?;
    let here = socket(kind)?;
    if let Some(buffer) = buffer {
        set_buffers(&listener, buffer)?;
        set_buffers(&here, buffer)?;
    }
    bind(&listener, &address)?;
    listen(&listener, 1)?;
    connect(&here, &local_address(&listener)?)?;
    let (there, _) = accept(&listener)?;
    Ok((here, there))
}
