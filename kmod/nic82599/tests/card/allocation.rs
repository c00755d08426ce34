//! After it was made, a NIC allocates and frees nothing.

use allocation_counter::{AllocationInfo, measure};
use kdk_nic82599::registers::*;
use kdk_nic82599::{Config, FrameErrors, MAX_FRAME, Nic};

use crate::support::{DATA, END, MAC, Machine, PEER, TSE, context, ipv4, numbered};

/// Everything that a NIC can be asked to do, on memory that is there.
fn work(machine: &mut Machine, frames: &[Vec<u8>], taken: &mut [u8]) {
    for round in 0..40u32 {
        for frame in frames {
            let (nic, memory) = (&mut machine.nic, &mut machine.memory);
            nic.receive(frame, FrameErrors::NONE, memory);
            let bad = FrameErrors {
                crc: true,
                ..FrameErrors::NONE
            };
            nic.receive(frame, bad, memory);
        }
        // The packet buffer and the wire fill up, and violations do.
        machine.nic.stall(0, round % 4 != 3, &mut machine.memory);
        machine.doorbell(0);
        for index in 0..16 {
            let descriptor = machine.receive[0].descriptor(index);
            let buffer = machine.receive[0].buffers[index as usize];
            machine.memory.set_u64(descriptor, buffer);
        }
        machine.write(rdt(0), round % 16);
        machine.write(rdt(0), 99);
        machine.write(STATUS, round);
        if round % 8 == 7 {
            while machine.nic.take_transmitted(taken).is_some() {}
            while machine.nic.take_interrupt().is_some() {}
            machine.nic.pump(&mut machine.memory);
            machine.write(rxdctl(1), 0);
            machine.write(rxdctl(1), XDCTL_ENABLE);
        }
        machine.nic.advance(10, &mut machine.memory);
        machine.nic.raise(EICR_LSC);
        machine.nic.set_link(round % 5 != 4, &mut machine.memory);
        for register in (0..SPACE).step_by(4) {
            machine.nic.read(register);
        }
        let _ = machine.nic.invariants();
        let _ = machine.nic.config_read(0, 4);
        machine.nic.config_write(4, 2, 6);
    }
    machine.nic.set_link(true, &mut machine.memory);
    machine.write(CTRL, CTRL_RST);
    machine.nic.clear_violations();
}

#[test]
fn nothing_is_allocated_after_the_start() {
    let mut machine = Machine::new(Config {
        moderation: true,
        wire_frames: 8,
        ..Config::new(MAC)
    });
    machine.bring_up(2, 16, 2);
    machine.scale(2);
    machine.write(rxpbsize(0), 8 << 10);
    machine.write(FCRTH0, FCRTH_FCEN | 0x400);
    machine.write(FCRTL0, FCRTL_XONE | 0x100);
    machine.write(FCCFG, FCCFG_TFCE_802_3X);
    machine.post(0, context(1, [14, 20, 20], true, true, 100));
    let frame = ipv4(6, 2, 5, &[1; 500]);
    let payload = u32::try_from(frame.len() - 54).unwrap() << 14;
    for _ in 0..3 {
        machine.post_data(0, &frame, DATA | TSE | END, payload | 3 << 8);
    }
    let frames: Vec<_> = (0..20)
        .map(|port| ipv4(6, 2, port, &[2; 900]))
        .chain([numbered([0xFF; 6], 1, 60), numbered(PEER, 1, 60)])
        .collect();
    let mut taken = vec![0; MAX_FRAME];
    let info = measure(|| work(&mut machine, &frames, &mut taken));
    assert_eq!(info, AllocationInfo::default());
    // It did something, and the counting counts.
    assert!(machine.nic.counters().all_queues().delivered > 20);
    assert!(machine.nic.counters().missed > 0);
    assert!(machine.nic.counters().all_queues().sent > 5);
    assert!(measure(|| drop(Nic::new(Config::new(MAC)))).count_total > 5);
}
