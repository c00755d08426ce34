//! Network interfaces and taps: see `shim/kdk_interface.h`.

use super::bindings;
use super::errno::Errno;
use super::handle::{Handle, Kind};
use alloc::ffi::CString;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int, c_void};

/// The longest frame that a tap returns, in bytes.
const LONGEST: usize = 65536;

/// Returns the TSC, which counts nanoseconds under QEMU's `-icount`.
#[must_use]
pub fn ticks() -> u64 {
    // SAFETY: reads a register.
    unsafe { bindings::kdk_ticks() }
}

/// The link state of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The value `LINK_STATE_UNKNOWN`.
    Unknown,
    /// The value `LINK_STATE_DOWN`.
    Down,
    /// The value `LINK_STATE_UP`.
    Up,
}

/// The state of an interface, as ifconfig(8) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// `IFF_UP`: it is administratively up.
    pub up: bool,
    /// `IFF_DRV_RUNNING`: its driver has initialised it.
    pub running: bool,
    /// The link state.
    pub link: LinkState,
    /// The active medium, as ifconfig(8) names it: "10GBase-KX4".
    pub medium: &'static str,
    /// The speed in bits per second.
    pub baudrate: u64,
    /// The MTU in bytes.
    pub mtu: u32,
    /// The number of received frames.
    pub ipackets: u64,
    /// Frames received with an error.
    pub ierrors: u64,
    /// Frames dropped for want of room.
    pub iqdrops: u64,
    /// The number of transmitted frames.
    pub opackets: u64,
    /// Frames that could not be sent.
    pub oerrors: u64,
}

/// An interface of vnet0, by its name.
#[derive(Clone, Debug)]
pub struct Interface(CString);

impl Interface {
    /// Names an interface, which need not exist yet.
    #[must_use]
    pub fn named(name: CString) -> Self {
        Self(name)
    }

    /// Returns its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.to_str().unwrap_or("?")
    }

    pub(super) fn raw_name(&self) -> *const c_char {
        self.0.as_ptr()
    }

    /// Returns its state.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface.
    pub fn state(&self) -> Result<State, Errno> {
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_interface = unsafe { core::mem::zeroed() };
        // SAFETY: the name is a C string; the structure is written during the
        // call.
        Errno::check(unsafe { bindings::kdk_interface_get(self.0.as_ptr(), &raw mut raw) })?;
        // SAFETY: a static C string.
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

    /// Brings it up or down, like `ifconfig up` and `down`.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface, or the driver's error.
    pub fn set_up(&self, up: bool) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe { bindings::kdk_interface_set_up(self.0.as_ptr(), up.into()) })
    }

    /// Sets the MTU in bytes. A running driver reinitializes.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface, or the driver's error.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe { bindings::kdk_interface_set_mtu(self.0.as_ptr(), mtu) })
    }

    /// Enables or disables large receive offload, see tcp_lro(9). A running
    /// driver reinitializes.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface, or the driver's error.
    pub fn set_lro(&self, on: bool) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe { bindings::kdk_interface_set_lro(self.0.as_ptr(), on.into()) })
    }

    /// Returns the counters of iflib(9).
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface.
    #[cfg(iflib)]
    pub fn iflib_counters(&self) -> Result<IflibCounters, Errno> {
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_counted = unsafe { core::mem::zeroed() };
        // SAFETY: the name is a C string; the structure is written during the
        // call.
        Errno::check(unsafe {
            bindings::kdk_interface_iflib_counters(self.0.as_ptr(), &raw mut raw)
        })?;
        Ok(IflibCounters {
            packets: raw.ipackets,
            bytes: raw.ibytes,
            errors: raw.ierrors,
        })
    }

    /// Joins or leaves the group of the Ethernet address 01:00:5e:00:00:`group`
    /// (RFC 1112).
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface, `ENOENT` for a group that
    /// was not joined, or another error of the kernel.
    pub fn multicast(&self, group: u8, join: bool) -> Result<(), Errno> {
        // SAFETY: the name is a C string.
        Errno::check(unsafe {
            bindings::kdk_interface_multicast(self.0.as_ptr(), group, join.into())
        })
    }

    /// Transmits an Ethernet frame, without frame check sequence.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface, or the driver's error.
    pub fn transmit(&self, frame: &[u8]) -> Result<(), Errno> {
        let (at, length) = (frame.as_ptr().cast(), frame.len());
        // SAFETY: the name is a C string, and the frame is copied.
        Errno::check(unsafe { bindings::kdk_interface_transmit(self.0.as_ptr(), at, length) })
    }

    /// Opens a tap, which receives all frames in place of the stack.
    ///
    /// # Errors
    /// Returns `ENXIO` if there is no such interface, `EBUSY` if it has a tap,
    /// and `EAGAIN` if the test has too many resources already.
    pub fn tap(&self) -> Result<Tap, Errno> {
        let mut raw = core::ptr::null_mut();
        // SAFETY: the name is a C string; the pointer is written.
        Errno::check(unsafe { bindings::kdk_tap_open(self.0.as_ptr(), &raw mut raw) })?;
        // SAFETY: opened above, and closed by the handle alone.
        let handle = unsafe { Handle::new(raw) }?;
        Ok(Tap {
            handle,
            buffer: FrameBuffer::new(LONGEST),
        })
    }
}

/// Memory for the longest frame that a call to C returns.
pub(super) struct FrameBuffer(Vec<u8>);

impl FrameBuffer {
    /// Allocates `longest` bytes.
    pub(super) fn new(longest: usize) -> Self {
        Self(vec![0; longest])
    }

    /// Calls `read` with the buffer, its length, and a zeroed structure.
    /// Returns the structure and the bytes that it counts, unless `read`
    /// fails.
    ///
    /// # Safety
    /// All-zero bytes are a valid `T`, and `read` writes within the buffer.
    pub(super) unsafe fn read<T>(
        &mut self,
        read: impl FnOnce(*mut c_void, usize, *mut T) -> c_int,
        length: impl FnOnce(&T) -> usize,
    ) -> Option<(T, Vec<u8>)> {
        // SAFETY: the caller promises that zeroes are a `T`.
        let mut raw = unsafe { core::mem::zeroed() };
        let error = read(self.0.as_mut_ptr().cast(), self.0.len(), &raw mut raw);
        (error == 0).then(|| {
            let bytes = self.0.get(..length(&raw)).unwrap_or_default().to_vec();
            (raw, bytes)
        })
    }
}

/// Counters of received frames by iflib(9). Drivers may report other numbers,
/// such as those of their NIC.
#[cfg(iflib)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IflibCounters {
    /// The number of good frames.
    pub packets: u64,
    /// Bytes of good frames.
    pub bytes: u64,
    /// The number of bad frames.
    pub errors: u64,
}

/// The identity of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadId(usize);

impl ThreadId {
    pub(super) fn of(thread: *const bindings::thread) -> Option<Self> {
        (!thread.is_null()).then(|| Self(thread.expose_provenance()))
    }

    /// Returns whether it is a task queue's, and has no task. The queue must
    /// exist.
    #[cfg(not(iflib))]
    #[must_use]
    pub fn waits_for_tasks(self) -> bool {
        // SAFETY: the thread exists as long as its queue.
        unsafe {
            bindings::kdk_waits_for_tasks(core::ptr::with_exposed_provenance_mut(self.0)) != 0
        }
    }
}

/// A frame that an interface has received, as its driver passed it to the
/// stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tapped {
    /// All bytes of the mbuf chain: from the destination address to the end of
    /// the payload.
    pub bytes: Vec<u8>,
    /// The length by the packet header.
    pub header: usize,
    /// Whether its `rcvif` is the interface of the tap.
    pub mine: bool,
    /// The RSS hash that the NIC reported.
    pub flow: u32,
    /// The type of the hash: `M_HASHTYPE_*`.
    pub hash_type: u32,
    /// `CSUM_*` flags: the checksums that the NIC reported as valid.
    pub checksums: u32,
    /// The VLAN tag that the NIC stripped.
    pub vlan: Option<u16>,
}

impl Tapped {
    /// Returns the checksums that the NIC reported as valid.
    #[must_use]
    pub const fn valid(&self) -> Checksums {
        Checksums {
            network: self.checksums & bindings::CSUM_L3_VALID != 0,
            transport: self.checksums & bindings::CSUM_L4_VALID != 0,
        }
    }
}

/// Valid checksums of a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checksums {
    /// The checksum of the IP header.
    pub network: bool,
    /// The checksum of TCP or UDP.
    pub transport: bool,
}

struct OpenTap;

// SAFETY: closing waits for the threads that are in the tap.
unsafe impl Kind for OpenTap {
    type Raw = *mut bindings::kdk_tap;
    const WHAT: &'static str = "tap";

    unsafe fn close(raw: Self::Raw) {
        // SAFETY: the caller promises that the tap is open.
        unsafe { bindings::kdk_tap_close(raw) }
    }
}

/// Receives frames in place of the stack. Drop it before its interface
/// detaches.
pub struct Tap {
    handle: Handle<OpenTap>,
    buffer: FrameBuffer,
}

// SAFETY: the tap has a mutex of its own.
unsafe impl Send for Tap {}

impl Tap {
    /// Removes and returns the oldest frame that was received, if there is
    /// one.
    pub fn take(&mut self) -> Option<Tapped> {
        let tap = self.handle.raw()?;
        // SAFETY: the tap is open; the structure consists of numbers; at most
        // the room of the buffer is written.
        let (raw, bytes) = unsafe {
            self.buffer.read(
                |at, room, raw| bindings::kdk_tap_take(tap, at, room, raw),
                |raw: &bindings::kdk_tapped| raw.length,
            )
        }?;
        Some(Tapped {
            bytes,
            header: raw.header,
            mine: raw.mine != 0,
            flow: raw.flowid,
            hash_type: raw.hash_type,
            checksums: raw.csum_flags,
            vlan: u16::try_from(raw.vlan).ok(),
        })
    }

    /// Returns the number of frames that have arrived so far, and the time of
    /// the last one by [`ticks`].
    #[must_use]
    pub fn arrived(&self) -> (u64, u64) {
        let mut last = 0;
        let arrived = self.handle.raw().map_or(0, |tap| {
            // SAFETY: the tap is open; the number is written during the call.
            unsafe { bindings::kdk_tap_arrived(tap, &raw mut last) }
        });
        (arrived, last)
    }

    /// Blocks the thread that delivers the frame with this number, big-endian
    /// at the offset `at`, until [`unblock`](Self::unblock). The tap takes the
    /// frame afterwards.
    pub fn block_on(&self, at: usize, number: u32) {
        if let Some(tap) = self.handle.raw() {
            // SAFETY: the tap is open.
            unsafe { bindings::kdk_tap_block_on(tap, at, number) }
        }
    }

    /// Returns the thread that is blocked.
    #[must_use]
    pub fn blocked(&self) -> Option<ThreadId> {
        // SAFETY: the tap is open.
        ThreadId::of(unsafe { bindings::kdk_tap_blocked(self.handle.raw()?) })
    }

    /// Unblocks that thread, and blocks no other.
    pub fn unblock(&self) {
        if let Some(tap) = self.handle.raw() {
            // SAFETY: the tap is open.
            unsafe { bindings::kdk_tap_unblock(tap) }
        }
    }

    /// Returns the number of frames that the tap had no room for.
    #[must_use]
    pub fn lost(&self) -> u32 {
        self.handle.raw().map_or(0, |tap| {
            // SAFETY: the tap is open.
            unsafe { bindings::kdk_tap_lost(tap) }
        })
    }
}
