//! What a card is made of.

/// What a card is made of. All of the model's memory is allocated for it in
/// [`Nic::new`](crate::Nic::new).
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// The permanent MAC address, in the EEPROM and in RAL0/RAH0 after reset.
    pub mac: [u8; 6],
    /// LAN ID (0 or 1), in STATUS: the PCI function number.
    pub port: u8,
    /// Bytes that the wire holds of transmitted frames until they are taken.
    /// When it is full, transmission waits. At least one frame of
    /// [`MAX_FRAME`](crate::MAX_FRAME) bytes. A packet to be segmented waits
    /// until all of its segments have room, so one that is larger than the
    /// wire waits for ever: give it 512 KB for the card's largest, of 256 KB.
    pub wire_bytes: usize,
    /// Frames that the wire holds, at least 1; likewise.
    pub wire_frames: usize,
    /// Receive buffers that can be watched for being armed twice. Beyond it
    /// they go unwatched, which is a violation of its own.
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
    /// Reads of CTRL that show a reset as still going on, before its bit
    /// clears itself.
    pub reset_reads: u32,
}

impl Config {
    /// A card of usual size with this permanent address.
    #[must_use]
    pub const fn new(mac: [u8; 6]) -> Self {
        Self {
            mac,
            port: 0,
            wire_bytes: 512 * 1024,
            wire_frames: 4096,
            owned_buffers: 16 * 1024,
            moderation: false,
            other_gate: true,
            reset_reads: 1,
        }
    }
}
