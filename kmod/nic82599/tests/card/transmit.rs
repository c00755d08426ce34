//! Frames from rings to the wire.

use kdk_nic82599::registers::*;
use kdk_nic82599::statistics::*;
use kdk_nic82599::{BadTransmit, Config, Direction, Violation};

use crate::support::{
    DATA, END, MAC, Machine, Memory, PEER, TSE, VLE, context, ipv4, numbered, sum,
};

/// Bits of a data descriptor's third word: insert IP and TCP checksums.
const IXSM: u32 = 1 << 8;
const TXSM: u32 = 2 << 8;

fn payload(length: usize) -> u32 {
    u32::try_from(length).unwrap() << 14
}

#[test]
fn a_frame_leaves_as_it_is() {
    let mut machine = Machine::running(2);
    for (queue, length) in [(0, 60), (1, 1514), (0, 1000)] {
        let frame = numbered(PEER, 1, length);
        machine.send(queue, &frame);
        let (bytes, transmitted) = machine.taken().unwrap();
        assert_eq!((bytes, transmitted.queue), (frame, Some(queue)));
        assert_eq!(machine.interrupts(), [queue]);
    }
    assert_eq!((machine.read(tdh(0)), machine.read(tdh(1))), (2, 1));
    for (counter, count) in [
        (TPT, 3),
        (GPTC, 3),
        (PTC64, 1),
        (PTC64 + 20, 1),
        (qptc(0), 3),
    ] {
        assert_eq!(machine.read(counter), count, "{counter:#x}");
    }
    assert_eq!(machine.read(GOTC), 64 + 1518 + 1004);
    assert_eq!(machine.nic.violations().seen(), []);
}

#[test]
fn short_frames_are_padded_on_demand() {
    for (hlreg0, length) in [(HLREG0_TXPADEN, 60), (0, 42)] {
        let mut machine = Machine::running(1);
        machine.write(HLREG0, HLREG0_TXCRCEN | HLREG0_RXCRCSTRP | hlreg0);
        let frame = numbered(PEER, 1, 42);
        machine.send(0, &frame);
        let (bytes, _) = machine.taken().unwrap();
        assert_eq!(bytes.len(), length);
        assert_eq!(bytes[..42], frame);
        assert!(bytes[42..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn frames_in_pieces_are_joined_when_their_end_is_there() {
    let mut machine = Machine::running(1);
    let frame = numbered(PEER, 1, 1000);
    let options = payload(1000);
    // Many times around the ring.
    for _ in 0..10 {
        machine.post_data(0, &frame[..1], DATA, options);
        machine.post_data(0, &frame[1..500], DATA, options);
        machine.doorbell(0);
        assert_eq!(machine.nic.on_wire(), 0);
        let last = machine.post_data(0, &frame[500..], DATA | END, options);
        machine.doorbell(0);
        assert_eq!(machine.all_taken(), [&frame[..]]);
        let ring = &machine.transmit[0];
        // Only the last was to be reported.
        for back in 0..3 {
            let index = (last + 16 - back) % 16;
            let status = machine.memory.word(ring.descriptor(index) + 12);
            assert_eq!(status == 1, back == 0, "{status:#x}");
        }
        assert_eq!(machine.interrupts(), [0]);
    }
}

#[test]
fn without_report_status_there_is_no_report() {
    let mut machine = Machine::running(1);
    let frame = numbered(PEER, 1, 60);
    let index = machine.post_data(0, &frame, DATA | 1 << 24, payload(60));
    machine.doorbell(0);
    let descriptor = machine.transmit[0].descriptor(index);
    assert_ne!(machine.memory.word(descriptor + 12), 1);
    assert_eq!(machine.interrupts(), []);
    assert_eq!(machine.read(tdh(0)), 1);
    assert_eq!(machine.all_taken(), [frame]);
}

#[test]
fn the_head_is_written_back_on_demand() {
    let mut machine = Machine::running(1);
    let place = machine.memory.allocate(128);
    machine.write(tdwbal(0), u32::try_from(place).unwrap() | TDWBAL_HEAD_WB_EN);
    let frame = numbered(PEER, 1, 60);
    for head in 1..4 {
        let index = machine.transmit[0].at;
        machine.send(0, &frame);
        assert_eq!(machine.memory.word(place), head);
        let descriptor = machine.transmit[0].descriptor(index);
        assert_ne!(machine.memory.word(descriptor + 12), 1, "no DD");
        assert_eq!(machine.interrupts(), [0]);
    }
}

/// A frame whose checksums the NIC is to make: seeds in their place.
fn unsummed(protocol: u8, data: &[u8]) -> Vec<u8> {
    let mut frame = ipv4(protocol, 2, 99, data);
    let length = u16::try_from(frame.len()).unwrap();
    let segment = u16::from_be_bytes([frame[16], frame[17]]) - 20;
    frame.truncate(usize::from(length.min(segment + 34)));
    frame[24..26].fill(0);
    let at = 34 + if protocol == 6 { 16 } else { 6 };
    let seed = sum(&[&frame[26..34], &[0, protocol], &segment.to_be_bytes()]);
    frame[at..at + 2].copy_from_slice(&seed.to_be_bytes());
    frame
}

#[test]
fn checksums_are_inserted() {
    for (protocol, tcp) in [(6, true), (17, false)] {
        for data in [&b"odd"[..], b"even", &[7; 1400]] {
            let mut machine = Machine::running(1);
            let frame = unsummed(protocol, data);
            machine.post(0, context(0, [14, 20, 0], true, tcp, 0));
            machine.post_data(0, &frame, DATA | END, payload(frame.len()) | IXSM | TXSM);
            machine.doorbell(0);
            let (sent, _) = machine.taken().unwrap();
            // What the helper makes, but for the padding.
            let mut right = ipv4(protocol, 2, 99, data);
            right.resize(sent.len(), 0);
            assert_eq!(sent, right);
            assert_eq!(machine.nic.violations().seen(), []);
        }
    }
}

#[test]
fn a_context_serves_later_packets_until_a_reset() {
    let mut machine = Machine::running(1);
    machine.post(0, context(0x123, [14, 20, 0], true, true, 0));
    for _ in 0..3 {
        machine.post_data(0, &numbered(PEER, 1, 60), DATA | END | VLE, payload(60));
    }
    machine.doorbell(0);
    let tag = |frame: &Vec<u8>| frame[12..16].to_vec();
    let tags: Vec<_> = machine.all_taken().iter().map(tag).collect();
    assert_eq!(tags, [[0x81, 0, 0x01, 0x23]; 3]);
    machine.write(CTRL, CTRL_RST);
    machine.read(CTRL);
    machine.receive.clear();
    machine.transmit.clear();
    machine.bring_up(1, 16, 2);
    machine.post_data(0, &numbered(PEER, 1, 60), DATA | END | VLE, payload(60));
    machine.doorbell(0);
    assert_eq!(tag(&machine.taken().unwrap().0), [0x81, 0, 0, 0]);
}

#[test]
fn tags_are_inserted_with_dmatxctls_type() {
    for vet in [0x8100u16, 0x88A8] {
        let mut machine = Machine::running(1);
        machine.write(DMATXCTL, u32::from(vet) << 16 | DMATXCTL_TE);
        let frame = numbered(PEER, 1, 1514);
        machine.post(0, context(0x6021, [14, 0, 0], false, false, 0));
        machine.post_data(0, &frame, DATA | END | VLE, payload(1514));
        machine.doorbell(0);
        let (sent, _) = machine.taken().unwrap();
        assert_eq!(sent.len(), 1518);
        assert_eq!(sent[..12], frame[..12]);
        assert_eq!(sent[12..14], vet.to_be_bytes());
        assert_eq!(sent[14..16], [0x60, 0x21]);
        assert_eq!(sent[16..], frame[12..]);
    }
}

#[test]
fn segmentation() {
    let mut machine = Machine::running(1);
    let data: Vec<u8> = (0..10_000u32).map(|at| (at % 249) as u8).collect();
    let mut headers = unsummed(6, b"");
    // The seed has no length, and the lengths are the NIC's affair.
    let seed = sum(&[&headers[26..34], &[0, 6]]);
    headers[50..52].copy_from_slice(&seed.to_be_bytes());
    headers[16..18].fill(0);
    machine.post(0, context(0x021, [14, 20, 20], true, true, 1460));
    let options = payload(data.len()) | IXSM | TXSM;
    let command = DATA | TSE | VLE;
    machine.post_data(0, &headers, command, options);
    for part in data.chunks(4000) {
        let end = if part.len() < 4000 { END } else { 0 };
        machine.post_data(0, part, command | end, options);
    }
    machine.doorbell(0);
    let sent = machine.all_taken();
    assert_eq!(sent.len(), 7);
    let mut joined: Vec<u8> = Vec::new();
    for (nth, frame) in (0u16..).zip(&sent) {
        assert_eq!(frame[12..16], [0x81, 0, 0, 0x21]);
        let ip = &frame[18..38];
        let tcp = &frame[38..];
        let length = u16::try_from(tcp.len()).unwrap();
        assert_eq!(ip[2..4], (length + 20).to_be_bytes());
        assert_eq!(ip[4..6], (7 + nth).to_be_bytes());
        assert_eq!(sum(&[ip]), 0xFFFF);
        assert_eq!(
            sum(&[&ip[12..20], &[0, 6], &length.to_be_bytes(), tcp]),
            0xFFFF
        );
        let sequence = u32::from_be_bytes(tcp[4..8].try_into().unwrap());
        assert_eq!(sequence, u32::from(nth) * 1460);
        joined.extend(&tcp[20..]);
    }
    assert!(joined == data);
    assert_eq!(machine.read(GPTC), 7);
    assert_eq!(machine.interrupts(), [0], "one report");
    assert_eq!(machine.nic.violations().seen(), []);
}

#[test]
fn what_holds_transmission_back_and_lets_it_go_on() {
    type Step = fn(&mut Machine);
    let cases: [(&str, Step, Step); 6] = [
        (
            "link",
            |m| m.nic.set_link(false, &mut m.memory),
            |m| m.nic.set_link(true, &mut m.memory),
        ),
        (
            "DMATXCTL.TE",
            |m| m.write(DMATXCTL, 0x8100_0000),
            |m| m.write(DMATXCTL, 0x8100_0001),
        ),
        (
            "SECTXCTRL.TX_DIS",
            |m| m.write(SECTXCTRL, 2),
            |m| m.write(SECTXCTRL, 0),
        ),
        (
            "CTRL.GIO_DIS",
            |m| m.write(CTRL, CTRL_GIO_DIS),
            |m| m.write(CTRL, 0),
        ),
        ("XOFF, then XON", |m| pause(m, 100), |m| pause(m, 0)),
        (
            "XOFF, then time",
            |m| pause(m, 0x680),
            |m| m.nic.advance(86, &mut m.memory),
        ),
    ];
    for (name, hold, go) in cases {
        let mut machine = Machine::running(2);
        machine.write(MFLCN, MFLCN_RFCE | MFLCN_DPF);
        hold(&mut machine);
        machine.send(0, &numbered(PEER, 1, 60));
        machine.send(1, &numbered(PEER, 2, 60));
        assert_eq!(machine.nic.on_wire(), 0, "{name}");
        assert_eq!(machine.read(tdh(0)), 0);
        go(&mut machine);
        let both = [numbered(PEER, 1, 60), numbered(PEER, 2, 60)];
        assert_eq!(machine.all_taken(), both, "{name}");
    }
}

fn pause(machine: &mut Machine, quanta: u16) {
    let mut frame = vec![1, 0x80, 0xC2, 0, 0, 1];
    frame.extend(PEER);
    frame.extend([0x88, 0x08, 0, 1]);
    frame.extend(quanta.to_be_bytes());
    frame.resize(60, 0);
    machine.inject(&frame);
}

#[test]
fn pause_frames_are_obeyed_counted_and_kept_from_the_host() {
    for (mflcn, obeyed, consumed) in [
        (MFLCN_RFCE | MFLCN_DPF, true, true),
        (MFLCN_RFCE | MFLCN_DPF | MFLCN_PMCF, true, true),
        (MFLCN_RFCE, true, false),
        // DPF needs RFCE, and PMCF is about other control frames.
        (MFLCN_DPF, false, false),
        (0, false, false),
        (MFLCN_PMCF, false, false),
    ] {
        let mut machine = Machine::running(1);
        machine.write(FCTRL, FCTRL_MPE);
        machine.write(MFLCN, mflcn);
        pause(&mut machine, 9);
        assert_eq!(machine.read(TFCS) & TFCS_TC_XON == 0, obeyed);
        assert_eq!(machine.nic.counters().control, u64::from(consumed));
        assert_eq!(machine.next_frame(0).is_some(), !consumed);
        pause(&mut machine, 0);
        assert_ne!(machine.read(TFCS) & TFCS_TC_XON, 0);
        assert_eq!((machine.read(LXOFFRXCNT), machine.read(LXONRXCNT)), (1, 1));
    }
}

#[test]
fn a_queue_hangs_until_a_reset() {
    let mut machine = Machine::running(2);
    machine.nic.hang(1);
    let frame = numbered(PEER, 1, 60);
    machine.send(1, &frame);
    machine.nic.pump(&mut machine.memory);
    assert_eq!(machine.taken(), None);
    assert_eq!(machine.read(tdh(1)), 0);
    machine.send(0, &frame);
    assert_eq!(machine.taken().unwrap().0, frame);
    machine.write(CTRL, CTRL_RST);
    while machine.read(CTRL) & CTRL_RST != 0 {}
    machine.receive.clear();
    machine.transmit.clear();
    machine.bring_up(2, 16, 2);
    machine.send(1, &frame);
    assert_eq!(machine.taken().unwrap().0, frame);
}

#[test]
fn a_full_packet_buffer_pauses_the_partner() {
    let mut machine = Machine::running(1);
    machine.write(FCTTV0, 0x0680_0680);
    machine.write(FCRTL0, FCRTL_XONE | 0x400);
    machine.write(FCRTH0, FCRTH_FCEN | 0x1000);
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    machine.nic.stall(0, true, &mut machine.memory);
    let frame = numbered(MAC, 1, 1020);
    for sent in [0, 0, 0, 0, 1, 0, 0] {
        machine.inject(&frame);
        let pauses = machine.all_taken();
        assert_eq!(pauses.len(), sent);
        for pause in pauses {
            assert_eq!(pause[..6], [1, 0x80, 0xC2, 0, 0, 1]);
            assert_eq!(pause[6..12], MAC);
            assert_eq!(pause[12..18], [0x88, 0x08, 0, 1, 0x06, 0x80]);
        }
    }
    machine.nic.stall(0, false, &mut machine.memory);
    let xon = machine.all_taken();
    assert_eq!(xon.len(), 1);
    assert_eq!(xon[0][16..18], [0, 0]);
    for (counter, count) in [
        (LXOFFTXC, 1),
        (LXONTXC, 1),
        (GPTC, 2),
        (MPTC, 2),
        (PTC64, 2),
    ] {
        assert_eq!(machine.read(counter), count, "{counter:#x}");
    }
    assert_eq!(machine.nic.counters().pauses_sent, 2);
}

/// XOFF is sent again before the partner's pause ends, while the packet buffer is
/// above its low mark.
#[test]
fn xoff_is_refreshed() {
    let mut machine = Machine::running(1);
    // 0x680 quanta are 86 microseconds.
    machine.write(FCTTV0, 0x0680_0680);
    machine.write(FCRTV, 0x340);
    machine.write(FCRTL0, FCRTL_XONE | 0x400);
    machine.write(FCRTH0, FCRTH_FCEN | 0x400);
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    machine.nic.stall(0, true, &mut machine.memory);
    for _ in 0..3 {
        machine.inject(&numbered(MAC, 1, 1020));
    }
    assert_eq!(machine.all_taken().len(), 1);
    for (microseconds, sent) in [(42, 0), (1, 1), (42, 0), (1, 1), (1000, 1)] {
        machine.nic.advance(microseconds, &mut machine.memory);
        let pauses = machine.all_taken();
        assert_eq!(pauses.len(), sent, "after {microseconds} us");
        for pause in pauses {
            assert_eq!(pause[16..18], [0x06, 0x80]);
        }
    }
    machine.nic.stall(0, false, &mut machine.memory);
    assert_eq!(machine.all_taken().len(), 1, "XON");
    machine.nic.advance(1000, &mut machine.memory);
    assert_eq!(machine.all_taken().len(), 0);
    assert_eq!((machine.read(LXOFFTXC), machine.read(LXONTXC)), (4, 1));
}

#[test]
fn xoff_is_sent_once_even_with_a_pause_time_of_0() {
    let mut machine = Machine::running(1);
    machine.write(FCRTH0, FCRTH_FCEN | 0x20);
    machine.nic.stall(0, true, &mut machine.memory);
    machine.inject(&numbered(MAC, 1, 60));
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    for _ in 0..3 {
        machine.inject(&numbered(MAC, 1, 60));
        machine.nic.pump(&mut machine.memory);
    }
    assert_eq!(machine.all_taken().len(), 1);
    assert_eq!((machine.read(LXOFFTXC), machine.read(LXONTXC)), (1, 0));
}

#[test]
fn a_full_wire_holds_back_until_frames_are_taken() {
    let mut machine = Machine::new(Config {
        wire_frames: 2,
        ..Config::new(MAC)
    });
    machine.bring_up(1, 16, 2);
    for number in 0..5 {
        machine.send(0, &numbered(PEER, number, 60));
    }
    assert_eq!((machine.nic.on_wire(), machine.read(tdh(0))), (2, 2));
    for number in 0..5 {
        let (frame, _) = machine.taken().unwrap();
        assert_eq!(frame, numbered(PEER, number, 60));
        machine.nic.pump(&mut machine.memory);
    }
    assert_eq!((machine.nic.on_wire(), machine.read(tdh(0))), (0, 5));
}

#[test]
fn a_segmented_packet_leaves_whole_or_waits() {
    let data = [7u8; 3000];
    // Room for two frames of three; or for three short ones in bytes.
    for (wire_frames, wire_bytes) in [(2, 1 << 20), (100, 0)] {
        let mut machine = Machine::new(Config {
            wire_frames,
            wire_bytes,
            ..Config::new(MAC)
        });
        machine.bring_up(1, 16, 2);
        if wire_bytes == 0 {
            // The least is 15.5 KB: ten frames leave too little.
            for number in 0..10 {
                machine.send(0, &numbered(PEER, number, 1514));
            }
            assert_eq!(machine.nic.on_wire(), 10);
        }
        let before = machine.nic.on_wire();
        let frame = [&unsummed(6, b"")[..], &data].concat();
        machine.post(0, context(0, [14, 20, 20], true, true, 1000));
        machine.post_data(0, &frame, DATA | TSE | END, payload(3000));
        machine.doorbell(0);
        assert_eq!(machine.nic.on_wire(), before, "none of it");
        assert_eq!(
            machine.nic.owned(Direction::Transmit, 0),
            1,
            "the context is through"
        );
        machine.all_taken();
        machine.nic.pump(&mut machine.memory);
        let sent = if wire_frames == 2 { 0 } else { 3 };
        assert_eq!(machine.nic.on_wire(), sent);
        assert_eq!(machine.nic.violations().seen(), []);
    }
}

#[test]
fn what_was_sent_is_no_longer_in_its_descriptor() {
    let mut machine = Machine::running(1);
    machine.send(0, &numbered(PEER, 1, 60));
    let descriptor = machine.transmit[0].descriptor(0);
    let words = [0, 4, 8, 12].map(|at| machine.memory.word(descriptor + at));
    assert_eq!(words, [0, 0, 0, 1]);
}

#[test]
fn a_pause_frame_waits_for_room_on_the_wire() {
    let mut machine = Machine::new(Config {
        wire_frames: 1,
        ..Config::new(MAC)
    });
    machine.bring_up(1, 16, 2);
    machine.send(0, &numbered(PEER, 1, 60));
    machine.nic.stall(0, true, &mut machine.memory);
    machine.inject(&numbered(MAC, 1, 60));
    machine.write(FCRTH0, FCRTH_FCEN | 0x20);
    // The register's write is enough to send it, had it room.
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    assert_eq!(machine.taken().unwrap().1.queue, Some(0));
    let (pause, transmitted) = machine.taken().unwrap();
    assert_eq!(
        (pause[..2].to_vec(), transmitted.queue),
        (vec![1, 0x80], None)
    );
    assert_eq!(machine.nic.counters().pauses_sent, 1);
}

#[test]
fn marks_in_the_wrong_order_send_no_flood() {
    let mut machine = Machine::running(1);
    machine.nic.stall(0, true, &mut machine.memory);
    machine.inject(&numbered(MAC, 1, 60));
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    machine.write(FCRTL0, FCRTL_XONE | 0x80);
    machine.write(FCRTH0, FCRTH_FCEN | 0x20);
    let taken = (0..10).filter(|_| machine.taken().is_some()).count();
    assert_eq!(taken, 1);
}

#[test]
fn thresholds_act_when_they_are_written() {
    let mut machine = Machine::running(1);
    machine.nic.stall(0, true, &mut machine.memory);
    machine.inject(&numbered(MAC, 1, 60));
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    assert_eq!(machine.nic.on_wire(), 0);
    machine.write(FCRTH0, FCRTH_FCEN | 0x20);
    assert_eq!(machine.nic.on_wire(), 1);
    machine.write(FCRTL0, FCRTL_XONE | 0x40);
    assert_eq!(machine.nic.on_wire(), 2);
}

#[test]
fn a_link_that_goes_down_forgets_the_partners_pause() {
    let mut machine = Machine::running(1);
    machine.write(MFLCN, MFLCN_RFCE | MFLCN_DPF);
    pause(&mut machine, 0xFFFF);
    assert_eq!(machine.read(TFCS) & TFCS_TC_XON, 0);
    machine.nic.set_link(false, &mut machine.memory);
    machine.nic.set_link(true, &mut machine.memory);
    assert_ne!(machine.read(TFCS) & TFCS_TC_XON, 0);
    machine.send(0, &numbered(PEER, 1, 60));
    assert_eq!(machine.nic.on_wire(), 1);
}

#[test]
fn in_loopback_mode_nothing_leaves() {
    let mut machine = Machine::running(1);
    machine.write(HLREG0, machine.nic.peek(HLREG0) | HLREG0_LPBK);
    machine.send(0, &numbered(PEER, 1, 60));
    assert_eq!((machine.nic.on_wire(), machine.read(tdh(0))), (0, 1));
}

#[test]
fn bad_packets_are_noted_and_stepped_over() {
    use BadTransmit::{Empty, Headers, Legacy, Length, NotModelled, Segmentation, TooLong, Type};
    let frame = numbered(PEER, 1, 60);
    let right = payload(60);
    type Post<'a> = &'a dyn Fn(&mut Machine);
    let cases: [(BadTransmit, Post<'_>); 10] = [
        (Legacy, &|m| {
            m.post_data(0, &frame, 1 << 25 | END, right);
        }),
        (Type, &|m| {
            m.post_data(0, &frame, 1 << 29 | 1 << 20 | END, right);
        }),
        (Type, &|m| {
            m.post_data(0, &frame, DATA, right);
            m.post(0, context(0, [14, 20, 0], true, true, 0));
        }),
        (Empty, &|m| {
            m.post_data(0, &[], DATA | END, 0);
        }),
        (Length, &|m| {
            m.post_data(0, &frame, DATA | END, payload(61));
        }),
        (Length, &|m| {
            m.post(0, context(0, [14, 20, 20], true, true, 1000));
            m.post_data(0, &frame, DATA | TSE | END, payload(60));
        }),
        (TooLong, &|m| {
            for part in 0..4 {
                let end = if part == 3 { END } else { 0 };
                m.post_data(0, &[2; 4000], DATA | end, payload(16_000));
            }
        }),
        (Headers, &|m| {
            m.post_data(0, &frame, DATA | END, right | TXSM);
        }),
        (Segmentation, &|m| {
            m.post_data(0, &frame, DATA | TSE | END, payload(6));
        }),
        (NotModelled, &|m| {
            m.post(0, context(0, [14, 20, 8], true, false, 100));
            m.post_data(0, &frame, DATA | TSE | END, payload(18));
        }),
    ];
    for (nth, (why, post)) in cases.into_iter().enumerate() {
        let mut machine = Machine::running(1);
        post(&mut machine);
        machine.doorbell(0);
        let seen = machine.nic.violations().seen();
        let whys: Vec<_> = seen
            .iter()
            .map(|violation| match violation {
                Violation::BadTransmit { queue: 0, why, .. } => *why,
                other => panic!("case {nth}: {other}"),
            })
            .collect();
        // A segmentation without a context is refused as no TCP.
        let expected = if nth == 8 { NotModelled } else { why };
        assert_eq!(whys, [expected], "case {nth}");
        assert_eq!(machine.nic.on_wire(), 0, "case {nth}");
        // The queue goes on.
        machine.send(0, &frame);
        assert_eq!(machine.all_taken(), [&frame[..]], "case {nth}");
        assert_eq!(machine.nic.owned(Direction::Transmit, 0), 0);
    }
}

#[test]
fn a_null_address_is_not_read() {
    let mut machine = Machine::running(1);
    machine.post(0, [0, 0, DATA | END | 60, payload(60)]);
    machine.doorbell(0);
    let seen = machine.nic.violations().seen();
    let null = Violation::NullAddress {
        direction: Direction::Transmit,
        queue: 0,
        index: 0,
    };
    assert_eq!(seen.first(), Some(&null));
    assert_eq!((seen.len(), machine.nic.on_wire()), (2, 0));
}

#[test]
fn two_cards_back_to_back() {
    let mut left = Machine::running(2);
    let mut right = Machine::running(2);
    right.scale(2);
    let carry = |from: &mut Machine, to: &mut Machine| {
        let mut frame = [0; kdk_nic82599::MAX_FRAME];
        while let Some(transmitted) = from.nic.take_transmitted(&mut frame) {
            to.inject(&frame[..transmitted.length]);
        }
    };
    for number in 0..200u16 {
        let frame = ipv4(17, 2, number, b"across");
        left.send(number % 2, &frame);
        carry(&mut left, &mut right);
        let arrived = (0..2).find_map(|queue| right.next_frame(queue));
        assert_eq!(arrived.unwrap().bytes, frame);
        for queue in 0..2 {
            right.refill(queue);
        }
    }
    let sent = left.nic.counters().all_queues().sent;
    assert_eq!(right.nic.counters().all_queues().delivered, sent);
    let memory: &mut Memory = &mut right.memory;
    right.nic.set_link(false, memory);
    assert!(!right.nic.link_is_up());
}
