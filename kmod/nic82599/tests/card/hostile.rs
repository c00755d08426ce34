//! A driver that writes anything anywhere: the NIC neither panics nor hangs,
//! and still accounts for every frame.

use kdk_nic82599::registers::*;
use kdk_nic82599::{Config, FrameErrors, Host, MAX_FRAME, Nic, Partner};
use proptest::prelude::*;

use crate::support::{MAC, ipv4, numbered};

/// Memory that answers at every address.
struct Anything {
    bytes: Vec<u8>,
    /// Accesses until the test is over: nothing may go on for ever.
    left: u64,
}

impl Anything {
    fn at(&mut self, address: u64, nth: usize) -> usize {
        self.left = self.left.checked_sub(1).expect("it does not end");
        usize::try_from(address.wrapping_add(nth as u64) % self.bytes.len() as u64).unwrap()
    }
}

impl Host for Anything {
    fn dma_read(&mut self, address: u64, into: &mut [u8]) {
        for (nth, byte) in into.iter_mut().enumerate() {
            let at = self.at(address, nth);
            *byte = self.bytes[at];
        }
    }

    fn dma_write(&mut self, address: u64, from: &[u8]) {
        for (nth, byte) in from.iter().enumerate() {
            let at = self.at(address, nth);
            self.bytes[at] = *byte;
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Write(u32, u32),
    Read(u32),
    /// Something like a descriptor.
    Poke(usize, [u32; 4]),
    Receive(Vec<u8>, bool, u32),
    Link(bool),
    Stall(u16, bool),
    Advance(u64),
    Take,
    Config(usize, usize, u32),
}

fn register() -> impl Strategy<Value = u32> {
    let queue = || 0..3u16;
    prop_oneof![
        4 => queue().prop_flat_map(|queue| prop::sample::select(vec![
            rdbal(queue), rdbah(queue), rdlen(queue), rdh(queue), rdt(queue), rxdctl(queue),
            srrctl(queue), tdbal(queue), tdbah(queue), tdlen(queue), tdh(queue), tdt(queue),
            txdctl(queue), tdwbal(queue),
        ])),
        4 => prop::sample::select(vec![
            CTRL, CTRL_EXT, EICR, EICS, EIAC, EIMS, EIMC, EIAM, GPIE, IVAR_MISC, ivar(0), ivar(1),
            RXCTRL, RDRXCTL, QDE, RXCSUM, FCTRL, VLNCTRL, MCSTCTRL, MRQC, SECRXCTRL, SECTXCTRL,
            DMATXCTL, HLREG0, MAXFRS, MSCA, MFLCN, AUTOC, AUTOC2, FCCFG, FCRTL0, FCRTH0, EERD,
            EEWR, SWSM, SW_FW_SYNC, FDIRCTRL, FDIRCMD, WUS, rxpbsize(0), eitr(0), EIMS_EX[0],
        ]),
        1 => (0..SPACE / 4).prop_map(|word| word * 4),
        1 => any::<u32>(),
    ]
}

fn value() -> impl Strategy<Value = u32> {
    prop_oneof![
        any::<u32>(),
        0..40u32,
        prop::sample::select(vec![
            0,
            u32::MAX,
            XDCTL_ENABLE,
            XDCTL_ENABLE | RXDCTL_VME,
            1 << 25 | 2,
            1 << 25 | SRRCTL_DROP_EN | 1,
            256,
            512 * 1024,
            0x4000,
            0x8100_0001,
            CTRL_RST,
        ]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let frame = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        (0..2000usize).prop_map(|length| numbered(MAC, 1, length.max(18))),
        (any::<bool>(), any::<u16>(), 0..3000usize).prop_map(|(tcp, port, length)| {
            ipv4(if tcp { 6 } else { 17 }, 2, port, &vec![3; length])
        }),
    ];
    let descriptor = (
        prop_oneof![any::<u32>(), 0x1000..0x1_0000u32],
        prop_oneof![any::<u32>(), Just(0)],
        prop_oneof![
            any::<u32>(),
            (0..2000u32).prop_map(|length| 0x2B30_0000 | length),
            (0..2000u32).prop_map(|length| 0xAB30_0000 | length),
            Just(0x2020_0C00),
        ],
        prop_oneof![
            any::<u32>(),
            (0..2000u32).prop_map(|length| length << 14 | 3 << 8),
            (0..2000u32).prop_map(|mss| mss << 16 | 20 << 8),
        ],
    );
    prop_oneof![
        8 => (register(), value()).prop_map(|(register, value)| Step::Write(register, value)),
        2 => register().prop_map(Step::Read),
        2 => (0..256usize, descriptor).prop_map(|(at, (a, b, c, d))| Step::Poke(at, [a, b, c, d])),
        4 => (frame, prop::bool::weighted(0.2), prop_oneof![Just(0), any::<u32>()])
            .prop_map(|(frame, crc, bits)| Step::Receive(frame, crc, bits)),
        1 => any::<bool>().prop_map(Step::Link),
        1 => (0..200u16, any::<bool>()).prop_map(|(queue, stalled)| Step::Stall(queue, stalled)),
        1 => (0..10_000u64).prop_map(Step::Advance),
        1 => Just(Step::Take),
        1 => (0..5000usize, 0..5usize, any::<u32>())
            .prop_map(|(offset, width, value)| Step::Config(offset, width, value)),
    ]
}

fn run(moderation: bool, runs: bool, steps: Vec<Step>) {
    let mut nic = Nic::new(Config {
        moderation,
        wire_bytes: 40_000,
        wire_frames: 20,
        owned_buffers: 200,
        ..Config::new(MAC)
    });
    let mut host = Anything {
        bytes: (0..0x1_0000u32).map(|at| (at / 16 % 255) as u8).collect(),
        left: 0,
    };
    let mut frame = vec![0; MAX_FRAME];
    if runs {
        set_up(&mut nic, &mut host);
    }
    for step in steps {
        host.left = 20_000_000;
        match step {
            Step::Write(register, value) => nic.write(register, value, &mut host),
            Step::Read(register) => {
                nic.read(register);
                let _ = nic.peek(register);
            }
            Step::Poke(at, words) => {
                let bytes = words.map(u32::to_le_bytes).concat();
                host.bytes[16 * at..16 * at + 16].copy_from_slice(&bytes);
            }
            Step::Receive(frame, crc, descriptor) => {
                let errors = FrameErrors {
                    crc,
                    descriptor,
                    ..FrameErrors::NONE
                };
                nic.receive(&frame, errors, &mut host);
            }
            Step::Link(up) => {
                nic.set_partner(Partner {
                    autoneg: up,
                    symmetric_pause: !up,
                    asymmetric_pause: up,
                });
                nic.set_link(up, &mut host);
            }
            Step::Stall(queue, stalled) => nic.stall(queue, stalled, &mut host),
            Step::Advance(time) => nic.advance(time, &mut host),
            Step::Take => {
                while nic.take_transmitted(&mut frame).is_some() {}
                while nic.take_interrupt().is_some() {}
                nic.pump(&mut host);
                nic.clear_violations();
            }
            Step::Config(offset, width, value) => {
                nic.config_write(offset, width, value);
                let _ = nic.config_read(offset, width);
            }
        }
        nic.invariants().unwrap();
    }
}

/// Rings that run, at the start of memory, for a driver that goes wrong
/// later.
fn set_up(nic: &mut Nic, host: &mut Anything) {
    host.left = 20_000_000;
    for queue in 0..3u16 {
        let base = 0x1_0000 + 0x100 * u32::from(queue);
        for (register, value) in [
            (rdbal(queue), base),
            (rdlen(queue), 256),
            (srrctl(queue), 1 << 25 | 1),
            (rxdctl(queue), XDCTL_ENABLE),
            (rdt(queue), 15),
            (tdbal(queue), base + 0x400),
            (tdlen(queue), 256),
            (txdctl(queue), XDCTL_ENABLE),
        ] {
            nic.write(register, value, host);
        }
    }
    for (register, value) in [
        (DMATXCTL, 0x8100_0001),
        (FCTRL, FCTRL_BAM),
        (GPIE, GPIE_MSIX_MODE | GPIE_EIAME),
        (ivar(0), 0x8181_8080),
        (EIMS, u32::MAX),
        (reta(0), 0x0002_0100),
        (MRQC, 1 | 3 << 16),
        (FCRTH0, FCRTH_FCEN | 0x1000),
        (FCRTL0, FCRTL_XONE | 0x800),
        (FCCFG, FCCFG_TFCE_802_3X),
        (RXCTRL, RXCTRL_RXEN),
    ] {
        nic.write(register, value, host);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]
    #[test]
    fn the_card_survives(
        moderation in any::<bool>(),
        runs in prop::bool::weighted(0.8),
        steps in prop::collection::vec(step(), 1..400),
    ) {
        run(moderation, runs, steps);
    }
}
