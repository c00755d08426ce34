//! Frames from the wire into rings.

use kdk_nic82599::registers::*;
use kdk_nic82599::statistics::*;
use kdk_nic82599::{
    BadTransmit, Config, Direction, EmptyBuffer, FrameErrors, InvariantError, Received, Violation,
};

use crate::support::{MAC, Machine, PEER, ipv4, numbered};

const DELIVERED: Received = Received::Delivered { queue: 0 };

#[test]
fn one_frame_one_descriptor() {
    let mut machine = Machine::running(1);
    for length in [60, 61, 1000, 1514] {
        let frame = numbered(MAC, 1, length);
        assert_eq!(machine.inject(&frame), DELIVERED);
        let arrived = machine.next_frame(0).unwrap();
        assert_eq!((arrived.bytes, arrived.descriptors), (frame, 1));
        assert_eq!((arrived.status, arrived.tag, arrived.kind), (3, 0, 0));
        assert_eq!(machine.interrupts(), [0]);
    }
    assert_eq!(machine.next_frame(0), None);
    assert_eq!(machine.read(rdh(0)), 4);
    assert_eq!(machine.nic.violations().seen(), []);
}

#[test]
fn who_does_not_listen_hears_nothing() {
    for (name, off) in [
        ("RXEN", (RXCTRL, 0)),
        ("RX_DIS", (SECRXCTRL, SECRXCTRL_RX_DIS)),
        ("AUTOC2", (AUTOC2, 1 << 28)),
    ] {
        let mut machine = Machine::running(1);
        machine.write(off.0, off.1);
        assert_eq!(
            machine.inject(&numbered(MAC, 1, 60)),
            Received::ReceiveDisabled,
            "{name}"
        );
        assert_eq!(machine.read(TPR), 0);
    }
    let mut machine = Machine::running(1);
    machine.nic.set_link(false, &mut machine.memory);
    assert_eq!(
        machine.inject(&numbered(MAC, 1, 60)),
        Received::ReceiveDisabled
    );
    machine.nic.set_link(true, &mut machine.memory);
    assert_eq!(machine.inject(&numbered(MAC, 1, 60)), DELIVERED);
    assert_eq!(machine.nic.counters().receive_disabled, 1);
}

#[test]
fn filters_stand_before_the_rings() {
    let mut machine = Machine::running(1);
    let group = [1, 0, 0x5E, 0, 0, 5];
    for (destination, fctrl, received) in [
        (PEER, FCTRL_BAM, Received::Filtered),
        (PEER, FCTRL_UPE, DELIVERED),
        (group, FCTRL_BAM, Received::Filtered),
        (group, FCTRL_MPE, DELIVERED),
        ([0xFF; 6], 0, Received::Filtered),
        ([0xFF; 6], FCTRL_BAM, DELIVERED),
    ] {
        machine.write(FCTRL, fctrl);
        assert_eq!(machine.inject(&numbered(destination, 1, 60)), received);
    }
    // The multicast table, hash of the highest 12 bits: PIF.
    machine.write(FCTRL, 0);
    machine.write(MCSTCTRL, MCSTCTRL_MFE);
    machine.write(mta(0x050 >> 5), 1 << (0x050 & 31));
    assert_eq!(machine.inject(&numbered(group, 1, 60)), DELIVERED);
    let last = std::iter::from_fn(|| machine.next_frame(0)).last();
    assert_eq!(last.unwrap().status, 1 << 7 | 3);
    for (counter, count) in [(TPR, 7), (GPRC, 4), (MPRC, 2), (BPRC, 1), (PRC64, 4)] {
        assert_eq!(machine.read(counter), count, "{counter:#x}");
        assert_eq!(machine.read(counter), 0, "{counter:#x}");
    }
    assert_eq!((machine.read(GORC), machine.read(GORC + 4)), (4 * 64, 0));
    assert_eq!(machine.read(GORC), 0);
    assert_eq!(machine.nic.counters().filtered, 3);
}

#[test]
fn tags_are_filtered_and_stripped() {
    let mut tagged = numbered(MAC, 1, 60);
    tagged.splice(12..12, [0x81, 0, 0x60, 0x21]);
    let plain = numbered(MAC, 1, 60);
    for (vme, vlnctrl, vfta1, expected) in [
        (0, 0x8100, 0, Some((&tagged, 0, 8))),
        (RXDCTL_VME, 0x8100, 0, Some((&plain, 0x6021, 8))),
        (RXDCTL_VME, 0x8100 | VLNCTRL_VFE, 0, None),
        (
            RXDCTL_VME,
            0x8100 | VLNCTRL_VFE,
            2,
            Some((&plain, 0x6021, 8)),
        ),
        // Another type: that is no tag.
        (RXDCTL_VME, 0x9100 | VLNCTRL_VFE, 0, Some((&tagged, 0, 0))),
    ] {
        let mut machine = Machine::running(1);
        machine.write(rxdctl(0), XDCTL_ENABLE | vme);
        machine.write(VLNCTRL, vlnctrl);
        machine.write(vfta(1), vfta1);
        let received = machine.inject(&tagged);
        assert_eq!(received == Received::Filtered, expected.is_none());
        assert_eq!(machine.inject(&plain), DELIVERED, "untagged frames pass");
        if let Some((bytes, tag, status)) = expected {
            let arrived = machine.next_frame(0).unwrap();
            assert_eq!((&arrived.bytes, arrived.tag), (bytes, tag));
            assert_eq!(arrived.status, status | 3);
        }
        let arrived = machine.next_frame(0).unwrap();
        assert_eq!(
            (arrived.bytes, arrived.tag, arrived.status),
            (plain.clone(), 0, 3)
        );
    }
}

#[test]
fn checksums_and_types_are_reported() {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    for (protocol, broken, kind, status) in [
        (TCP, None, 0x110, 0x60),
        (
            TCP,
            Some(26),
            0x110,
            0x60 | FrameErrors::IPE | FrameErrors::L4E,
        ),
        (TCP, Some(22), 0x110, 0x60 | FrameErrors::IPE),
        (TCP, Some(54), 0x110, 0x60 | FrameErrors::L4E),
        (UDP, None, 0x210, 0x70),
        (UDP, Some(43), 0x210, 0x70 | FrameErrors::L4E),
    ] {
        let mut machine = Machine::running(1);
        let mut frame = ipv4(protocol, 2, 1000, b"payload");
        if let Some(at) = broken {
            // A source address, the time to live, and bytes of the payload.
            frame[at] ^= 0x10;
        }
        assert_eq!(machine.inject(&frame), DELIVERED);
        let arrived = machine.next_frame(0).unwrap();
        assert_eq!(arrived.kind, kind);
        assert_eq!(arrived.status, status | 3, "{protocol} {broken:?}");
        assert_eq!(machine.read(XEC), u32::from(broken.is_some()));
    }
}

#[test]
fn frames_over_several_descriptors() {
    for (length, descriptors) in [(2047, 1), (2048, 1), (2049, 2), (4096, 2), (9014, 5)] {
        let mut machine = Machine::running(1);
        machine.write(HLREG0, machine.nic.peek(HLREG0) | HLREG0_JUMBOEN);
        machine.write(MAXFRS, 9018 << 16);
        let frame = numbered(MAC, 7, length);
        // Twice around the ring.
        for _ in 0..8 {
            assert_eq!(machine.inject(&frame), DELIVERED);
            let arrived = machine.next_frame(0).unwrap();
            assert_eq!(arrived.descriptors, descriptors);
            assert!(arrived.bytes == frame, "{length}");
            assert_eq!(machine.interrupts(), [0], "one for the frame");
            machine.refill(0);
        }
        assert_eq!(machine.owned(0), 15);
        assert_eq!(machine.nic.violations().seen(), []);
    }
}

#[test]
fn the_next_frame_gets_an_empty_buffer() {
    let mut machine = Machine::running(1);
    let base = machine.receive[0].base;
    for (first, buffer, expected) in [
        (0, EmptyBuffer::First, [(0x1, 0), (0x3, 100)]),
        (2, EmptyBuffer::Last, [(0x1, 100), (0x3, 0)]),
    ] {
        let owned = machine.owned(0);
        machine.nic.empty_next(buffer);
        assert_eq!(machine.inject(&numbered(MAC, 7, 100)), DELIVERED);
        assert_eq!(owned - machine.owned(0), 2, "{buffer:?}");
        for (index, expected) in (first..).zip(expected) {
            let word = |at| machine.memory.word(base + 16 * index + at);
            assert_eq!((word(8), word(12)), expected, "{buffer:?}, {index}");
        }
    }
    let owned = machine.owned(0);
    assert_eq!(machine.inject(&numbered(MAC, 7, 100)), DELIVERED);
    assert_eq!(owned - machine.owned(0), 1);
}

#[test]
fn a_frame_that_is_cut_is_the_next_that_is_longer() {
    let mut machine = Machine::running(1);
    machine.write(HLREG0, machine.nic.peek(HLREG0) | HLREG0_JUMBOEN);
    machine.write(MAXFRS, 9018 << 16);
    let owned = machine.owned(0);
    machine.nic.truncate_next(2);
    // Length, descriptors written back.
    for (length, written) in [(4096, 2), (5000, 2), (5000, 3)] {
        let before = machine.owned(0);
        assert_eq!(machine.inject(&numbered(MAC, 7, length)), DELIVERED);
        assert_eq!(before - machine.owned(0), written, "{length}");
        assert_eq!(machine.interrupts(), [0], "{length}");
    }
    assert_eq!(owned - machine.owned(0), 7);
    let base = machine.receive[0].base;
    for (index, status) in [(1, 0x3), (2, 0x1), (3, 0x1), (4, 0x1), (6, 0x3)] {
        assert_eq!(
            machine.memory.word(base + 16 * index + 8),
            status,
            "{index}"
        );
    }
    assert_eq!(machine.nic.invariants(), Ok(()));
    assert_eq!(machine.nic.violations().seen(), []);
}

#[test]
fn only_the_last_descriptor_has_more_than_dd() {
    let mut machine = Machine::running(1);
    machine.write(HLREG0, machine.nic.peek(HLREG0) | HLREG0_JUMBOEN);
    machine.write(MAXFRS, 9018 << 16);
    machine.scale(1);
    machine.inject(&ipv4(6, 2, 3, &[1; 4000]));
    let base = machine.receive[0].base;
    for (index, status, length) in [(0, 1, 2048), (1, 0x63, 4054 - 2048)] {
        assert_eq!(machine.memory.word(base + 16 * index + 8), status);
        assert_eq!(machine.memory.word(base + 16 * index + 12), length);
    }
    assert_eq!(machine.memory.word(base), 0);
    assert_eq!(machine.memory.word(base + 16), 0x111);
}

#[test]
fn lengths() {
    // JUMBOEN, MAXFRS, tagged, length without FCS, counter or none.
    for (jumbo, maxfrs, tagged, length, counter) in [
        (false, 1518, false, 59, Some(RUC)),
        (false, 1518, false, 60, None),
        (false, 1518, false, 1514, None),
        (false, 1518, false, 1515, Some(ROC)),
        (false, 9018, false, 1515, Some(ROC)),
        (false, 1518, true, 1518, None),
        (false, 1518, true, 1519, Some(ROC)),
        (true, 9018, false, 9014, None),
        (true, 9018, false, 9015, Some(ROC)),
        (true, 9018, true, 9018, None),
        (true, 0xFFFF, false, 15_868, None),
        (true, 0xFFFF, false, 15_869, None),
    ] {
        let mut machine = Machine::running(1);
        let jumboen = if jumbo { HLREG0_JUMBOEN } else { 0 };
        machine.write(HLREG0, machine.nic.peek(HLREG0) & !HLREG0_JUMBOEN | jumboen);
        machine.write(MAXFRS, maxfrs << 16);
        let mut frame = numbered(MAC, 1, length);
        if tagged {
            frame[12..16].copy_from_slice(&[0x81, 0, 0, 1]);
        }
        let expected = if counter.is_some() || length > 15_868 {
            Received::Errored
        } else {
            DELIVERED
        };
        assert_eq!(
            machine.inject(&frame),
            expected,
            "{jumbo} {maxfrs} {length}"
        );
        for errors in [RUC, ROC, RFC, RJC] {
            assert_eq!(machine.read(errors), u32::from(counter == Some(errors)));
        }
    }
}

#[test]
fn bad_frames_are_counted_and_stored_only_on_demand() {
    let crc = FrameErrors {
        crc: true,
        ..FrameErrors::NONE
    };
    let illegal = FrameErrors {
        illegal_byte: true,
        ..FrameErrors::NONE
    };
    let wrong_length = FrameErrors {
        length: true,
        ..FrameErrors::NONE
    };
    for (errors, length, counters) in [
        (crc, 60, &[CRCERRS][..]),
        (crc, 59, &[RFC]),
        (crc, 2000, &[RJC, CRCERRS]),
        (illegal, 60, &[ILLERRC, ERRBC]),
        (wrong_length, 60, &[RLEC]),
        (FrameErrors::NONE, 59, &[RUC]),
        (FrameErrors::NONE, 2000, &[ROC]),
    ] {
        for stored in [false, true] {
            let mut machine = Machine::running(1);
            machine.write(FCTRL, if stored { FCTRL_SBP } else { 0 });
            let frame = numbered(MAC, 1, length);
            let expected = if stored { DELIVERED } else { Received::Errored };
            assert_eq!(machine.inject_bad(&frame, errors), expected);
            let arrived = machine.next_frame(0).map(|arrived| arrived.status);
            assert_eq!(arrived, stored.then_some(FrameErrors::RXE | 3));
            for counter in [CRCERRS, ILLERRC, ERRBC, RLEC, RUC, RFC, ROC, RJC] {
                let counted = u32::from(counters.contains(&counter));
                assert_eq!(machine.read(counter), counted, "{errors:?} {counter:#x}");
            }
            assert_eq!((machine.read(TPR), machine.read(GPRC)), (1, 0));
        }
    }
}

/// Frames to other machines count as short or long only if they pass the address
/// filter. Wrong frame check sequences count in any case.
#[test]
fn errors_of_length_are_counted_behind_the_address_filter() {
    let crc = FrameErrors {
        crc: true,
        ..FrameErrors::NONE
    };
    let other = [2, 9, 9, 9, 9, 9];
    for (errors, length, counter) in [
        (FrameErrors::NONE, 59, RUC),
        (crc, 59, RFC),
        (FrameErrors::NONE, 2000, ROC),
        (crc, 2000, RJC),
    ] {
        for (fctrl, counted) in [(0, 0), (FCTRL_UPE, 1)] {
            let mut machine = Machine::running(1);
            machine.write(FCTRL, fctrl);
            let received = machine.inject_bad(&numbered(other, 1, length), errors);
            assert_eq!(received, Received::Errored);
            assert_eq!(machine.read(counter), counted, "{counter:#x}");
            assert_eq!(machine.read(CRCERRS), u32::from(counter == RJC));
        }
    }
}

#[test]
fn error_bits_that_a_test_asks_for() {
    for bits in [
        FrameErrors::RXE,
        FrameErrors::CE,
        FrameErrors::LE,
        FrameErrors::PE,
        FrameErrors::OSE,
        FrameErrors::IPE | FrameErrors::L4E,
    ] {
        let mut machine = Machine::running(1);
        let errors = FrameErrors {
            descriptor: bits,
            ..FrameErrors::NONE
        };
        assert_eq!(machine.inject_bad(&numbered(MAC, 1, 60), errors), DELIVERED);
        assert_eq!(machine.next_frame(0).unwrap().status, bits | 3);
    }
}

#[test]
fn the_frame_check_sequence_is_kept_on_demand() {
    let frame = numbered(MAC, 1, 60);
    let mut machine = Machine::running(1);
    machine.write(HLREG0, machine.nic.peek(HLREG0) & !HLREG0_RXCRCSTRP);
    machine.inject(&frame);
    let arrived = machine.next_frame(0).unwrap().bytes;
    assert_eq!(arrived[..60], frame);
    // The residue of a right frame check sequence.
    let crc = |bytes: &[u8]| {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
            })
        })
    };
    assert_eq!(arrived.len(), 64);
    assert_eq!(crc(&arrived), 0x2144_DF1C);
}

#[test]
fn rss_spreads_flows_and_keeps_each_in_order() {
    let mut machine = Machine::running(4);
    machine.scale(4);
    let mut queues = std::collections::BTreeMap::new();
    for round in 0..3u8 {
        for port in 0..16 {
            let frame = ipv4(6, 2, port, &[round]);
            let Received::Delivered { queue } = machine.inject(&frame) else {
                panic!("not delivered");
            };
            assert_eq!(*queues.entry(port).or_insert(queue), queue, "a flow stays");
            let arrived = machine.next_frame(queue).unwrap();
            assert_eq!(arrived.bytes, frame);
            assert_eq!(arrived.kind, 0x111);
            let hash = arrived.hash;
            assert_eq!(u32::from(queue), hash & 0x7F & 3, "RETA is n mod 4");
            assert_eq!(machine.interrupts(), [queue]);
            machine.refill(queue);
        }
    }
    let used: std::collections::BTreeSet<_> = queues.values().collect();
    assert_eq!(used.len(), 4);
    // What cannot be hashed goes to queue 0, as does all without RSS.
    assert_eq!(machine.inject(&numbered(MAC, 1, 60)), DELIVERED);
    machine.write(MRQC, 0);
    for port in 0..8 {
        assert_eq!(machine.inject(&ipv4(6, 2, port, b"")), DELIVERED);
    }
    assert_eq!(machine.nic.violations().seen(), []);
}

#[test]
fn the_hash_is_shown_only_with_pcsd() {
    for (rxcsum, shown) in [(RXCSUM_PCSD, true), (0, false)] {
        let mut machine = Machine::running(1);
        machine.scale(1);
        machine.write(RXCSUM, rxcsum);
        machine.inject(&ipv4(6, 2, 3, b""));
        assert_eq!(machine.next_frame(0).unwrap().hash != 0, shown);
    }
}

#[test]
fn queue_statistics_follow_rqsmr() {
    let mut machine = Machine::running(4);
    machine.scale(4);
    machine.write(rqsmr(0), 0x0302_0100);
    let mut counted = [0; 4];
    for port in 0..12 {
        let received = machine.inject(&ipv4(17, 2, port, b""));
        let Received::Delivered { queue } = received else {
            panic!("{received:?}");
        };
        counted[usize::from(queue)] += 1;
    }
    for (set, count) in (0..).zip(counted) {
        assert_eq!(machine.read(qbrc(set)), 64 * count);
        assert_eq!(machine.read(qprc(set)), count);
        assert_eq!(machine.read(qprc(set)), 0);
        assert_eq!(machine.read(qprdc(set)), 0);
    }
}

#[test]
fn a_full_ring_holds_back_all_rings() {
    let mut machine = Machine::running(2);
    // Queue 0 by what cannot be hashed, queue 1 by a flow.
    machine.scale(2);
    let flow = (0..).find(|port| {
        let received = machine.inject(&ipv4(6, 2, *port, b""));
        received == Received::Delivered { queue: 1 }
    });
    let other = ipv4(6, 2, flow.unwrap(), b"");
    while machine.next_frame(0).is_some() {}
    while machine.next_frame(1).is_some() {}
    for queue in 0..2 {
        machine.refill(queue);
        assert_eq!(machine.owned(queue), 15);
    }
    for number in 0..15 {
        assert_eq!(machine.inject(&numbered(MAC, number, 60)), DELIVERED);
    }
    assert_eq!(machine.owned(0), 0);
    let buffered = |queue| Received::Buffered { queue };
    assert_eq!(machine.inject(&numbered(MAC, 15, 60)), buffered(0));
    assert_eq!(machine.inject(&other), buffered(1), "behind it");
    assert_eq!(machine.inject(&numbered(MAC, 16, 60)), buffered(0));
    assert_eq!(machine.nic.buffered_frames(), 3);
    assert_eq!(machine.next_frame(1), None);
    assert_eq!(machine.owned(1), 15);
    // The driver empties its ring: all goes on, in order.
    for number in 0..15 {
        let arrived = machine.next_frame(0).unwrap();
        assert_eq!(arrived.bytes, numbered(MAC, number, 60));
    }
    machine.interrupts();
    machine.refill(0);
    assert_eq!(machine.nic.buffered_frames(), 0);
    assert_eq!(machine.interrupts(), [0, 1]);
    for number in 15..17 {
        assert_eq!(
            machine.next_frame(0).unwrap().bytes,
            numbered(MAC, number, 60)
        );
    }
    assert_eq!(machine.next_frame(1).unwrap().bytes, other);
    assert_eq!(machine.read(qprdc(0)), 0);
    assert_eq!(machine.nic.violations().seen(), []);
}

#[test]
fn drop_enable_lets_the_others_go_on() {
    // By SRRCTL, by QDE, and turned on while a frame is buffered.
    for (way, late) in [
        ("SRRCTL", false),
        ("QDE", false),
        ("SRRCTL", true),
        ("QDE", true),
    ] {
        let mut machine = Machine::running(2);
        machine.nic.stall(0, true, &mut machine.memory);
        let enable = |machine: &mut Machine| {
            if way == "SRRCTL" {
                let value = machine.nic.peek(srrctl(0)) | SRRCTL_DROP_EN;
                machine.write(0x0_2100, value);
            } else {
                machine.write(QDE, 1 << 16 | 1);
                // Without the write bit it only shows a queue's.
                for (queue, drops) in [(1, 0), (0, 1)] {
                    machine.write(QDE, 1 << 17 | queue << 8);
                    assert_eq!(machine.read(QDE) & 1, drops);
                }
            }
        };
        if late {
            assert_eq!(
                machine.inject(&numbered(MAC, 0, 60)),
                Received::Buffered { queue: 0 }
            );
            enable(&mut machine);
        } else {
            enable(&mut machine);
            let dropped = Received::Dropped { queue: 0 };
            assert_eq!(machine.inject(&numbered(MAC, 0, 60)), dropped);
        }
        assert_eq!(machine.nic.buffered_frames(), 0);
        assert_eq!(machine.nic.counters().queue(0).dropped, 1);
        assert_eq!(machine.read(qprdc(0)), 1, "{way}");
        assert_eq!(machine.read(RXMPC0), 0);
        assert_eq!(machine.owned(0), 15, "no descriptor was used");
        machine.nic.stall(0, false, &mut machine.memory);
        assert_eq!(machine.inject(&numbered(MAC, 1, 60)), DELIVERED);
        machine.nic.invariants().unwrap();
    }
}

#[test]
fn a_frame_needs_all_its_descriptors_at_once() {
    let mut machine = Machine::new(Config::new(MAC));
    machine.bring_up(1, 8, 1);
    // Seven descriptors of 1 KB; two frames of three, then one that waits.
    let frame = numbered(MAC, 1, 1514);
    for _ in 0..3 {
        assert_eq!(machine.inject(&frame), DELIVERED);
    }
    assert_eq!(machine.owned(0), 1);
    assert_eq!(machine.inject(&frame), Received::Buffered { queue: 0 });
    assert_eq!(machine.owned(0), 1);
    machine.next_frame(0);
    machine.refill(0);
    assert_eq!(machine.nic.buffered_frames(), 0);
    assert_eq!(machine.owned(0), 1);
}

#[test]
fn the_packet_buffer_is_finite() {
    for (kilobytes, length, room) in [(1, 60, 16), (1, 508, 2), (4, 1514, 2), (512, 1514, 345)] {
        let mut machine = Machine::running(1);
        machine.write(EIMS, EICR_OTHER | EICR_RX_MISS);
        machine.write(rxpbsize(0), kilobytes << 10);
        machine.nic.stall(0, true, &mut machine.memory);
        for number in 0..room {
            let buffered = machine.inject(&numbered(MAC, number, length));
            assert_eq!(buffered, Received::Buffered { queue: 0 });
        }
        assert_eq!(machine.interrupts(), []);
        for missed in 1..=2 {
            assert_eq!(machine.inject(&numbered(MAC, 0, length)), Received::Missed);
            assert_eq!(machine.nic.counters().missed, missed);
        }
        assert_eq!(machine.read(RXMPC0), 2);
        assert_eq!(machine.read(RXMPC0), 0);
        assert_eq!(machine.read(GPRC), room + 2, "missed frames are good ones");
        assert_eq!(machine.interrupts(), [1]);
    }
}

#[test]
fn a_queue_that_is_disabled_loses_its_frames() {
    let mut machine = Machine::running(2);
    machine.nic.stall(0, true, &mut machine.memory);
    machine.inject(&numbered(MAC, 1, 60));
    machine.write(rxdctl(0), 0);
    assert_eq!(machine.nic.buffered_frames(), 0);
    assert_eq!(machine.nic.counters().flushed, 1);
    assert_eq!(machine.nic.violations().seen(), []);
    let lost = Received::QueueDisabled { queue: 0 };
    assert_eq!(machine.inject(&numbered(MAC, 2, 60)), lost);
    let seen = Violation::FrameForDisabledQueue { queue: 0 };
    assert_eq!(machine.nic.violations().seen(), [seen]);
    assert_eq!(machine.nic.counters().queue(0).queue_disabled, 1);
    machine.nic.invariants().unwrap();
}

#[test]
fn without_the_bus_frames_wait() {
    let mut machine = Machine::running(1);
    machine.write(CTRL, CTRL_GIO_DIS);
    assert_eq!(
        machine.inject(&numbered(MAC, 1, 60)),
        Received::Buffered { queue: 0 }
    );
    machine.send(0, &numbered(PEER, 1, 60));
    assert_eq!(machine.nic.on_wire(), 0);
    machine.write(CTRL, 0);
    assert_eq!(machine.next_frame(0).unwrap().bytes, numbered(MAC, 1, 60));
    assert_eq!(machine.nic.on_wire(), 1);
}

#[test]
fn buffers_that_are_not_as_they_must_be() {
    let armed = |change: &dyn Fn(&mut Machine)| {
        let mut machine = Machine::running(2);
        for number in 0..4 {
            machine.inject(&numbered(MAC, number, 60));
            machine.next_frame(0).unwrap();
        }
        machine.nic.invariants().unwrap();
        change(&mut machine);
        machine.nic.violations().seen().to_vec()
    };
    let direction = Direction::Receive;
    // The driver's index 15 is the first to be given back.
    let put = |machine: &mut Machine, index: u32, address: u64| {
        let descriptor = machine.receive[0].descriptor(index);
        machine.memory.set_u64(descriptor, address);
    };
    assert_eq!(armed(&|machine| machine.refill(0)), []);
    let null = armed(&|machine| {
        put(machine, 15, 0);
        machine.write(rdt(0), 0);
        machine.nic.invariants().unwrap();
    });
    let (queue, index) = (0, 15);
    assert_eq!(
        null,
        [Violation::NullAddress {
            direction,
            queue,
            index
        }]
    );
    // One of the same ring, and one of another.
    for (ring, which) in [(0, 7), (1, 3)] {
        let mut address = 0;
        let twice = armed(&|machine| {
            let address = machine.receive[ring].buffers[which];
            put(machine, 15, address);
            machine.write(rdt(0), 0);
        });
        for violation in &twice {
            if let Violation::BufferOwnedTwice { address: found, .. } = violation {
                address = *found;
            }
        }
        assert_eq!(
            twice,
            [Violation::BufferOwnedTwice {
                queue,
                index,
                address
            }]
        );
    }
    let changed = armed(&|machine| {
        let elsewhere = machine.memory.allocate(2048);
        put(machine, 4, elsewhere);
        machine.inject(&numbered(MAC, 9, 60));
    });
    assert!(
        matches!(
            changed[..],
            [Violation::ChangedWhileOwned {
                queue: 0,
                index: 4,
                ..
            }]
        ),
        "{changed:?}"
    );
}

#[test]
fn frames_for_a_null_address_go_nowhere() {
    let mut machine = Machine::running(1);
    let descriptor = machine.receive[0].descriptor(15);
    machine.memory.set_u64(descriptor, 0);
    for number in 0..15 {
        machine.inject(&numbered(MAC, number, 60));
        machine.next_frame(0);
    }
    machine.write(rdt(0), 0);
    assert_eq!(machine.inject(&numbered(MAC, 15, 60)), DELIVERED);
    assert_eq!(machine.nic.violations().seen().len(), 1);
}

#[test]
fn too_many_buffers_to_watch() {
    let mut machine = Machine::new(Config {
        owned_buffers: 20,
        ..Config::new(MAC)
    });
    machine.add_receive_ring(0, 16, 2);
    assert_eq!(machine.nic.violations().seen(), []);
    machine.add_receive_ring(1, 16, 2);
    let seen = Violation::TooManyOwned { queue: 1 };
    assert_eq!(machine.nic.violations().seen(), [seen; 10]);
}

#[test]
fn descriptor_types_that_are_not_modelled() {
    for value in [2, 2 << 25 | 2, 5 << 25 | 2, 1 << 25] {
        let mut machine = Machine::running(1);
        machine.write(rdbal(3), 0x80);
        machine.write(rdlen(3), 128);
        machine.write(srrctl(3), value);
        machine.write(rxdctl(3), XDCTL_ENABLE);
        let register = srrctl(3);
        let seen = Violation::NotModelled { register, value };
        assert_eq!(machine.nic.violations().seen(), [seen]);
    }
}

#[test]
fn errors_say_what_they_are() {
    for (text, part) in [
        (
            InvariantError::Frames {
                offered: 3,
                accounted: 1,
                buffered: 1,
            }
            .to_string(),
            "of 3 offered frames",
        ),
        (
            InvariantError::Descriptors {
                watched: 2,
                owned: 1,
            }
            .to_string(),
            "tracks 2",
        ),
        (
            Violation::BadTransmit {
                queue: 1,
                index: 2,
                why: BadTransmit::Legacy,
            }
            .to_string(),
            "Legacy",
        ),
    ] {
        assert!(text.contains(part), "{text}");
    }
}
