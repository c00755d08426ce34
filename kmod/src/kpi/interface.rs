//! Network interfaces: see `shim/kdk_interface.h`.

use super::bindings;
use super::errno::Errno;
use super::resource::{Registration, Stop};
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::CStr;
#[cfg(iflib)]
use core::ffi::c_char;
use core::sync::atomic::{AtomicBool, Ordering};

/// Longest frame that a tap hands out, bytes.
const LONGEST: usize = 65536;

/// The CPU's counter, which ticks in nanoseconds where instructions are
/// counted (QEMU's `-icount`).
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: reads a register of the CPU's.
    unsafe { bindings::kdk_ticks() }
}

/// Whether an interface has a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// It does not know.
    Unknown,
    /// No.
    Down,
    /// Yes.
    Up,
}

/// What ifconfig(8) shows of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// `IFF_UP`: it is meant to be up.
    pub up: bool,
    /// `IFF_DRV_RUNNING`: its driver has initialised it.
    pub running: bool,
    /// Its link.
    pub link: LinkState,
    /// The medium that is in use, as ifconfig(8) names it: "10GBase-KX4".
    pub medium: &'static str,
    /// Bits per second.
    pub baudrate: u64,
    /// Bytes.
    pub mtu: u32,
    /// Frames received.
    pub ipackets: u64,
    /// Frames received with an error.
    pub ierrors: u64,
    /// Frames there was no room for.
    pub iqdrops: u64,
    /// Frames sent.
    pub opackets: u64,
    /// Frames that could not be sent.
    pub oerrors: u64,
}

/// An interface of the first vnet, by its name.
#[derive(Clone, Debug)]
pub struct Interface(CString);

impl Interface {
    /// The interface of this name, which need not be there yet.
    #[must_use]
    pub fn named(name: CString) -> Self {
        Self(name)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.to_str().unwrap_or("?")
    }

    #[cfg(iflib)]
    pub(super) fn raw_name(&self) -> *const c_char {
        self.0.as_ptr()
    }

    /// What is known of it now.
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface.
    pub fn state(&self) -> Result<State, Errno> {
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_interface = unsafe { core::mem::zeroed() };
        // SAFETY: the name is a C string; the structure is written during the
        // call.
        Errno::check(unsafe { bindings::kdk_interface_get(self.0.as_ptr(), &raw mut raw) })?;
        // SAFETY: a C string of the module's.
        let medium = unsafe { CStr::from_ptr(raw.medium) }
            .to_str()
            .unwrap_or("?");
        Ok(State {
            up: raw.flags & bindings::IFF_UP != 0,
            running: raw.flags & bindings::IFF_DRV_RUNNING != 0,
            link: match raw.link_state {
                bindings::LINK_STATE_UP => LinkState::Up,
                bindings::LINK_STATE_DOWN => LinkState::Down,
                _ => LinkState::Unknown,
            },
            medium,
            baudrate: raw.baudrate,
            mtu: raw.mtu,
            ipackets: raw.ipackets,
            ierrors: raw.ierrors,
            iqdrops: raw.iqdrops,
            opackets: raw.opackets,
            oerrors: raw.oerrors,
        })
    }

    /// Brings it up or down, as ifconfig(8) does.
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface, or what its driver says.
    pub fn set_up(&self, up: bool) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe { bindings::kdk_interface_set_up(self.0.as_ptr(), up.into()) })
    }

    /// Sets the longest payload of a frame, bytes. A running driver is
    /// initialised anew.
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface, or what its driver says.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe { bindings::kdk_interface_set_mtu(self.0.as_ptr(), mtu) })
    }

    /// Whether segments of one TCP stream that are received together are
    /// joined. A running driver is initialised anew.
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface, or what its driver says.
    pub fn set_lro(&self, on: bool) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe { bindings::kdk_interface_set_lro(self.0.as_ptr(), on.into()) })
    }

    /// What iflib(9) has counted of it.
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface.
    #[cfg(iflib)]
    pub fn counted(&self) -> Result<Counted, Errno> {
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_counted = unsafe { core::mem::zeroed() };
        // SAFETY: the name is a C string; the structure is written during the
        // call.
        Errno::check(unsafe { bindings::kdk_interface_counted(self.0.as_ptr(), &raw mut raw) })?;
        Ok(Counted {
            packets: raw.ipackets,
            bytes: raw.ibytes,
            errors: raw.ierrors,
        })
    }

    /// Joins or leaves the group of the Ethernet address 01:00:5e:00:00:`group`
    /// (RFC 1112).
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface, `ENOENT` for a group that was
    /// not joined, or what else the kernel says.
    pub fn multicast(&self, group: u8, join: bool) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe {
            bindings::kdk_interface_multicast(self.0.as_ptr(), group, join.into())
        })
    }

    /// Hands it a whole Ethernet frame to send, without a checksum.
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface, or what its driver says.
    pub fn transmit(&self, frame: &[u8]) -> Result<(), Errno> {
        let (at, length) = (frame.as_ptr().cast(), frame.len());
        // SAFETY: the name is a C string, and the frame is copied.
        Errno::check(unsafe { bindings::kdk_interface_transmit(self.0.as_ptr(), at, length) })
    }

    /// Takes all that it receives from now on; the stack gets none of it.
    ///
    /// # Errors
    /// `ENXIO` when there is no such interface, `EBUSY` when it has a tap,
    /// `EAGAIN` when the test has too many resources already.
    pub fn tap(&self) -> Result<Tap, Errno> {
        let mut raw = core::ptr::null_mut();
        // SAFETY: the name is a C string; the pointer is written.
        Errno::check(unsafe { bindings::kdk_tap_open(self.0.as_ptr(), &raw mut raw) })?;
        let open = Box::new(Open {
            raw,
            closed: AtomicBool::new(false),
        });
        // SAFETY: a box's content does not move; `drop` removes the
        // registration first.
        let registration = unsafe { Registration::new(&raw const *open) };
        let registration = registration.inspect_err(|_| open.stop())?;
        Ok(Tap {
            registration: Some(registration),
            open,
            bytes: vec![0; LONGEST],
        })
    }
}

/// What iflib(9) has counted of received frames; drivers may show something
/// else, such as what their card has counted.
#[cfg(iflib)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Good frames.
    pub packets: u64,
    /// Bytes of good frames.
    pub bytes: u64,
    /// Bad frames.
    pub errors: u64,
}

/// A thread, to be told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadId(usize);

impl ThreadId {
    pub(super) fn of(thread: *const bindings::thread) -> Option<Self> {
        (!thread.is_null()).then(|| Self(thread.addr()))
    }
}

/// A frame that an interface has received, as its driver gave it to the stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// From the destination's address to the end of the payload: all that is
    /// in the chain of mbufs.
    pub bytes: Vec<u8>,
    /// How many bytes that is by the packet header.
    pub header: usize,
    /// Whether it was received by the interface that has the tap.
    pub mine: bool,
    /// The hash of its flow that the card has found.
    pub flow: u32,
    /// `M_HASHTYPE_*`.
    pub hash_type: u32,
    /// `CSUM_*`: which checksums the card has found right.
    pub checksums: u32,
    /// The VLAN tag that the card has taken out.
    pub vlan: Option<u16>,
}

impl Tapped {
    /// Which checksums the card has found right.
    #[must_use]
    pub const fn valid(&self) -> Checksums {
        Checksums {
            network: self.checksums & bindings::CSUM_L3_VALID != 0,
            transport: self.checksums & bindings::CSUM_L4_VALID != 0,
        }
    }
}

/// Checksums of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// IP's.
    pub network: bool,
    /// TCP's or UDP's.
    pub transport: bool,
}

struct Open {
    raw: *mut bindings::kdk_tap,
    closed: AtomicBool,
}

// SAFETY: closing waits for whoever is in the tap.
unsafe impl Stop for Open {
    const WHAT: &'static str = "tap";

    fn stop(&self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            // SAFETY: opened in `Interface::tap`, closed once.
            unsafe { bindings::kdk_tap_close(self.raw) }
        }
    }
}

/// Takes what an interface receives. It has to go before the interface does.
pub struct Tap {
    registration: Option<Registration>,
    open: Box<Open>,
    bytes: Vec<u8>,
}

// SAFETY: the tap does its own locking.
unsafe impl Send for Tap {}

impl Tap {
    /// The oldest frame that was received, if there is one.
    pub fn take(&mut self) -> Option<Tapped> {
        if self.open.closed.load(Ordering::SeqCst) {
            return None;
        }
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_tapped = unsafe { core::mem::zeroed() };
        let (at, room) = (self.bytes.as_mut_ptr().cast(), self.bytes.len());
        // SAFETY: the tap is open; both are written during the call.
        let error = unsafe { bindings::kdk_tap_take(self.open.raw, at, room, &raw mut raw) };
        (error == 0).then(|| Tapped {
            bytes: self.bytes.get(..raw.length).unwrap_or_default().to_vec(),
            header: raw.header,
            mine: raw.mine != 0,
            flow: raw.flowid,
            hash_type: raw.hash_type,
            checksums: raw.csum_flags,
            vlan: u16::try_from(raw.vlan).ok(),
        })
    }

    /// How many frames have come so far, and when the last one did, by
    /// [`ticks`].
    #[must_use]
    pub fn arrived(&self) -> (u64, u64) {
        let mut last = 0;
        // SAFETY: the tap is open; the number is written during the call.
        let arrived = unsafe { bindings::kdk_tap_arrived(self.open.raw, &raw mut last) };
        (arrived, last)
    }

    /// The frame with this number, big-endian at the offset `at`, waits before
    /// the tap takes it, and with it the thread that has brought it, until
    /// [`let_go`](Self::let_go).
    pub fn hold(&self, at: usize, number: u32) {
        // SAFETY: the tap is open.
        unsafe { bindings::kdk_tap_hold(self.open.raw, at, number) }
    }

    /// Who is held.
    #[must_use]
    pub fn held(&self) -> Option<ThreadId> {
        // SAFETY: the tap is open.
        ThreadId::of(unsafe { bindings::kdk_tap_held(self.open.raw) })
    }

    /// Holds nobody any more.
    pub fn let_go(&self) {
        // SAFETY: the tap is open.
        unsafe { bindings::kdk_tap_let_go(self.open.raw) }
    }

    /// Frames that the tap had no room for.
    #[must_use]
    pub fn lost(&self) -> u32 {
        // SAFETY: the tap is open.
        unsafe { bindings::kdk_tap_lost(self.open.raw) }
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.open.stop();
        self.registration = None;
    }
}
