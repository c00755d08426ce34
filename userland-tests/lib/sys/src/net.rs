//! Configuration of network interfaces.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use crate::fd::{Descriptor, Fd};
use crate::jail::Jail;
use crate::raw::{call, number};
use crate::socket::{Address, Kind, socket};
use alloc::string::{String, ToString};

const IOC_OUT: usize = 0x4000_0000;
const IOC_IN: usize = 0x8000_0000;
const NAME: usize = 16;
const IFF_UP: u16 = 1;
/// `IFM_AVALID` and `IFM_ACTIVE`: the state of the link is known, and it is
/// there.
const LINK: i32 = 3;

/// The number of a request of `group` about `length` bytes.
pub(crate) const fn request(direction: usize, group: u8, nth: usize, length: usize) -> usize {
    direction | (length & 0x1fff) << 16 | (group as usize) << 8 | nth
}

/// `_IOR`, `_IOW` and `_IOWR` of `<sys/ioccom.h>`.
pub(crate) mod direction {
    pub const OUT: usize = super::IOC_OUT;
    pub const IN: usize = super::IOC_IN;
    pub const BOTH: usize = super::IOC_OUT | super::IOC_IN;
}

const SIOCSIFFLAGS: usize = request(direction::IN, b'i', 16, 32);
const SIOCGIFFLAGS: usize = request(direction::BOTH, b'i', 17, 32);
const SIOCAIFADDR: usize = request(direction::IN, b'i', 43, 68);
const SIOCGIFMEDIA: usize = request(direction::BOTH, b'i', 56, 48);
const SIOCSIFVNET: usize = request(direction::BOTH, b'i', 90, 32);
const SIOCSIFRVNET: usize = request(direction::BOTH, b'i', 91, 32);
const SIOCIFDESTROY: usize = request(direction::IN, b'i', 121, 32);
const SIOCIFCREATE2: usize = request(direction::BOTH, b'i', 124, 32);

/// An `ifreq`: a name and 16 bytes whose meaning the request knows.
pub(crate) fn interface_request(name: &str) -> Result<[u8; 32]> {
    let mut bytes = [0; 32];
    put_name(&mut bytes, name)?;
    Ok(bytes)
}

fn put_name(bytes: &mut [u8], name: &str) -> Result<()> {
    // The last byte stays 0.
    let place = bytes.get_mut(..name.len()).filter(|_| name.len() < NAME);
    place
        .ok_or(Errno::ENAMETOOLONG)?
        .copy_from_slice(name.as_bytes());
    Ok(())
}

/// ioctl(2) on bytes of the length that the request's number says.
pub(crate) fn control(fd: &impl Descriptor, request: usize, bytes: &mut [u8]) -> Result<()> {
    if bytes.len() < request >> 16 & 0x1fff {
        return Err(Errno::EINVAL);
    }
    let arguments = [fd.raw() as usize, request, bytes.as_mut_ptr() as usize];
    // SAFETY: the kernel copies as many bytes as the number says, in or out,
    // and there are that many.
    unsafe { call(number::IOCTL, &arguments) }.map(drop)
}

/// A socket to talk about interfaces through.
#[derive(Debug)]
pub struct Interfaces(Fd);

impl Interfaces {
    /// Opens the socket.
    ///
    /// # Errors
    /// Those of socket(2).
    pub fn open() -> Result<Self> {
        socket(Kind::Udp).map(Self)
    }

    /// Makes an interface of a cloner (`"epair"`); the name it got
    /// (`"epair0a"`).
    ///
    /// # Errors
    /// Those of the cloner.
    pub fn create(&self, cloner: &str) -> Result<String> {
        let mut bytes = interface_request(cloner)?;
        control(&self.0, SIOCIFCREATE2, &mut bytes)?;
        let name = bytes.iter().take(NAME).take_while(|byte| **byte != 0);
        Ok(name.map(|byte| char::from(*byte)).collect::<String>())
    }

    /// Destroys a made interface.
    ///
    /// # Errors
    /// Those of the cloner.
    pub fn destroy(&self, name: &str) -> Result<()> {
        control(&self.0, SIOCIFDESTROY, &mut interface_request(name)?)
    }

    /// Brings an interface up.
    ///
    /// # Errors
    /// `ENXIO`: there is none of this name.
    pub fn bring_up(&self, name: &str) -> Result<()> {
        let mut bytes = interface_request(name)?;
        control(&self.0, SIOCGIFFLAGS, &mut bytes)?;
        let flags = u16::from_le_bytes([bytes[16], bytes[17]]) | IFF_UP;
        bytes[16..18].copy_from_slice(&flags.to_le_bytes());
        control(&self.0, SIOCSIFFLAGS, &mut bytes)
    }

    /// Gives an interface an IPv4 address and a prefix of `prefix` bits.
    ///
    /// # Errors
    /// Those of `SIOCAIFADDR`.
    pub fn add_address(&self, name: &str, host: [u8; 4], prefix: u8) -> Result<()> {
        let ones = u32::MAX
            .checked_shl(32 - u32::from(prefix.min(32)))
            .unwrap_or(0);
        let broadcast = (u32::from_be_bytes(host) | !ones).to_be_bytes();
        // An ifaliasreq: name, address, broadcast address, mask, vhid.
        let mut bytes = [0; 68];
        put_name(&mut bytes, name)?;
        for (at, host) in [(16, host), (32, broadcast), (48, ones.to_be_bytes())] {
            bytes[at..at + 16].copy_from_slice(Address::v4(host, 0).as_bytes());
        }
        control(&self.0, SIOCAIFADDR, &mut bytes)
    }

    /// Moves an interface into a jail's network.
    ///
    /// # Errors
    /// Those of `SIOCSIFVNET`.
    pub fn move_to(&self, name: &str, jail: &Jail) -> Result<()> {
        let mut bytes = interface_request(name)?;
        bytes[16..20].copy_from_slice(&jail.id().to_le_bytes());
        control(&self.0, SIOCSIFVNET, &mut bytes)
    }

    /// Takes an interface back that was moved to a jail.
    ///
    /// # Errors
    /// Those of `SIOCSIFRVNET`.
    pub fn take_back(&self, name: &str, jail: &Jail) -> Result<()> {
        let mut bytes = interface_request(name)?;
        bytes[16..20].copy_from_slice(&jail.id().to_le_bytes());
        control(&self.0, SIOCSIFRVNET, &mut bytes)
    }

    /// Whether an interface has a link, as its driver says.
    ///
    /// # Errors
    /// `ENXIO`: there is none of this name; `EINVAL`: it knows no media.
    pub fn has_link(&self, name: &str) -> Result<bool> {
        // An ifmediareq: name, current, mask, status, active, count, list.
        let mut bytes = [0; 48];
        put_name(&mut bytes, name)?;
        control(&self.0, SIOCGIFMEDIA, &mut bytes)?;
        let status = i32::from_le_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
        Ok(status & LINK == LINK)
    }
}

/// An epair(4), destroyed when dropped.
#[derive(Debug)]
pub struct Epair {
    interfaces: Interfaces,
    stem: String,
}

impl Epair {
    /// Makes a pair; neither end is up.
    ///
    /// # Errors
    /// Those of the cloner: `EINVAL` without epair(4) in the kernel.
    pub fn create() -> Result<Self> {
        let interfaces = Interfaces::open()?;
        let a = interfaces.create("epair")?;
        let stem = a.strip_suffix('a').ok_or(Errno::EBADMSG)?.to_string();
        Ok(Self { interfaces, stem })
    }

    /// The name of the first end.
    #[must_use]
    pub fn a(&self) -> String {
        self.end("a")
    }

    /// The name of the second end.
    #[must_use]
    pub fn b(&self) -> String {
        self.end("b")
    }

    /// The socket that the pair was made through.
    #[must_use]
    pub const fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    fn end(&self, which: &str) -> String {
        let mut name = self.stem.clone();
        name.push_str(which);
        name
    }
}

impl Drop for Epair {
    fn drop(&mut self) {
        // Drop cannot report a failure; the next test finds what is left.
        let _ = self.interfaces.destroy(&self.a());
    }
}
