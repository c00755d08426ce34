//! Virtual functions: their registers, their mailbox, and a queue.

use kdk_nic82599::registers::EIMS_EX;
use kdk_nic82599::virtual_function::{
    VFCTRL, VFLINKS, VFMAILBOX, VFMBMEM, VFSTATUS, VTEIAC, VTEIAM, VTEICR, VTEICS, VTEIMC, VTEIMS,
    VTEITR, VTIVAR, VTIVAR_MISC,
};
use kdk_nic82599::{Config, FrameErrors, Host, Nic, Received, Violation};

const ADDRESS: [u8; 6] = [2, 0x11, 0x22, 0x33, 0x44, 0x55];
const RST: u32 = 1 << 26;
const REQ: u32 = 1;
const VFU: u32 = 1 << 2;
const RSTD: u32 = 1 << 7;
/// A message of the PF, and the acknowledgement of the VF's.
const ANSWERED: u32 = 1 << 4 | 1 << 5;
const SUCCESS: u32 = 1 << 31;
const FAILURE: u32 = 1 << 30;
const CTS: u32 = 1 << 29;

/// Memory of two pages: a ring, and a buffer.
struct Memory(Vec<u8>);

impl Host for Memory {
    fn dma_read(&mut self, address: u64, into: &mut [u8]) {
        let at = usize::try_from(address).unwrap();
        into.copy_from_slice(&self.0[at..at + into.len()]);
    }

    fn dma_write(&mut self, address: u64, from: &[u8]) {
        let at = usize::try_from(address).unwrap();
        self.0[at..at + from.len()].copy_from_slice(from);
    }
}

struct Function {
    nic: Nic,
    memory: Memory,
}

impl Function {
    fn new() -> Self {
        let nic = Nic::new(Config {
            is_virtual: true,
            ..Config::new(ADDRESS)
        });
        let memory = Memory(vec![0; 0x3000]);
        Self { nic, memory }
    }

    /// After a reset, with the queue's vector 0 and the mailbox's vector 1.
    fn mapped() -> Self {
        let mut function = Self::new();
        function.write(VFCTRL, RST);
        function.write(VTIVAR[0], 0x8080);
        function.write(VTIVAR_MISC, 0x81);
        function
    }

    fn write(&mut self, register: u32, value: u32) {
        self.nic.write(register, value, &mut self.memory);
    }

    /// Sends a message, and returns the answer.
    fn send(&mut self, message: &[u32]) -> [u32; 3] {
        self.write(VFMAILBOX, VFU);
        assert_eq!(self.nic.read(VFMAILBOX) & VFU, VFU);
        for (word, value) in (0..).zip(message) {
            self.write(VFMBMEM + 4 * word, *value);
        }
        self.write(VFMAILBOX, REQ);
        assert_eq!(self.nic.read(VFMAILBOX), ANSWERED);
        assert_eq!(self.nic.read(VFMAILBOX), 0, "a read clears them");
        [0, 4, 8].map(|at| self.nic.read(VFMBMEM + at))
    }

    /// Enables the receive ring with one buffer.
    fn receive_ring(&mut self) {
        self.memory.0[0x1000..0x1008].copy_from_slice(&0x2000u64.to_le_bytes());
        for (register, value) in [
            (0x1000, 0x1000),
            (0x1004, 0),
            (0x1008, 128),
            (0x1014, 1 << 25 | 2),
            (0x1028, 1 << 25),
            (0x1018, 1),
        ] {
            self.write(register, value);
        }
    }

    fn taken(&mut self) -> Vec<u16> {
        core::iter::from_fn(|| self.nic.take_interrupt()).collect()
    }
}

fn frame() -> Vec<u8> {
    let mut frame = ADDRESS.to_vec();
    frame.resize(60, 0x5A);
    frame
}

#[test]
fn its_configuration_space_is_that_of_a_vf() {
    let function = Function::new();
    for (offset, width, value) in [
        (0x02, 2, 0x10ED),
        (0x10, 4, 0xC),
        (0x1C, 4, 0xC),
        (0x20, 4, 0),
        (0x34, 1, 0x70),
        (0x72, 2, 2),
        (0x74, 4, 3),
    ] {
        let found = function.nic.config_read(offset, width);
        assert_eq!(found, value, "{offset:#x}");
    }
}

#[test]
fn the_pf_answers_each_message() {
    let mut function = Function::new();
    function.write(VFCTRL, RST);
    assert_eq!(function.nic.read(VFMAILBOX), RSTD);
    assert_eq!(function.nic.read(VFMAILBOX), 0);
    let [low, high] = [0x3322_1102, 0x5544];
    assert_eq!(function.send(&[1]), [1 | SUCCESS, low, high]);
    for (message, argument, result) in [
        (2, low, SUCCESS),
        (3, 0, SUCCESS),
        (0x1_0004, 7, SUCCESS),
        (5, 1518, SUCCESS),
        (8, 0, SUCCESS),
        (8, 2, SUCCESS),
        (8, 3, FAILURE),
        (9, 0, FAILURE),
        (0x10, 0, FAILURE),
    ] {
        let [answer, ..] = function.send(&[message, argument, high]);
        assert_eq!(answer, message & 0xFFFF | result | CTS, "{message:#x}");
    }
    assert_eq!(function.nic.violations().seen(), []);
}

#[test]
fn the_mailbox_interrupts_if_its_vector_is_mapped_and_unmasked() {
    let mut function = Function::new();
    function.write(VFCTRL, RST);
    function.nic.notify_virtual_function();
    assert_eq!(function.nic.read(VTEICS), 0);
    function.write(VTIVAR_MISC, 0x81);
    function.nic.notify_virtual_function();
    assert_eq!(function.nic.read(VTEICS), 2);
    assert_eq!(function.taken(), []);
    // A VF has no bits but those of its vectors.
    function.write(VTEIMS, !7);
    assert_eq!(function.nic.read(VTEIMS), 0);
    assert_eq!(function.taken(), []);
    function.write(VTEIMS, 2);
    assert_eq!(function.taken(), [1]);
    assert_eq!(function.nic.read(VTEICR), 2);
    assert_eq!(function.nic.read(VTEICR), 0, "a read clears it");
}

#[test]
fn a_queue_receives_and_interrupts() {
    let mut function = Function::mapped();
    function.receive_ring();
    function.write(VTEIAC, u32::MAX);
    function.write(VTEIAM, 1);
    function.write(VTEIMS, 1);
    let received = function
        .nic
        .receive(&frame(), FrameErrors::NONE, &mut function.memory);
    assert_eq!(received, Received::Delivered { queue: 0 });
    assert_eq!(&function.memory.0[0x2000..0x203C], frame());
    assert_eq!(function.taken(), [0]);
    assert_eq!(function.nic.read(VTEICS), 0, "cleared by VTEIAC");
    assert_eq!(function.nic.read(VTEIMS), 0, "masked by VTEIAM");
    // Good packets and octets, which stay.
    for _ in 0..2 {
        assert_eq!(function.nic.read(0x101C), 1);
        assert_eq!(function.nic.read(0x1020), 64);
    }
    assert_eq!(function.nic.invariants(), Ok(()));
    assert_eq!(function.nic.violations().seen(), []);
}

#[test]
fn clearing_a_cause_loses_the_interrupt_of_a_masked_vector() {
    for (cleared, vectors) in [(3, &[][..]), (2, &[0][..])] {
        let mut function = Function::mapped();
        function.receive_ring();
        function.write(VTEIMC, 1);
        function
            .nic
            .receive(&frame(), FrameErrors::NONE, &mut function.memory);
        function.nic.notify_virtual_function();
        assert_eq!(function.nic.read(VTEICS), 3);
        function.write(VTEICR, cleared);
        function.write(VTEIMS, 1);
        assert_eq!(function.taken(), vectors);
    }
}

#[test]
fn a_reset_clears_rings_vectors_and_the_mailbox() {
    let mut function = Function::mapped();
    function.receive_ring();
    function.write(VTEIMS, 3);
    function.write(VFMBMEM, 7);
    function.write(VFCTRL, RST);
    for register in [
        VTEIMS,
        VTIVAR[0],
        VTIVAR_MISC,
        VFMBMEM,
        VTEITR[0],
        0x1028,
        VFSTATUS,
        VFCTRL,
    ] {
        assert_eq!(function.nic.read(register), 0, "{register:#x}");
    }
    assert_eq!(function.nic.invariants(), Ok(()));
    assert_ne!(function.nic.read(VFLINKS) & 1 << 30, 0, "the link stays up");
}

#[test]
fn registers_of_the_pf_are_none_of_a_vf() {
    let mut function = Function::new();
    for register in [EIMS_EX[0], 0x5080, 0x1200, 0x6000] {
        function.nic.clear_violations();
        assert_eq!(function.nic.read(register), 0);
        function.write(register, 1);
        let violation = Violation::NoRegister { register };
        assert_eq!(function.nic.violations().seen(), [violation, violation]);
    }
    function.nic.clear_violations();
    function.write(VFLINKS, 1);
    let violation = Violation::ReadOnly {
        register: VFLINKS,
        value: 1,
    };
    assert_eq!(function.nic.violations().seen(), [violation]);
}
