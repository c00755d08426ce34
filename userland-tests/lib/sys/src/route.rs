//! The routing table, through route(4).
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd, adopted};
use crate::raw::{number, plain};
use crate::socket::Address;
use alloc::vec;
use alloc::vec::Vec;

const PF_ROUTE: i64 = 17;
const SOCK_RAW: i64 = 3;
const SOCK_CLOEXEC: i64 = 0x1000_0000;

/// An `rt_msghdr`, which ends with the 14 longs of `rt_metrics`.
const HEADER: usize = 152;
const RTM_VERSION: u8 = 5;
const RTM_ADD: u8 = 1;
const RTF_UP: i32 = 0x1;
const RTF_GATEWAY: i32 = 0x2;
const RTF_STATIC: i32 = 0x800;
const RTA_DST: i32 = 0x1;
const RTA_GATEWAY: i32 = 0x2;
const RTA_NETMASK: i32 = 0x4;

/// A socket to the routing table.
#[derive(Debug)]
pub struct Routes(Fd);

impl Routes {
    /// Opens the socket.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> Result<Self> {
        // SAFETY: no addresses.
        let socket = unsafe { plain(number::SOCKET, [PF_ROUTE, SOCK_RAW | SOCK_CLOEXEC, 0]) };
        socket.map(adopted).map(Self)
    }

    /// Adds a route to an IPv4 network of `prefix` bits by way of `gateway`.
    ///
    /// # Errors
    /// Those of route(4): `EEXIST`, `ENETUNREACH`.
    pub fn add(&self, network: [u8; 4], prefix: u8, gateway: [u8; 4]) -> Result<()> {
        let ones = u32::MAX
            .checked_shl(32 - u32::from(prefix.min(32)))
            .unwrap_or(0);
        let addresses = [network, gateway, ones.to_be_bytes()];
        let message = message(RTM_ADD, addresses.map(|host| Address::v4(host, 0)));
        match self.0.write(&message)? {
            count if count == message.len() => Ok(()),
            _ => Err(Errno::EIO),
        }
    }
}

/// A message about destination, gateway and mask.
fn message(kind: u8, addresses: [Address; 3]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    for address in &addresses {
        bytes.extend(address.as_bytes());
    }
    let length = bytes.len() as u16;
    bytes[..2].copy_from_slice(&length.to_le_bytes());
    bytes[2] = RTM_VERSION;
    bytes[3] = kind;
    let flags = RTF_UP | RTF_GATEWAY | RTF_STATIC;
    bytes[8..12].copy_from_slice(&flags.to_le_bytes());
    let present = RTA_DST | RTA_GATEWAY | RTA_NETMASK;
    bytes[12..16].copy_from_slice(&present.to_le_bytes());
    bytes
}
