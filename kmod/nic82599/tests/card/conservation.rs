//! Whatever is received is delivered in order, dropped and counted, or buffered;
//! whatever a driver and a test do.

use std::collections::BTreeMap;

use kdk_nic82599::registers::*;
use kdk_nic82599::{Direction, FrameErrors, Received};
use proptest::prelude::*;

use crate::support::{Machine, ipv4};

const QUEUES: u16 = 3;

#[derive(Debug, Clone)]
enum Step {
    /// A frame of a flow, with so much payload.
    Receive {
        flow: u16,
        payload: usize,
        bad: bool,
    },
    /// The driver takes all frames of a queue.
    Take {
        queue: u16,
    },
    /// The driver gives back what it took.
    Refill {
        queue: u16,
    },
    Stall {
        queue: u16,
        stalled: bool,
    },
    Drop {
        queue: u16,
        drop: bool,
    },
    /// Of the packet buffer, in KB.
    Size {
        kilobytes: u32,
    },
    Link {
        up: bool,
    },
    Bus {
        on: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let queue = || 0..QUEUES;
    prop_oneof![
        10 => (0..12u16, 0..1400usize, prop::bool::weighted(0.1))
            .prop_map(|(flow, payload, bad)| Step::Receive { flow, payload, bad }),
        3 => queue().prop_map(|queue| Step::Take { queue }),
        3 => queue().prop_map(|queue| Step::Refill { queue }),
        1 => (queue(), any::<bool>()).prop_map(|(queue, stalled)| Step::Stall { queue, stalled }),
        1 => (queue(), any::<bool>()).prop_map(|(queue, drop)| Step::Drop { queue, drop }),
        1 => (1..20u32).prop_map(|kilobytes| Step::Size { kilobytes }),
        1 => prop::bool::weighted(0.8).prop_map(|up| Step::Link { up }),
        1 => prop::bool::weighted(0.8).prop_map(|on| Step::Bus { on }),
    ]
}

/// What the driver has seen, and what the model reported.
#[derive(Default)]
struct Totals {
    /// The next number of each flow, and the last that arrived.
    next: BTreeMap<u16, u32>,
    last: BTreeMap<u16, u32>,
    arrived: u64,
}

impl Totals {
    fn take(&mut self, machine: &mut Machine, queue: u16) {
        while let Some(frame) = machine.next_frame(queue) {
            let flow = u16::from_be_bytes([frame.bytes[34], frame.bytes[35]]);
            let number = u32::from_be_bytes(frame.bytes[42..46].try_into().unwrap());
            let last = self.last.insert(flow, number);
            assert!(last.is_none_or(|last| last < number), "out of order");
            self.arrived += 1;
        }
    }

    fn receive(&mut self, machine: &mut Machine, flow: u16, payload: usize, bad: bool) -> Received {
        let number = self.next.entry(flow).or_insert(0);
        *number += 1;
        let payload = [&number.to_be_bytes()[..], &vec![0; payload]].concat();
        let errors = FrameErrors {
            crc: bad,
            ..FrameErrors::NONE
        };
        machine.inject_bad(&ipv4(17, 2, flow, &payload), errors)
    }
}

fn run(steps: &[Step]) {
    let mut machine = Machine::running(QUEUES);
    machine.scale(u32::from(QUEUES));
    machine.write(MRQC, 1 | 1 << 22);
    let mut totals = Totals::default();
    for step in steps {
        match *step {
            Step::Receive { flow, payload, bad } => {
                let before = machine.nic.counters().clone();
                let received = totals.receive(&mut machine, flow, payload, bad);
                let after = machine.nic.counters();
                let grown = match received {
                    Received::Delivered { queue } => {
                        after.queue(queue).delivered - before.queue(queue).delivered
                    }
                    Received::Dropped { queue } => {
                        after.queue(queue).dropped - before.queue(queue).dropped
                    }
                    Received::Buffered { .. } => machine.nic.buffered_frames() as u64,
                    Received::Missed => after.missed - before.missed,
                    Received::Errored => after.errored - before.errored,
                    Received::ReceiveDisabled => after.receive_disabled - before.receive_disabled,
                    other => panic!("{other:?}"),
                };
                assert!(grown > 0, "{received:?}");
            }
            Step::Take { queue } => totals.take(&mut machine, queue),
            Step::Refill { queue } => machine.refill(queue),
            Step::Stall { queue, stalled } => {
                machine.nic.stall(queue, stalled, &mut machine.memory);
            }
            Step::Drop { queue, drop } => {
                let value = machine.nic.peek(srrctl(queue)) & !SRRCTL_DROP_EN;
                let drop = if drop { SRRCTL_DROP_EN } else { 0 };
                machine.write(srrctl(queue), value | drop);
            }
            Step::Size { kilobytes } => machine.write(rxpbsize(0), kilobytes << 10),
            Step::Link { up } => machine.nic.set_link(up, &mut machine.memory),
            Step::Bus { on } => machine.write(CTRL, if on { 0 } else { CTRL_GIO_DIS }),
        }
        machine.nic.invariants().unwrap();
    }
    // Everything is let go.
    machine.write(CTRL, 0);
    for queue in 0..QUEUES {
        machine.nic.stall(queue, false, &mut machine.memory);
    }
    for _ in 0..=machine.nic.buffered_frames() {
        for queue in 0..QUEUES {
            totals.take(&mut machine, queue);
            machine.refill(queue);
        }
    }
    assert_eq!(machine.nic.buffered_frames(), 0);
    let queues = machine.nic.counters().all_queues();
    for queue in 0..QUEUES {
        totals.take(&mut machine, queue);
        machine.refill(queue);
        assert_eq!(machine.nic.owned(Direction::Receive, queue), 15);
    }
    assert_eq!(totals.arrived, queues.delivered);
    assert_eq!(
        machine.nic.counters().offered,
        machine.nic.counters().accounted()
    );
    assert_eq!(machine.nic.violations().seen(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn every_frame_is_accounted_for(steps in prop::collection::vec(step(), 1..300)) {
        run(&steps);
    }
}

#[test]
fn a_run_that_delivers_drops_misses_and_holds() {
    let receive = |flow| Step::Receive {
        flow,
        payload: 1000,
        bad: false,
    };
    let steps: Vec<_> = (0..20)
        .map(receive)
        .chain([
            Step::Size { kilobytes: 2 },
            Step::Drop {
                queue: 1,
                drop: true,
            },
        ])
        .chain((0..60).map(|nth| receive(nth % 12)))
        .collect();
    run(&steps);
}
