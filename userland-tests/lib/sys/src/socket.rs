//! System calls on sockets.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd, adopted};
use crate::raw::{call, number, plain};
use core::fmt;

/// Family and type of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP over IPv4.
    Tcp,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over IPv4.
    Udp,
    /// UDP over IPv6.
    Udp6,
    /// A stream of unix(4).
    UnixStream,
    /// Datagrams of unix(4).
    UnixDatagram,
}

const AF_UNIX: u8 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 28;
const SOCK_STREAM: i64 = 1;
const SOCK_DGRAM: i64 = 2;
const SOCK_CLOEXEC: i64 = 0x1000_0000;
const SOL_SOCKET: usize = 0xffff;

impl Kind {
    const fn domain_and_type(self) -> (u8, i64) {
        match self {
            Self::Tcp => (AF_INET, SOCK_STREAM),
            Self::Tcp6 => (AF_INET6, SOCK_STREAM),
            Self::Udp => (AF_INET, SOCK_DGRAM),
            Self::Udp6 => (AF_INET6, SOCK_DGRAM),
            Self::UnixStream => (AF_UNIX, SOCK_STREAM),
            Self::UnixDatagram => (AF_UNIX, SOCK_DGRAM),
        }
    }
}

/// An option of the socket level that takes an int.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum SocketOption {
    /// An address in `TIME_WAIT` can be bound.
    ReuseAddress = 0x4,
    /// Bytes the socket takes before a write waits.
    SendBuffer = 0x1001,
    /// Bytes the socket keeps for a reader.
    ReceiveBuffer = 0x1002,
    /// Bytes there has to be room for before the socket counts as one that can
    /// be written to.
    SendLowWater = 0x1003,
    /// The pending error, which reading clears.
    Error = 0x1007,
}

/// What shutdown(2) ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum Half {
    /// The reading direction.
    Read = 0,
    /// The writing direction.
    Write = 1,
    /// Both of the directions.
    Both = 2,
}

/// A socket's address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Address {
    bytes: [u8; 28],
    length: usize,
}

impl Address {
    /// An address of IPv4.
    #[must_use]
    pub fn v4(host: [u8; 4], port: u16) -> Self {
        let mut bytes = [0; 28];
        bytes[0] = 16;
        bytes[1] = AF_INET;
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        bytes[4..8].copy_from_slice(&host);
        Self { bytes, length: 16 }
    }

    /// IPv6 without a scope.
    #[must_use]
    pub fn v6(host: [u8; 16], port: u16) -> Self {
        let mut bytes = [0; 28];
        bytes[0] = 28;
        bytes[1] = AF_INET6;
        bytes[2..4].copy_from_slice(&port.to_be_bytes());
        bytes[8..24].copy_from_slice(&host);
        Self { bytes, length: 28 }
    }

    /// This machine, over IPv4.
    #[must_use]
    pub fn loopback(port: u16) -> Self {
        Self::v4([127, 0, 0, 1], port)
    }

    /// This machine, over IPv6.
    #[must_use]
    pub fn loopback6(port: u16) -> Self {
        let mut host = [0; 16];
        host[15] = 1;
        Self::v6(host, port)
    }

    /// A socket's name in the file system, of 24 bytes at most. A longer one is
    /// cut.
    #[must_use]
    pub fn unix(path: &str) -> Self {
        let mut bytes = [0; 28];
        bytes[1] = AF_UNIX;
        let (name, _) = bytes[2..27].split_at_mut(path.len().min(24));
        name.copy_from_slice(&path.as_bytes()[..name.len()]);
        let length = 2 + name.len() + 1;
        bytes[0] = length as u8;
        Self { bytes, length }
    }

    /// Returns the port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        u16::from_be_bytes([self.bytes[2], self.bytes[3]])
    }

    /// The IPv4 host, or what stands in its place.
    #[must_use]
    pub const fn host_v4(&self) -> [u8; 4] {
        let [_, _, _, _, a, b, c, d, ..] = self.bytes;
        [a, b, c, d]
    }

    /// The `sockaddr`.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&self.bytes)
    }

    fn empty() -> (Self, u32) {
        let empty = Self {
            bytes: [0; 28],
            length: 28,
        };
        (empty, 28)
    }

    fn filled(mut self, length: u32) -> Self {
        self.length = (length as usize).min(28);
        self
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes[1] {
            AF_INET => {
                let [a, b, c, d] = self.host_v4();
                write!(out, "{a}.{b}.{c}.{d}:{}", self.port())
            }
            AF_INET6 => write!(out, "[{:02x?}]:{}", &self.bytes[8..24], self.port()),
            family => write!(out, "address of family {family}"),
        }
    }
}

/// socket(2), closed on execve(2).
///
/// # Errors
/// Those of socket(2).
pub fn socket(kind: Kind) -> Result<Fd> {
    let (domain, kind) = kind.domain_and_type();
    // SAFETY: no addresses.
    unsafe { plain(number::SOCKET, [domain.into(), kind | SOCK_CLOEXEC, 0]) }.map(adopted)
}

/// Calls socketpair(2).
///
/// # Errors
/// Those of socketpair(2).
pub fn pair(kind: Kind) -> Result<(Fd, Fd)> {
    let (domain, kind) = kind.domain_and_type();
    let mut ends = [0i32; 2];
    let arguments = [
        usize::from(domain),
        (kind | SOCK_CLOEXEC) as usize,
        0,
        ends.as_mut_ptr() as usize,
    ];
    // SAFETY: the kernel writes two ints.
    unsafe { call(number::SOCKETPAIR, &arguments) }?;
    let [a, b] = ends.map(Fd::adopt);
    Ok((a, b))
}

/// Calls bind(2).
///
/// # Errors
/// Those of bind(2).
pub fn bind(socket: &impl Descriptor, address: &Address) -> Result<()> {
    name_call(number::BIND, socket, address)
}

/// Calls connect(2).
///
/// # Errors
/// Those of connect(2).
pub fn connect(socket: &impl Descriptor, address: &Address) -> Result<()> {
    name_call(number::CONNECT, socket, address)
}

fn name_call(number: usize, socket: &impl Descriptor, address: &Address) -> Result<()> {
    let name = address.as_bytes();
    let arguments = [socket.raw() as usize, name.as_ptr() as usize, name.len()];
    // SAFETY: the kernel reads the sockaddr with its true length.
    unsafe { call(number, &arguments) }.map(drop)
}

/// Calls listen(2).
///
/// # Errors
/// Those of listen(2).
pub fn listen(socket: &impl Descriptor, backlog: u16) -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::LISTEN, [socket.raw().into(), backlog.into()]) }.map(drop)
}

/// accept(2): the connection and whose it is.
///
/// # Errors
/// Those of accept(2).
pub fn accept(socket: &impl Descriptor) -> Result<(Fd, Address)> {
    let (mut from, mut length) = Address::empty();
    let arguments = [
        socket.raw() as usize,
        from.bytes.as_mut_ptr() as usize,
        &raw mut length as usize,
    ];
    // SAFETY: the kernel writes `length` bytes at most and the true length.
    let connection = unsafe { call(number::ACCEPT, &arguments) }.map(adopted)?;
    Ok((connection, from.filled(length)))
}

/// getsockname(2): the socket's own address.
///
/// # Errors
/// Those of getsockname(2).
pub fn local_address(socket: &impl Descriptor) -> Result<Address> {
    let (mut name, mut length) = Address::empty();
    let arguments = [
        socket.raw() as usize,
        name.bytes.as_mut_ptr() as usize,
        &raw mut length as usize,
    ];
    // SAFETY: the kernel writes `length` bytes at most and the true length.
    unsafe { call(number::GETSOCKNAME, &arguments) }?;
    Ok(name.filled(length))
}

/// Calls shutdown(2).
///
/// # Errors
/// Those of shutdown(2).
pub fn shutdown(socket: &impl Descriptor, half: Half) -> Result<()> {
    // SAFETY: no addresses.
    unsafe { plain(number::SHUTDOWN, [socket.raw().into(), half as i64]) }.map(drop)
}

/// sendto(2) without an address: how many bytes were taken.
///
/// # Errors
/// Those of send(2).
pub fn send(socket: &impl Descriptor, bytes: &[u8]) -> Result<usize> {
    let arguments = [
        socket.raw() as usize,
        bytes.as_ptr() as usize,
        bytes.len(),
        0,
        0,
        0,
    ];
    // SAFETY: the kernel reads `bytes` only.
    unsafe { call(number::SENDTO, &arguments) }
}

/// sendto(2): how many bytes were taken.
///
/// # Errors
/// Those of sendto(2).
pub fn send_to(socket: &impl Descriptor, bytes: &[u8], to: &Address) -> Result<usize> {
    let name = to.as_bytes();
    let arguments = [
        socket.raw() as usize,
        bytes.as_ptr() as usize,
        bytes.len(),
        0,
        name.as_ptr() as usize,
        name.len(),
    ];
    // SAFETY: the kernel reads `bytes` and the sockaddr only.
    unsafe { call(number::SENDTO, &arguments) }
}

/// recvfrom(2): how many bytes came, and whose they are.
///
/// # Errors
/// Those of recvfrom(2).
pub fn receive(socket: &impl Descriptor, buffer: &mut [u8]) -> Result<(usize, Address)> {
    let (mut from, mut length) = Address::empty();
    let arguments = [
        socket.raw() as usize,
        buffer.as_mut_ptr() as usize,
        buffer.len(),
        0,
        from.bytes.as_mut_ptr() as usize,
        &raw mut length as usize,
    ];
    // SAFETY: the kernel writes to `buffer`, to the sockaddr and its length.
    let count = unsafe { call(number::RECVFROM, &arguments) }?;
    Ok((count, from.filled(length)))
}

/// Calls setsockopt(2).
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_option(socket: &impl Descriptor, option: SocketOption, value: i32) -> Result<()> {
    let arguments = [
        socket.raw() as usize,
        SOL_SOCKET,
        option as usize,
        &raw const value as usize,
        size_of::<i32>(),
    ];
    // SAFETY: the kernel reads one int.
    unsafe { call(number::SETSOCKOPT, &arguments) }.map(drop)
}

/// Has close(2) wait until the other side has acknowledged everything, the end
/// included, for `seconds` at most; 0 is to reset the connection instead.
///
/// # Errors
/// Those of setsockopt(2).
pub fn set_linger(socket: &impl Descriptor, seconds: i32) -> Result<()> {
    const SO_LINGER: usize = 0x80;
    let linger = [1, seconds];
    let arguments = [
        socket.raw() as usize,
        SOL_SOCKET,
        SO_LINGER,
        linger.as_ptr() as usize,
        size_of_val(&linger),
    ];
    // SAFETY: the kernel reads two ints.
    unsafe { call(number::SETSOCKOPT, &arguments) }.map(drop)
}

/// Calls getsockopt(2).
///
/// # Errors
/// Those of getsockopt(2).
pub fn option(socket: &impl Descriptor, option: SocketOption) -> Result<i32> {
    let mut value = 0i32;
    let mut length = 4u32;
    let arguments = [
        socket.raw() as usize,
        SOL_SOCKET,
        option as usize,
        &raw mut value as usize,
        &raw mut length as usize,
    ];
    // SAFETY: the kernel writes one int and its length.
    unsafe { call(number::GETSOCKOPT, &arguments) }?;
    Ok(value)
}

/// The socket's pending error, as a result.
///
/// # Errors
/// Those of getsockopt(2), and the pending error itself.
pub fn take_error(socket: &impl Descriptor) -> Result<()> {
    match option(socket, SocketOption::Error)? {
        0 => Ok(()),
        error => Err(Errno(error)),
    }
}
