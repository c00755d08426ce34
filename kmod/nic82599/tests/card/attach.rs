//! What a driver's attach, initialisation and stop ask of the NIC, step by
//! step in their order.

use crate::support::{MAC, Machine, numbered};
use kdk_nic82599::registers::*;
use kdk_nic82599::statistics::{GORC, GPRC, TPR, qptc};
use kdk_nic82599::{Config, Direction, Received, Violation};

/// A word of the EEPROM through EERD.
fn eeprom(machine: &mut Machine, at: u32) -> u16 {
    machine.write(EERD, at << 2 | EERD_START);
    let value = machine.read(EERD);
    assert_ne!(value & EERD_DONE, 0);
    (value >> 16) as u16
}

/// Reset as the driver does it: how often CTRL was read until it was over.
fn reset(machine: &mut Machine, bit: u32) -> u32 {
    machine.write(CTRL, CTRL_GIO_DIS);
    assert_eq!(
        machine.read(STATUS) & STATUS_GIO,
        0,
        "no request is pending"
    );
    let ctrl = machine.read(CTRL);
    machine.write(CTRL, ctrl | bit);
    machine.read(STATUS);
    let reads = (1..=10).find(|_| machine.read(CTRL) & (CTRL_RST | CTRL_LNK_RST) == 0);
    assert_ne!(machine.read(STATUS) & STATUS_GIO, 0);
    reads.unwrap()
}

#[test]
fn attach() {
    let mut machine = Machine::new(Config::new(MAC));
    let m = &mut machine;
    // The driver sets DRV_LOAD, and finds no firmware.
    let loaded = m.read(CTRL_EXT) | 1 << 28;
    m.write(CTRL_EXT, loaded);
    assert_eq!(m.read(FWSM), 0);
    let eec = m.read(EEC);
    assert_ne!(eec & EEC_PRES, 0);
    let words = 1u32 << ((eec >> 11 & 0xF) + 6);
    assert_eq!(m.read(STATUS) >> 2 & 3, 0, "port 0");

    // No PHY answers at any address.
    for address in 0..32 {
        for operation in [0, 3 << 26] {
            m.write(
                MSCA,
                MSCA_MDI_COMMAND | operation | address << 21 | 1 << 16 | 2,
            );
            assert_eq!(m.read(MSCA) & MSCA_MDI_COMMAND, 0);
        }
        assert_eq!(m.read(MSRWD) >> 16, 0xFFFF);
    }

    // Both resets clear themselves within ten reads.
    for bit in [CTRL_LNK_RST, CTRL_RST] {
        assert!((1..10).contains(&reset(m, bit)));
        assert_eq!(m.read(CTRL_EXT) >> 28 & 1, 1);
    }

    // The EEPROM's checksum holds.
    let mut sum = (0..0x3F).fold(0u16, |sum, at| sum.wrapping_add(eeprom(m, at)));
    for pointer in 3..0xF {
        let start = u32::from(eeprom(m, pointer));
        if matches!(start, 0 | 0xFFFF) {
            continue;
        }
        assert!(start < words);
        let length = u32::from(eeprom(m, start));
        for at in start + 1..=start + length {
            sum = sum.wrapping_add(eeprom(m, at));
        }
    }
    assert_eq!(sum.wrapping_add(eeprom(m, 0x3F)), 0xBABA);
    assert_eq!(eeprom(m, 0x0F), 0xFFFF, "no firmware");

    // The permanent address is in the first receive address.
    assert_eq!(m.read(ral(0)).to_le_bytes(), MAC[..4]);
    assert_eq!(
        m.read(rah(0)),
        RAH_AV | u32::from_le_bytes([MAC[4], MAC[5], 0, 0])
    );

    // A semaphore.
    assert_eq!(m.read(SWSM) & SWSM_SMBI, 0);
    let swsm = m.read(SWSM);
    m.write(SWSM, swsm | SWSM_SWESMBI);
    assert_ne!(m.read(SWSM) & SWSM_SWESMBI, 0);
    let owned = m.read(SW_FW_SYNC) | 8;
    m.write(SW_FW_SYNC, owned);
    m.write(SWSM, 0);
    assert_eq!(m.read(SW_FW_SYNC), 8);

    // The link: the negotiation is restarted with another mode and with the
    // right one, and is complete at 10 Gb/s.
    let autoc = m.read(AUTOC);
    assert_eq!(autoc >> 13 & 7, 4);
    for value in [(autoc | 1 << 12) ^ 4 << 13, autoc | 1 << 12] {
        m.write(AUTOC, value);
        assert_ne!(m.read(ANLP1) & 0xF_0000, 0);
        assert_eq!(m.read(AUTOC) >> 12 & 1, 0);
    }
    assert_eq!(m.read(LINKS) >> 28, 0xF, "complete, up, 10 Gb/s");
    assert_ne!(m.read(LINKS2) & 1 << 6, 0);

    // The security block stops on request.
    assert_eq!(m.read(SECRXSTAT) & SEC_RDY, 0);
    m.write(SECRXCTRL, SECRXCTRL_RX_DIS);
    assert_eq!(m.read(SECRXSTAT) & SEC_RDY, SEC_RDY);
    m.write(SECRXCTRL, 0);

    // The flow director's tables are ready.
    m.write(FDIRCTRL, 1);
    assert_ne!(m.read(FDIRCTRL) & FDIRCTRL_INIT_DONE, 0);
    m.write(FDIRCMD, 1 << 8);
    m.write(FDIRCMD, 0);
    assert_eq!(m.read(FDIRCMD) & FDIRCMD_CMD, 0);
    assert_eq!(m.nic.violations().seen(), []);
}

#[test]
fn storage() {
    let mut machine = Machine::new(Config::new(MAC));
    let queues = [0, 1, 15, 16, 63, 64, 127];
    let storage = [
        CTRL_EXT, ESDP, LEDCTL, RDRXCTL, RXCSUM, VLNCTRL, MCSTCTRL, HLREG0, MAXFRS, MFLCN, RTTDCS,
        DTXTCPFLGL, PCS1GANA, PCS1GLCTL, GRC, GCR_EXT, AUTOC3,
        // MTQC, RTTDQSEL, RTTBCNRC, PSRTYPE, WUFC, FCTTV, FCRTV, TXPBTHRESH.
        0x0_8120, 0x0_4904, 0x0_4984, 0x0_5480, 0x0_5808, 0x0_3200, 0x0_32A0, 0x0_4950,
    ];
    let tables = (0..128).flat_map(|n| [ral(n), rah(n), mta(n), vfta(n), 0x0_F400 + 4 * n]);
    let small = (0..32).flat_map(|n| [reta(n), rqsmr(n), tqsm(n)]);
    let keys = (0..10)
        .map(rssrk)
        .chain((0..8).flat_map(|n| [rxpbsize(n), txpbsize(n)]));
    let rings = queues.into_iter().flat_map(|queue| {
        [
            rdbal(queue),
            rdbah(queue),
            rdlen(queue),
            rdh(queue),
            srrctl(queue),
            dca_rxctrl(queue),
            rscctl(queue),
            tdbal(queue),
            tdbah(queue),
            tdlen(queue),
            tdh(queue),
            tdwbal(queue),
            tdwbah(queue),
        ]
    });
    let all: Vec<_> = storage
        .into_iter()
        .chain(tables)
        .chain(small)
        .chain(keys)
        .chain(rings)
        .collect();
    for (nth, register) in (0x1234_0000..).zip(&all) {
        machine.write(*register, nth);
    }
    for (nth, register) in (0x1234_0000..).zip(&all) {
        assert_eq!(machine.read(*register), nth, "{register:#x}");
        assert_eq!(machine.read(*register), nth, "{register:#x}");
    }
    assert_eq!(machine.nic.violations().seen(), []);
}

#[test]
fn what_only_the_card_writes() {
    for register in [
        STATUS, LINKS, LINKS2, ANLP1, FWSM, FACTPS, SECRXSTAT, SECTXSTAT, TFCS,
    ] {
        let mut machine = Machine::new(Config::new(MAC));
        let before = machine.read(register);
        machine.write(register, !before);
        assert_eq!(machine.read(register), before, "{register:#x}");
        let value = !before;
        assert_eq!(
            machine.nic.violations().seen(),
            [Violation::ReadOnly { register, value }]
        );
    }
}

#[test]
fn no_register() {
    let mut machine = Machine::new(Config::new(MAC));
    for register in [2, SPACE, u32::MAX] {
        assert_eq!(machine.read(register), 0);
        machine.write(register, 1);
        let seen = Violation::NoRegister { register };
        assert_eq!(machine.nic.violations().seen(), [seen, seen]);
        machine.nic.clear_violations();
    }
}

#[test]
fn a_write_during_a_reset_is_lost() {
    let mut machine = Machine::new(Config::new(MAC));
    machine.write(CTRL, CTRL_RST);
    machine.write(FCTRL, 1 << 10);
    let seen = Violation::WrittenDuringReset { register: FCTRL };
    assert_eq!(machine.nic.violations().seen(), [seen]);
    assert_ne!(machine.read(CTRL) & CTRL_RST, 0);
    assert_eq!(machine.read(CTRL) & CTRL_RST, 0);
    assert_eq!(machine.read(FCTRL), 0);
    machine.write(FCTRL, 1 << 10);
    assert_eq!(machine.read(FCTRL), 1 << 10);
}

#[test]
fn a_reset_takes_as_many_reads_as_configured() {
    for reset_reads in [0, 1, 9] {
        let mut machine = Machine::new(Config {
            reset_reads,
            ..Config::new(MAC)
        });
        assert_eq!(reset(&mut machine, CTRL_RST), reset_reads + 1);
    }
}

#[test]
fn resets_are_counted() {
    let mut machine = Machine::new(Config::new(MAC));
    for (nth, bit) in (1..).zip([CTRL_RST, CTRL_LNK_RST, CTRL_RST | CTRL_LNK_RST]) {
        reset(&mut machine, bit);
        assert_eq!(machine.nic.counters().resets, nth);
    }
}

#[test]
fn a_reset_takes_everything_away() {
    let mut machine = Machine::running(2);
    machine.scale(2);
    machine.inject(&numbered(MAC, 1, 60));
    machine.nic.stall(0, true, &mut machine.memory);
    machine.inject(&numbered(MAC, 2, 60));
    assert_eq!(machine.nic.buffered_frames(), 1);
    reset(&mut machine, CTRL_RST);
    assert_eq!(machine.nic.buffered_frames(), 0);
    assert_eq!(machine.nic.counters().flushed, 1);
    for queue in 0..2 {
        assert_eq!(machine.nic.owned(Direction::Receive, queue), 0);
        assert_eq!(machine.read(rxdctl(queue)) & XDCTL_ENABLE, 0);
        assert_eq!(machine.read(txdctl(queue)) & XDCTL_ENABLE, 0);
    }
    for register in [
        RXCTRL,
        MRQC,
        EIMS,
        EIAC,
        GPIE,
        IVAR_MISC,
        ivar(0),
        TPR,
        GPRC,
        GORC,
        reta(1),
    ] {
        assert_eq!(machine.read(register), 0, "{register:#x}");
    }
    machine.nic.invariants().unwrap();
    assert_eq!(machine.nic.violations().seen(), []);
    // Nothing is left in the packet buffer: 1 KB takes a frame of 1004.
    machine.receive.clear();
    machine.transmit.clear();
    machine.bring_up(1, 16, 2);
    machine.write(rxpbsize(0), 1 << 10);
    let received = machine.inject(&numbered(MAC, 1, 1000));
    assert_eq!(received, Received::Buffered { queue: 0 });
}

#[test]
fn stopped_and_started_again_and_again() {
    let mut machine = Machine::running(2);
    for round in 0..20u32 {
        machine.inject(&numbered(MAC, round, 60));
        assert_eq!(
            machine.next_frame(0).unwrap().bytes,
            numbered(MAC, round, 60)
        );
        // Stop: receiver, interrupts, queues, bus; then the reset.
        machine.write(RXCTRL, 0);
        machine.write(EIMC, u32::MAX);
        machine.read(EICR);
        for queue in 0..128 {
            machine.write(txdctl(queue), XDCTL_SWFLSH);
            assert_eq!(machine.read(txdctl(queue)), 0);
            let control = machine.read(rxdctl(queue)) & !XDCTL_ENABLE | XDCTL_SWFLSH;
            machine.write(rxdctl(queue), control);
        }
        reset(&mut machine, CTRL_RST);
        machine.nic.invariants().unwrap();
        machine.receive.clear();
        machine.transmit.clear();
        machine.bring_up(2, 16, 2);
    }
}

#[test]
fn queues_are_enabled_at_once_and_checked() {
    let mut machine = Machine::running(1);
    assert_ne!(machine.read(rxdctl(0)) & XDCTL_ENABLE, 0);
    assert_ne!(machine.read(txdctl(0)) & XDCTL_ENABLE, 0);
    for (direction, register) in [
        (Direction::Receive, rxdctl(9)),
        (Direction::Transmit, txdctl(9)),
    ] {
        let mut machine = Machine::running(1);
        if direction == Direction::Receive {
            machine.write(srrctl(9), 1 << 25 | 2);
        }
        machine.write(register, XDCTL_ENABLE);
        let bad = Violation::BadRing {
            direction,
            queue: 9,
            base: 0,
            length: 0,
        };
        assert_eq!(machine.nic.violations().seen(), [bad]);
    }
}

#[test]
fn a_ring_that_runs_is_not_changed() {
    for (direction, registers) in [
        (Direction::Receive, [rdbal(0), rdbah(0), rdlen(0), rdh(0)]),
        (Direction::Transmit, [tdbal(0), tdbah(0), tdlen(0), tdh(0)]),
    ] {
        for register in registers {
            let mut machine = Machine::running(1);
            let value = machine.read(register);
            machine.write(register, value ^ 1 << 7);
            machine.nic.invariants().unwrap();
            let seen = Violation::RingChangedWhileEnabled {
                direction,
                queue: 0,
                register,
            };
            assert_eq!(machine.nic.violations().seen(), [seen]);
        }
    }
}

#[test]
fn tails() {
    for (direction, tail, head) in [
        (
            Direction::Receive,
            rdt as fn(u16) -> u32,
            rdh as fn(u16) -> u32,
        ),
        (Direction::Transmit, tdt, tdh),
    ] {
        let mut machine = Machine::running(1);
        let before = machine.read(tail(0));
        for beyond in [16, 17, u32::MAX] {
            machine.write(tail(0), beyond);
            let seen = Violation::TailBeyondRing {
                direction,
                queue: 0,
                tail: beyond,
                entries: 16,
            };
            assert_eq!(machine.nic.violations().seen(), [seen]);
            assert_eq!(machine.read(tail(0)), before);
            machine.nic.clear_violations();
        }
        // A queue that is not enabled takes its head as tail, and no other.
        let (length, control) = match direction {
            Direction::Receive => (rdlen(5), rxdctl(5)),
            Direction::Transmit => (tdlen(5), txdctl(5)),
        };
        machine.write(length, 256);
        machine.write(tail(5), 0);
        assert_eq!(machine.nic.violations().seen(), []);
        machine.write(tail(5), 3);
        let seen = Violation::DoorbellOfDisabledQueue {
            direction,
            queue: 5,
            tail: 3,
        };
        assert_eq!(machine.nic.violations().seen(), [seen]);
        assert_eq!(machine.read(control), 0);
        assert_eq!(machine.read(head(5)), 0);
    }
}

#[test]
fn semaphores_against_firmware() {
    let mut machine = Machine::new(Config::new(MAC));
    machine.nic.set_firmware(1 << 1, true);
    assert_eq!(machine.read(SW_FW_SYNC), 1 << 6);
    machine.write(SWSM, SWSM_SWESMBI);
    assert_eq!(machine.read(SWSM) & SWSM_SWESMBI, 0);
    machine.write(SW_FW_SYNC, 1 << 6 | 1);
    let seen = Violation::SyncWithoutSemaphore { value: 1 << 6 | 1 };
    assert_eq!(machine.nic.violations().seen(), [seen]);
    machine.nic.set_firmware(0, false);
    machine.write(SWSM, SWSM_SWESMBI);
    assert_eq!(machine.read(SWSM) & SWSM_SWESMBI, SWSM_SWESMBI);
}

#[test]
fn crc_stripping_must_agree() {
    for (hlreg0, rdrxctl, differs) in [(2, 2, false), (0, 0, false), (2, 0, true), (0, 2, true)] {
        let mut machine = Machine::new(Config::new(MAC));
        machine.write(HLREG0, hlreg0);
        machine.write(RDRXCTL, rdrxctl);
        machine.write(RXCTRL, RXCTRL_RXEN);
        let seen = machine.nic.violations().seen();
        assert_eq!(
            seen == [Violation::CrcStripDiffers],
            differs,
            "{hlreg0} {rdrxctl}"
        );
        assert_eq!(seen.len(), usize::from(differs));
    }
}

#[test]
fn what_is_not_modelled_is_said() {
    for (register, value) in [(MRQC, 0x8), (MRQC, 0x2), (FDIRCMD, 3)] {
        let mut machine = Machine::new(Config::new(MAC));
        machine.write(register, value);
        let seen = Violation::NotModelled { register, value };
        assert_eq!(machine.nic.violations().seen(), [seen]);
    }
}

#[test]
fn a_flow_director_filter_is_taken_and_never_matches() {
    // Added, and removed.
    for command in [1, 2] {
        let mut machine = Machine::new(Config::new(MAC));
        machine.write(FDIRCMD, command | 0x8000);
        assert_eq!(machine.read(FDIRCMD), 0x8000, "the command is done");
        assert!(machine.nic.violations().seen().is_empty());
    }
}

#[test]
fn ports_and_configuration_space() {
    for (port, function) in [(0, 0), (1, 4)] {
        let mut machine = Machine::new(Config {
            port,
            ..Config::new(MAC)
        });
        assert_eq!(machine.read(STATUS) & 0xC, function);
        assert_eq!(machine.nic.config_read(0, 4), 0x10F7_8086);
        machine.nic.config_write(0x04, 2, 6);
        assert_eq!(machine.nic.config_read(0x04, 2), 6);
    }
}

#[test]
fn registers_with_a_life_of_their_own() {
    // Written, and read back.
    for (register, written, read) in [
        (
            EEC,
            EEC_REQ,
            EEC_REQ | EEC_GNT | EEC_PRES | EEC_ARD | EEC_ADDR_SIZE | 3 << 11,
        ),
        (EEC, 0, EEC_PRES | EEC_ARD | EEC_ADDR_SIZE | 3 << 11),
        (FDIRCTRL, 1, 1 | FDIRCTRL_INIT_DONE),
        (FDIRCTRL, FDIRCTRL_INIT_DONE, 0),
        (FDIRCMD, 1 << 8, 1 << 8),
        (AUTOC, 1 << 12 | 4 << 13, 4 << 13),
        (MSCA, MSCA_MDI_COMMAND | 5, 5),
        (rxdctl(3), XDCTL_SWFLSH, 0),
        (txdctl(3), XDCTL_SWFLSH | 0x20_0801, 0x20_0801),
    ] {
        let mut machine = Machine::new(Config::new(MAC));
        machine.write(register, written);
        assert_eq!(machine.read(register), read, "{register:#x}");
    }
    for (allocation, free) in [(1, 8190), (2, 16_382), (3, 32_766)] {
        let mut machine = Machine::new(Config::new(MAC));
        machine.write(FDIRCTRL, allocation);
        assert_eq!(machine.read(FDIRFREE), free);
    }
    // Wake-up status: nothing sets it here, and ones clear it.
    let mut machine = Machine::new(Config::new(MAC));
    machine.write(WUS, u32::MAX);
    assert_eq!(machine.read(WUS), 0);
}

#[test]
fn link_status_changes_interrupt() {
    type Step = fn(&mut Machine);
    let cases: [(&str, bool, Step); 7] = [
        ("down", true, |m| m.nic.set_link(false, &mut m.memory)),
        ("up, as it is", false, |m| {
            m.nic.set_link(true, &mut m.memory)
        }),
        ("disabled", true, |m| m.write(AUTOC2, 1 << 28)),
        ("AUTOC2 otherwise", false, |m| m.write(AUTOC2, 1)),
        ("negotiated again", true, |m| {
            m.write(AUTOC, m.nic.peek(AUTOC) | 1 << 12)
        }),
        ("AUTOC otherwise", false, |m| {
            m.write(AUTOC, m.nic.peek(AUTOC))
        }),
        ("raised by a test", true, |m| m.nic.raise(EICR_LSC)),
    ];
    for (name, interrupts, step) in cases {
        let mut machine = Machine::running(1);
        machine.write(EIMS, EICR_OTHER | EICR_LSC);
        step(&mut machine);
        let expected: &[u16] = if interrupts { &[1] } else { &[] };
        assert_eq!(machine.interrupts(), expected, "{name}");
        assert_eq!(machine.read(EICR) & EICR_LSC != 0, interrupts, "{name}");
    }
    // While it is down, a restart of the negotiation sets no cause.
    let mut machine = Machine::running(1);
    machine.nic.set_link(false, &mut machine.memory);
    machine.read(EICR);
    machine.write(AUTOC, machine.nic.peek(AUTOC) | 1 << 12);
    assert_eq!(machine.read(EICR), 0);
    machine.nic.set_link(true, &mut machine.memory);
    assert_eq!(machine.read(EICR), EICR_LSC);
}

#[test]
fn a_reset_forgets_what_no_register_shows() {
    let mut machine = Machine::running(1);
    // Queue 0 drops by QDE; the packet buffer is nearly full and the partner
    // paused; the partner has paused us.
    machine.write(FCTTV0, 9);
    machine.write(FCRTH0, FCRTH_FCEN | 0x20);
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    machine.nic.stall(0, true, &mut machine.memory);
    machine.inject(&numbered(MAC, 0, 1000));
    assert_eq!(machine.all_taken().len(), 1);
    machine.write(QDE, 1 << 16 | 1);
    machine.write(MFLCN, MFLCN_RFCE | MFLCN_DPF);
    machine.nic.stall(0, false, &mut machine.memory);
    let mut pause = vec![
        1, 0x80, 0xC2, 0, 0, 1, 2, 2, 2, 2, 2, 2, 0x88, 8, 0, 1, 9, 9,
    ];
    pause.resize(60, 0);
    machine.inject(&pause);
    assert_eq!(machine.read(TFCS) & TFCS_TC_XON, 0);

    reset(&mut machine, CTRL_RST);
    assert_ne!(machine.read(TFCS) & TFCS_TC_XON, 0);
    machine.receive.clear();
    machine.transmit.clear();
    machine.bring_up(1, 16, 2);
    machine.nic.stall(0, true, &mut machine.memory);
    // One frame fits and is buffered, and the NIC sends XOFF.
    machine.write(rxpbsize(0), 1 << 10);
    machine.write(FCRTH0, FCRTH_FCEN | 0x20);
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    let received = machine.inject(&numbered(MAC, 1, 1000));
    assert_eq!(received, Received::Buffered { queue: 0 });
    assert_eq!(machine.all_taken().len(), 1);
}

#[test]
fn a_queue_that_is_enabled_again_has_its_descriptors() {
    let mut machine = Machine::running(1);
    machine.write(rxdctl(0), 0);
    assert_eq!(machine.nic.owned(Direction::Receive, 0), 0);
    machine.nic.invariants().unwrap();
    machine.write(rxdctl(0), XDCTL_ENABLE);
    assert_eq!(machine.nic.owned(Direction::Receive, 0), 15);
    machine.nic.invariants().unwrap();
    machine.inject(&numbered(MAC, 1, 60));
    assert!(machine.next_frame(0).is_some());
    assert_eq!(machine.nic.violations().seen(), []);
}

/// QPTC has two offsets.
#[test]
fn sent_frames_of_a_queue_are_counted_at_both_offsets() {
    let mut machine = Machine::running(1);
    for offset in [qptc(0), 0x0_8680] {
        machine.send(0, &numbered(MAC, 1, 60));
        assert_eq!(machine.read(offset), 1, "{offset:#x}");
        assert_eq!(machine.read(qptc(0)), 0, "a read clears both");
    }
}
