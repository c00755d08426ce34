//! A machine with memory and a NIC in it, and a small driver for it.

use kdk_nic82599::registers::*;
use kdk_nic82599::{Config, Direction, FrameErrors, Host, MAX_FRAME, Nic, Received, Transmitted};

/// The NIC's address.
pub const MAC: [u8; 6] = [0x02, 0x11, 0x22, 0x33, 0x44, 0x55];
/// It has another owner.
pub const PEER: [u8; 6] = [0x02, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE];

/// Where memory begins on the bus: an address of 0 is a defect.
const START: u64 = 0x10_0000;

/// Memory. An access outside of it ends the test.
pub struct Memory {
    bytes: Vec<u8>,
    next: usize,
}

impl Memory {
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes: vec![0xA5; bytes],
            next: 0,
        }
    }

    /// Allocates `bytes` bytes at a multiple of 128.
    pub fn allocate(&mut self, bytes: usize) -> u64 {
        let at = self.next;
        self.next += bytes.next_multiple_of(128);
        assert!(self.next <= self.bytes.len(), "the test's memory is full");
        START + at as u64
    }

    pub fn get(&self, address: u64, length: usize) -> &[u8] {
        let at = usize::try_from(address - START).unwrap();
        &self.bytes[at..at + length]
    }

    pub fn get_mut(&mut self, address: u64, length: usize) -> &mut [u8] {
        let at = usize::try_from(address - START).unwrap();
        &mut self.bytes[at..at + length]
    }

    pub fn word(&self, address: u64) -> u32 {
        u32::from_le_bytes(self.get(address, 4).try_into().unwrap())
    }

    pub fn set_u64(&mut self, address: u64, value: u64) {
        self.get_mut(address, 8)
            .copy_from_slice(&value.to_le_bytes());
    }
}

impl Host for Memory {
    fn dma_read(&mut self, address: u64, into: &mut [u8]) {
        into.copy_from_slice(self.get(address, into.len()));
    }

    fn dma_write(&mut self, address: u64, from: &[u8]) {
        self.get_mut(address, from.len()).copy_from_slice(from);
    }
}

/// A ring in memory, with a buffer for each descriptor.
pub struct Ring {
    pub base: u64,
    pub entries: u32,
    pub buffers: Vec<u64>,
    pub buffer: usize,
    /// The next descriptor that the driver looks at, or fills.
    pub at: u32,
}

impl Ring {
    fn new(memory: &mut Memory, entries: u32, buffer: usize) -> Self {
        let base = memory.allocate(entries as usize * 16);
        memory.get_mut(base, entries as usize * 16).fill(0);
        let buffers = (0..entries).map(|_| memory.allocate(buffer)).collect();
        Self {
            base,
            entries,
            buffers,
            buffer,
            at: 0,
        }
    }

    pub fn descriptor(&self, index: u32) -> u64 {
        self.base + u64::from(index) * 16
    }

    pub fn next(&self, index: u32) -> u32 {
        (index + 1) % self.entries
    }
}

/// A received frame, as a driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    pub bytes: Vec<u8>,
    pub descriptors: u32,
    /// First and second word, status and errors, tag, of the last descriptor.
    pub kind: u32,
    pub hash: u32,
    pub status: u32,
    pub tag: u16,
}

/// A NIC in a machine.
pub struct Machine {
    pub nic: Nic,
    pub memory: Memory,
    pub receive: Vec<Ring>,
    pub transmit: Vec<Ring>,
}

impl Machine {
    /// A NIC after power-up.
    pub fn new(config: Config) -> Self {
        Self {
            nic: Nic::new(config),
            memory: Memory::new(16 << 20),
            receive: Vec::new(),
            transmit: Vec::new(),
        }
    }

    /// With `queues` queue pairs of 16 descriptors that run, queue n's
    /// interrupts on vector n, and the link up.
    pub fn running(queues: u16) -> Self {
        let mut machine = Self::new(Config::new(MAC));
        machine.bring_up(queues, 16, 2);
        machine
    }

    /// Queues of `entries` descriptors, with receive buffers of `kilobytes`.
    pub fn bring_up(&mut self, queues: u16, entries: u32, kilobytes: u32) {
        self.write(FCTRL, FCTRL_BAM);
        self.write(DMATXCTL, self.nic.peek(DMATXCTL) | DMATXCTL_TE);
        self.write(GPIE, GPIE_MSIX_MODE | GPIE_EIAME | GPIE_OCD);
        self.write(RXCSUM, RXCSUM_PCSD);
        for queue in 0..queues {
            self.add_receive_ring(queue, entries, kilobytes);
            self.add_transmit_ring(queue, entries);
        }
        for nth in 0..queues.div_ceil(2) {
            let (even, odd) = (u32::from(nth) * 2, u32::from(nth) * 2 + 1);
            let vectors = ((0x80 | odd) * 0x0101_0000) | ((0x80 | even) * 0x0101);
            self.write(ivar(u32::from(nth)), vectors);
        }
        self.write(IVAR_MISC, (0x80 | u32::from(queues)) << 8);
        self.write(EIAC, 0x4000_FFFF);
        self.write(EIMS_EX[0], 0xFFFF);
        self.write(RXCTRL, RXCTRL_RXEN);
        assert_eq!(self.nic.violations().seen(), []);
    }

    /// RSS over `queues` queues with a key of a kind.
    pub fn scale(&mut self, queues: u32) {
        for nth in 0..10 {
            self.write(rssrk(nth), 0x6D5A_56DAu32.rotate_left(3 * nth));
        }
        for nth in 0..32 {
            let entry = |at: u32| ((4 * nth + at) % queues) << (8 * at);
            self.write(reta(nth), entry(0) | entry(1) | entry(2) | entry(3));
        }
        self.write(MRQC, 1 | 3 << 16 | 3 << 20);
    }

    pub fn add_receive_ring(&mut self, queue: u16, entries: u32, kilobytes: u32) {
        let ring = Ring::new(&mut self.memory, entries, kilobytes as usize * 1024);
        self.start_receive_ring(queue, &ring);
        self.receive.push(ring);
    }

    /// Programs and enables a ring, and gives the NIC all but one
    /// descriptor.
    pub fn start_receive_ring(&mut self, queue: u16, ring: &Ring) {
        self.write(
            rdbal(queue),
            u32::try_from(ring.base & 0xFFFF_FFFF).unwrap(),
        );
        self.write(rdbah(queue), u32::try_from(ring.base >> 32).unwrap());
        self.write(rdlen(queue), ring.entries * 16);
        let size = u32::try_from(ring.buffer / 1024).unwrap();
        self.write(srrctl(queue), 1 << 25 | size);
        self.write(rdh(queue), 0);
        self.write(rdt(queue), 0);
        self.write(rxdctl(queue), XDCTL_ENABLE);
        for (index, buffer) in (0..).zip(&ring.buffers) {
            self.memory.set_u64(ring.descriptor(index), *buffer);
            self.memory.set_u64(ring.descriptor(index) + 8, 0);
        }
        self.write(rdt(queue), ring.entries - 1);
    }

    pub fn add_transmit_ring(&mut self, queue: u16, entries: u32) {
        let ring = Ring::new(&mut self.memory, entries, 4096);
        self.write(
            tdbal(queue),
            u32::try_from(ring.base & 0xFFFF_FFFF).unwrap(),
        );
        self.write(tdbah(queue), u32::try_from(ring.base >> 32).unwrap());
        self.write(tdlen(queue), entries * 16);
        self.write(tdh(queue), 0);
        self.write(tdt(queue), 0);
        self.write(txdctl(queue), XDCTL_ENABLE);
        self.transmit.push(ring);
    }

    pub fn read(&mut self, register: u32) -> u32 {
        self.nic.read(register)
    }

    pub fn write(&mut self, register: u32, value: u32) {
        self.nic.write(register, value, &mut self.memory);
    }

    pub fn inject(&mut self, frame: &[u8]) -> Received {
        self.inject_bad(frame, FrameErrors::NONE)
    }

    pub fn inject_bad(&mut self, frame: &[u8], errors: FrameErrors) -> Received {
        let received = self.nic.receive(frame, errors, &mut self.memory);
        self.nic.invariants().unwrap();
        received
    }

    /// The next received frame of a queue, if there is one. Its descriptors
    /// are not given back.
    pub fn next_frame(&mut self, queue: u16) -> Option<Arrived> {
        let ring = &mut self.receive[usize::from(queue)];
        let mut arrived = Arrived {
            bytes: Vec::new(),
            descriptors: 0,
            kind: 0,
            hash: 0,
            status: 0,
            tag: 0,
        };
        loop {
            let descriptor = ring.descriptor(ring.at);
            let status = self.memory.word(descriptor + 8);
            if status & 1 == 0 {
                assert_eq!(arrived.descriptors, 0, "a frame without its end");
                return None;
            }
            let length = self.memory.word(descriptor + 12);
            let buffer = ring.buffers[ring.at as usize];
            let bytes = self.memory.get(buffer, (length & 0xFFFF) as usize);
            arrived.bytes.extend(bytes);
            arrived.descriptors += 1;
            arrived.kind = self.memory.word(descriptor);
            arrived.hash = self.memory.word(descriptor + 4);
            arrived.status = status;
            arrived.tag = (length >> 16) as u16;
            // What was seen is not seen again when the ring comes round.
            self.memory.get_mut(descriptor + 8, 4).fill(0);
            ring.at = ring.next(ring.at);
            if status & 2 != 0 {
                return Some(arrived);
            }
        }
    }

    /// Gives the NIC the descriptors that it has used and the driver has
    /// seen, with their own buffers.
    pub fn refill(&mut self, queue: u16) {
        let ring = &self.receive[usize::from(queue)];
        let mut index = self.nic.peek(rdt(queue));
        let last = (ring.at + ring.entries - 1) % ring.entries;
        while index != last {
            let buffer = ring.buffers[index as usize];
            self.memory.set_u64(ring.descriptor(index), buffer);
            self.memory.set_u64(ring.descriptor(index) + 8, 0);
            index = ring.next(index);
        }
        self.write(rdt(queue), last);
        self.nic.invariants().unwrap();
    }

    /// Puts a descriptor in a transmit ring, without a doorbell.
    pub fn post(&mut self, queue: u16, words: [u32; 4]) -> u32 {
        let ring = &mut self.transmit[usize::from(queue)];
        let (index, descriptor) = (ring.at, ring.descriptor(ring.at));
        for (at, word) in (0..).zip(words) {
            let place = self.memory.get_mut(descriptor + 4 * at, 4);
            place.copy_from_slice(&word.to_le_bytes());
        }
        ring.at = ring.next(ring.at);
        index
    }

    /// Puts a buffer's descriptor in a transmit ring.
    pub fn post_data(&mut self, queue: u16, bytes: &[u8], command: u32, options: u32) -> u32 {
        let ring = &self.transmit[usize::from(queue)];
        let buffer = ring.buffers[ring.at as usize];
        self.memory
            .get_mut(buffer, bytes.len())
            .copy_from_slice(bytes);
        let length = u32::try_from(bytes.len()).unwrap();
        let low = u32::try_from(buffer).unwrap();
        self.post(queue, [low, 0, command | length, options])
    }

    pub fn doorbell(&mut self, queue: u16) {
        let tail = self.transmit[usize::from(queue)].at;
        self.write(tdt(queue), tail);
    }

    /// Posts one frame without offloads, and rings.
    pub fn send(&mut self, queue: u16, frame: &[u8]) {
        let payload = u32::try_from(frame.len()).unwrap() << 14;
        self.post_data(queue, frame, DATA | END, payload);
        self.doorbell(queue);
    }

    pub fn taken(&mut self) -> Option<(Vec<u8>, Transmitted)> {
        let mut frame = vec![0; MAX_FRAME];
        let transmitted = self.nic.take_transmitted(&mut frame)?;
        frame.truncate(transmitted.length);
        Some((frame, transmitted))
    }

    pub fn all_taken(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.taken().map(|(frame, _)| frame)).collect()
    }

    pub fn interrupts(&mut self) -> Vec<u16> {
        std::iter::from_fn(|| self.nic.take_interrupt()).collect()
    }

    pub fn owned(&self, queue: u16) -> u32 {
        self.nic.owned(Direction::Receive, queue)
    }
}

/// Command bits of a data descriptor: advanced, data, insert FCS.
pub const DATA: u32 = 1 << 29 | 3 << 20 | 1 << 25;
/// End of packet, report status.
pub const END: u32 = 1 << 24 | 1 << 27;
/// Insert a VLAN tag.
pub const VLE: u32 = 1 << 30;
/// A segment of TCP.
pub const TSE: u32 = 1 << 31;

/// A context descriptor: tag, lengths of headers, IPv4 or 6, TCP or UDP, MSS.
pub fn context(tag: u16, mac_ip_l4: [u32; 3], ipv4: bool, tcp: bool, mss: u32) -> [u32; 4] {
    [
        u32::from(tag) << 16 | mac_ip_l4[0] << 9 | mac_ip_l4[1],
        0,
        1 << 29 | 2 << 20 | u32::from(ipv4) << 10 | u32::from(tcp) << 11,
        mss << 16 | mac_ip_l4[2] << 8,
    ]
}

/// A frame of `length` bytes from the peer, with a number in it.
pub fn numbered(destination: [u8; 6], number: u32, length: usize) -> Vec<u8> {
    let mut frame = [&destination[..], &PEER, &[0x88, 0xB5]].concat();
    frame.extend(number.to_be_bytes());
    frame.extend((18..length).map(|at| u8::try_from(at % 251).unwrap()));
    frame
}

/// The sum of 16-bit words, folded, to check checksums independently.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}

/// An IPv4 frame to the NIC from 10.0.0.`host`, with right checksums.
pub fn ipv4(protocol: u8, host: u8, port: u16, payload: &[u8]) -> Vec<u8> {
    let (header, at) = if protocol == 6 { (20, 16) } else { (8, 6) };
    let length = u16::try_from(header + payload.len()).unwrap();
    let mut ip = vec![0x45, 0];
    ip.extend((length + 20).to_be_bytes());
    ip.extend([0, 7, 0, 0, 64, protocol, 0, 0, 10, 0, 0, host, 10, 0, 0, 1]);
    let check = !sum(&[&ip]);
    ip[10..12].copy_from_slice(&check.to_be_bytes());
    let mut segment = vec![0; header];
    segment[..2].copy_from_slice(&port.to_be_bytes());
    segment[2..4].copy_from_slice(&80u16.to_be_bytes());
    if protocol == 6 {
        segment[12] = 0x50;
    } else {
        segment[4..6].copy_from_slice(&length.to_be_bytes());
    }
    segment.extend(payload);
    let pseudo = [&ip[12..20], &[0, protocol], &length.to_be_bytes()].concat();
    let check = !sum(&[&pseudo, &segment]);
    segment[at..at + 2].copy_from_slice(&check.to_be_bytes());
    let mut frame = [&MAC[..], &PEER, &[8, 0], &ip, &segment].concat();
    frame.resize(frame.len().max(60), 0);
    frame
}
