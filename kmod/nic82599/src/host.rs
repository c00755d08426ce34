//! DMA to host memory.

/// The host memory that the NIC reaches by DMA.
pub trait Host {
    /// Reads `into.len()` bytes of host memory at the bus address `address`.
    fn dma_read(&mut self, address: u64, into: &mut [u8]);
    /// Writes `from` to host memory at the bus address `address`.
    fn dma_write(&mut self, address: u64, from: &[u8]);
}
