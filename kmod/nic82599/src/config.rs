//! The configuration of a NIC.

/// The medium of a NIC, which decides about its device id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Backplane: 10GBASE-KX4, device 10F7h. The ends negotiate flow control.
    Backplane,
    /// Fibre: an SFP+ module for 10GBASE-SR, device 10FBh. Nothing is
    /// negotiated at 10 Gb/s.
    Fibre,
}

impl Medium {
    /// Returns the device id.
    #[must_use]
    pub const fn device_id(self) -> u16 {
        match self {
            Self::Backplane => 0x10F7,
            Self::Fibre => 0x10FB,
        }
    }
}

/// The configuration of a NIC. [`Nic::new`](crate::Nic::new) allocates all of
/// its memory.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The permanent MAC address, in the EEPROM and in RAL0/RAH0 after reset.
    pub mac: [u8; 6],
    /// The medium of its port.
    pub medium: Medium,
    /// Whether it is a virtual function, device 10EDh, which has the port.
    pub is_virtual: bool,
    /// LAN ID (0 or 1), in STATUS: the PCI function number.
    pub port: u8,
    /// The capacity of the wire for transmitted frames, in bytes: at least
    /// [`MAX_FRAME`](crate::MAX_FRAME). While it is full, transmission waits. A
    /// packet to be segmented waits for room for all of its segments, so it must
    /// not be larger than the wire: the largest packet, of 256 KB, needs
    /// 512 KB.
    pub wire_bytes: usize,
    /// The capacity of the wire in frames, at least 1.
    pub wire_frames: usize,
    /// The most receive buffers that are tracked, so that a buffer that is
    /// posted twice is found. More are a violation.
    pub owned_buffers: usize,
    /// Whether EITR delays interrupts. Then time passes only by
    /// [`Nic::advance`](crate::Nic::advance). Without it there is no time and
    /// every interrupt fires at once.
    pub moderation: bool,
    /// Whether EIMS bit 31 gates all other causes (bits 30:16). The 82599's
    /// datasheet calls the bit reserved; Intel's drivers mask and unmask it
    /// around their handler as if it did (it did on the 82598). With it, a
    /// driver that forgets to unmask it goes without link interrupts.
    pub other_gate: bool,
    /// The number of reads of CTRL that show a reset in progress, before its bit
    /// clears itself.
    pub reset_reads: u32,
}

impl Config {
    /// Returns the default configuration with this permanent address.
    #[must_use]
    pub const fn new(mac: [u8; 6]) -> Self {
        Self {
            mac,
            medium: Medium::Backplane,
            is_virtual: false,
            port: 0,
            wire_bytes: 512 * 1024,
            wire_frames: 4096,
            owned_buffers: 16 * 1024,
            moderation: false,
            other_gate: true,
            reset_reads: 1,
        }
    }

    /// Returns the device id.
    #[must_use]
    pub const fn device_id(&self) -> u16 {
        if self.is_virtual {
            0x10ED
        } else {
            self.medium.device_id()
        }
    }
}
