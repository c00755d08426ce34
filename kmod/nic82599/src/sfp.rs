//! The SFP+ module of a fibre NIC, on the two-wire bus that software drives bit by
//! bit through I2CCTL.
//!
//! Datasheet: register I2CCTL. The module's memory is that of SFF-8472 (address
//! A0h).

/// `I2CCTL`: the clock and the data line, as they are and as software drives them.
const CLOCK_IN: u32 = 1;
const CLOCK_OUT: u32 = 1 << 1;
const DATA_IN: u32 = 1 << 2;
const DATA_OUT: u32 = 1 << 3;
/// The bits that show the lines.
pub const LINES: u32 = CLOCK_IN | DATA_IN;

/// The address of the module on the bus.
const ADDRESS: u8 = 0xA0;

/// The bytes of the module that software reads. All others are 0.
const MEMORY: &[(u8, u8)] = &[
    // SFP or SFP+; 10GBASE-SR; the vendor's OUI, 00:1b:21.
    (0, 3),
    (3, 0x10),
    (37, 0x00),
    (38, 0x1B),
    (39, 0x21),
];

/// What the module does on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits for a start condition.
    Idle,
    /// It receives a byte.
    Receiving { byte: Received, bits: u8, value: u8 },
    /// It acknowledges a byte until the clock falls again, and does `next`.
    Acknowledging { next: Next, clocked: bool },
    /// It sends a byte: this number of bits is left.
    Sending { left: u8, value: u8 },
}

/// The byte that the module receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Received {
    Address,
    Offset,
}

/// What follows an acknowledged byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Offset,
    Send,
    Idle,
}

/// The module of a fibre NIC.
#[derive(Debug)]
pub struct Module {
    state: State,
    offset: u8,
    clock: bool,
    /// The data line as software drives it.
    data: bool,
    /// Whether the module pulls the data line low.
    low: bool,
}

impl Module {
    pub const fn new() -> Self {
        Self {
            state: State::Idle,
            offset: 0,
            clock: true,
            data: true,
            low: false,
        }
    }

    /// Returns the bits of I2CCTL that show the lines.
    pub const fn lines(&self) -> u32 {
        let clock = if self.clock { CLOCK_IN } else { 0 };
        let data = if self.data && !self.low { DATA_IN } else { 0 };
        clock | data
    }

    /// Handles a write of I2CCTL.
    pub fn write(&mut self, value: u32) {
        let (clock, data) = (value & CLOCK_OUT != 0, value & DATA_OUT != 0);
        if self.clock && clock && self.data != data {
            // The data line changes while the clock is high: a start or a stop.
            self.low = false;
            self.state = if data {
                State::Idle
            } else {
                State::Receiving {
                    byte: Received::Address,
                    bits: 0,
                    value: 0,
                }
            };
        }
        self.data = data;
        if !self.clock && clock {
            self.rises();
        } else if self.clock && !clock {
            self.falls();
        }
        self.clock = clock;
    }

    fn rises(&mut self) {
        match &mut self.state {
            State::Receiving { bits, value, .. } => {
                *value = *value << 1 | u8::from(self.data);
                *bits += 1;
            }
            State::Acknowledging { clocked, .. } => *clocked = true,
            State::Idle | State::Sending { .. } => {}
        }
    }

    fn falls(&mut self) {
        match self.state {
            State::Receiving {
                byte,
                bits: 8,
                value,
            } => {
                let next = match byte {
                    Received::Address if value == ADDRESS => Next::Offset,
                    Received::Address if value == ADDRESS | 1 => Next::Send,
                    Received::Address => {
                        self.state = State::Idle;
                        return;
                    }
                    Received::Offset => {
                        self.offset = value;
                        Next::Idle
                    }
                };
                self.low = true;
                self.state = State::Acknowledging {
                    next,
                    clocked: false,
                };
            }
            State::Acknowledging {
                next,
                clocked: true,
            } => {
                self.low = false;
                match next {
                    Next::Offset => {
                        self.state = State::Receiving {
                            byte: Received::Offset,
                            bits: 0,
                            value: 0,
                        };
                    }
                    Next::Send => {
                        let value = self.memory(self.offset);
                        self.offset = self.offset.wrapping_add(1);
                        self.state = State::Sending { left: 8, value };
                        self.send();
                    }
                    Next::Idle => self.state = State::Idle,
                }
            }
            State::Sending { .. } => self.send(),
            State::Receiving { .. } | State::Acknowledging { .. } | State::Idle => {}
        }
    }

    /// Puts the next bit on the data line, or releases it after the last one.
    fn send(&mut self) {
        let State::Sending { left, value } = &mut self.state else {
            return;
        };
        if *left == 0 {
            self.low = false;
            self.state = State::Idle;
            return;
        }
        self.low = *value & 0x80 == 0;
        *value <<= 1;
        *left -= 1;
    }

    fn memory(&self, offset: u8) -> u8 {
        let found = MEMORY.iter().find(|(at, _)| *at == offset);
        found.map_or(0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bus(Module, u32);

    impl Bus {
        fn set(&mut self, bits: u32, on: bool) {
            if on {
                self.1 |= bits;
            } else {
                self.1 &= !bits;
            }
            self.0.write(self.1);
        }

        fn clock_bit(&mut self, bit: bool) -> bool {
            self.set(DATA_OUT, bit);
            self.set(CLOCK_OUT, true);
            let seen = self.0.lines() & DATA_IN != 0;
            self.set(CLOCK_OUT, false);
            seen
        }

        fn start(&mut self) {
            self.set(DATA_OUT, true);
            self.set(CLOCK_OUT, true);
            self.set(DATA_OUT, false);
            self.set(CLOCK_OUT, false);
        }

        /// Sends a byte and returns whether it is acknowledged.
        fn send(&mut self, byte: u8) -> bool {
            for nth in (0..8).rev() {
                self.clock_bit(byte >> nth & 1 != 0);
            }
            !self.clock_bit(true)
        }

        fn read(&mut self, address: u8, offset: u8) -> Option<u8> {
            self.start();
            let acknowledged = self.send(address) && self.send(offset);
            self.start();
            if !acknowledged || !self.send(address | 1) {
                return None;
            }
            let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(self.clock_bit(true)));
            // Not acknowledged: the last byte. Then a stop.
            self.clock_bit(true);
            self.set(DATA_OUT, false);
            self.set(CLOCK_OUT, true);
            self.set(DATA_OUT, true);
            Some(byte)
        }
    }

    #[test]
    fn bytes_are_read_bit_by_bit() {
        let mut bus = Bus(Module::new(), CLOCK_OUT | DATA_OUT);
        for (offset, value) in [(0, 3), (3, 0x10), (6, 0), (38, 0x1B), (39, 0x21), (0, 3)] {
            assert_eq!(bus.read(ADDRESS, offset), Some(value), "{offset}");
        }
        assert_eq!(bus.read(0x50, 0), None, "another address");
        assert_eq!(bus.read(ADDRESS, 0), Some(3));
    }
}
