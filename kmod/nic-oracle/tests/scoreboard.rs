//! The scoreboard with valid and with invalid histories.

use kdk_nic_oracle::{Count, CounterSnapshot, Fault, InjectedFrame, Order, Scoreboard, digest};
use kdk_nic82599::Received;
use proptest::prelude::*;

fn good(flow: u16, number: u32) -> InjectedFrame {
    InjectedFrame {
        flow,
        digest: digest(&number.to_be_bytes()),
        bad: false,
    }
}

fn bad(flow: u16, number: u32) -> InjectedFrame {
    InjectedFrame {
        bad: true,
        ..good(flow, number)
    }
}

/// A scoreboard, and the counters of a NIC that match its reports.
struct History {
    scoreboard: Scoreboard,
    snapshot: CounterSnapshot,
}

impl History {
    fn new() -> Self {
        Self::ordered(Order::Queue)
    }

    fn ordered(order: Order) -> Self {
        let snapshot = CounterSnapshot::default();
        Self {
            scoreboard: Scoreboard::new(order, &snapshot),
            snapshot,
        }
    }

    fn of(offers: &[(InjectedFrame, Received)]) -> Self {
        let mut history = Self::new();
        for (injected, received) in offers {
            history.inject(*injected, *received);
        }
        history
    }

    fn inject(&mut self, injected: InjectedFrame, received: Received) {
        let snapshot = &mut self.snapshot;
        match received {
            Received::Delivered { queue } => snapshot.queues[usize::from(queue)].delivered += 1,
            Received::Dropped { queue } => snapshot.queues[usize::from(queue)].dropped += 1,
            Received::QueueDisabled { queue } => {
                snapshot.queues[usize::from(queue)].queue_disabled += 1
            }
            Received::Buffered { .. } => snapshot.buffered += 1,
            Received::Missed => snapshot.missed += 1,
            Received::Filtered => snapshot.filtered += 1,
            Received::Errored => snapshot.errored += 1,
            Received::Control => snapshot.control += 1,
            Received::ReceiveDisabled => snapshot.receive_disabled += 1,
        }
        assert_eq!(self.scoreboard.inject(injected, received), Ok(()));
    }

    /// Moves a frame from the packet buffer to memory.
    fn write(&mut self, queue: usize) {
        self.snapshot.buffered -= 1;
        self.snapshot.queues[queue].delivered += 1;
    }

    fn arrive(&mut self, number: u32) -> Result<(), Fault> {
        let digest = digest(&number.to_be_bytes());
        self.scoreboard.arrive(Some(number), digest)
    }

    fn settle(&self) -> Result<(), Fault> {
        let settled = self.scoreboard.check_settled(&self.snapshot);
        // A pending frame is a missing one.
        if self.scoreboard.is_pending(&self.snapshot) {
            assert!(settled.is_err(), "pending, and settled");
        }
        settled
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.scoreboard.interface_stopped(&self.snapshot)
    }
}

const Q0: Received = Received::Delivered { queue: 0 };
const Q1: Received = Received::Delivered { queue: 1 };
const BUFFERED: Received = Received::Buffered { queue: 0 };

#[test]
fn a_frame_is_pending_whatever_was_buffered() {
    let mut history = History::of(&[(good(7, 0), BUFFERED)]);
    history.write(0);
    assert_eq!(history.arrive(0), Ok(()));
    history.inject(good(7, 1), Q0);
    history.inject(bad(7, 2), BUFFERED);
    assert!(history.scoreboard.is_pending(&history.snapshot));
    assert_eq!(history.arrive(1), Ok(()));
    assert!(!history.scoreboard.is_pending(&history.snapshot));
    assert_eq!(history.settle(), Ok(()));
}

#[test]
fn what_arrives_as_it_should_is_right() {
    let mut history = History::of(&[(good(7, 0), Q0), (good(8, 1), Q1), (good(7, 2), Q0)]);
    assert!(history.scoreboard.is_pending(&history.snapshot));
    for number in [1, 0, 2] {
        assert_eq!(history.arrive(number), Ok(()));
    }
    assert!(!history.scoreboard.is_pending(&history.snapshot));
    assert_eq!(history.settle(), Ok(()));
    assert_eq!(history.close(), Ok(()));
    assert_eq!(history.scoreboard.arrived(), 3);
    assert_eq!(history.scoreboard.next(), 3);
}

#[test]
fn what_the_stack_should_not_get() {
    for received in [
        Received::Dropped { queue: 0 },
        Received::QueueDisabled { queue: 0 },
        Received::Missed,
        Received::Filtered,
        Received::Errored,
        Received::Control,
        Received::ReceiveDisabled,
    ] {
        let mut history = History::of(&[(bad(7, 0), received)]);
        assert_eq!(history.scoreboard.bad(), 0);
        assert_eq!(history.settle(), Ok(()), "{received:?}");
        assert_eq!(history.arrive(0), Err(Fault::Discarded { frame: 0 }));
    }
    for received in [Q0, BUFFERED] {
        let mut history = History::of(&[(bad(7, 0), received)]);
        assert_eq!(history.scoreboard.bad(), 1);
        assert_eq!(history.settle(), Ok(()), "{received:?}");
        assert_eq!(history.arrive(0), Err(Fault::Bad { frame: 0 }));
    }
    let mut history = History::of(&[(good(7, 0), Q0)]);
    assert_eq!(history.scoreboard.arrive(None, 0), Err(Fault::Unknown));
    assert_eq!(history.arrive(1), Err(Fault::Unknown));
    assert_eq!(
        history.scoreboard.arrive(Some(0), 0),
        Err(Fault::Altered { frame: 0 })
    );
    assert_eq!(history.arrive(0), Ok(()));
    assert_eq!(history.arrive(0), Err(Fault::Twice { frame: 0 }));
}

#[test]
fn a_queue_that_is_none() {
    let mut history = History::new();
    let received = Received::Delivered { queue: 16 };
    let offered = history.scoreboard.inject(good(7, 0), received);
    assert_eq!(offered, Err(Fault::Queue { queue: 16 }));
}

#[test]
fn order() {
    let mut history = History::of(&[(good(7, 0), Q0), (good(7, 1), Q0)]);
    assert_eq!(history.arrive(1), Ok(()));
    let fault = Fault::FlowOrder {
        flow: 7,
        frame: 0,
        before: 1,
    };
    assert_eq!(history.arrive(0), Err(fault));

    let mut history = History::of(&[(good(7, 0), Q0), (good(8, 1), Q0)]);
    assert_eq!(history.arrive(1), Ok(()));
    let fault = Fault::QueueOrder {
        queue: 0,
        frame: 0,
        before: 1,
    };
    assert_eq!(history.arrive(0), Err(fault));

    let sorted = || {
        let mut history = History::ordered(Order::Flow);
        for (number, flow) in (0..).zip([7, 8, 7]) {
            history.inject(good(flow, number), Q0);
        }
        history
    };
    let mut history = sorted();
    for number in [0, 2, 1] {
        assert_eq!(history.arrive(number), Ok(()));
    }
    assert_eq!(history.settle(), Ok(()));
    let mut history = sorted();
    for number in [2, 1] {
        assert_eq!(history.arrive(number), Ok(()));
    }
    // Lost, though the last one that arrived is not the latest.
    let skipped = Fault::Skipped {
        queue: 0,
        frame: 0,
        last: 2,
    };
    assert_eq!(history.close(), Err(skipped));
    let fault = Fault::FlowOrder {
        flow: 7,
        frame: 0,
        before: 2,
    };
    assert_eq!(history.arrive(0), Err(fault));
}

#[test]
fn what_is_lost() {
    let mut history = History::of(&[(good(7, 0), Q0), (good(8, 1), Q1), (good(7, 2), Q0)]);
    assert_eq!(history.arrive(2), Ok(()));
    let lost = Fault::Lost {
        flow: 7,
        queue: 0,
        frame: 0,
    };
    assert_eq!(history.settle(), Err(lost));
    // The stop may cost frame 1, but frame 0 was before frame 2.
    let skipped = Fault::Skipped {
        queue: 0,
        frame: 0,
        last: 2,
    };
    assert_eq!(history.close(), Err(skipped));
}

#[test]
fn a_stop_costs_the_last_ones() {
    let mut history = History::of(&[(good(7, 0), Q0), (good(7, 1), Q0), (good(8, 2), Q1)]);
    assert_eq!(history.arrive(0), Ok(()));
    assert_eq!(history.close(), Ok(()));
    assert_eq!(history.settle(), Ok(()));
    assert_eq!(history.arrive(1), Err(Fault::Late { frame: 1 }));
    // A flow may be on another queue now, but goes on.
    history.inject(good(7, 3), Q1);
    assert_eq!(history.arrive(3), Ok(()));
    assert_eq!(history.settle(), Ok(()));
}

#[test]
fn buffered_frames() {
    let mut history = History::of(&[(good(7, 0), BUFFERED), (good(7, 1), BUFFERED)]);
    assert_eq!(history.settle(), Ok(()), "still buffered");
    history.write(0);
    assert!(history.scoreboard.is_pending(&history.snapshot));
    let unbalanced = |written, arrived| Fault::Unbalanced {
        queue: 0,
        written,
        arrived,
        bad: 0,
    };
    assert_eq!(history.settle(), Err(unbalanced(1, 0)));
    assert_eq!(history.arrive(0), Ok(()));
    assert_eq!(history.settle(), Ok(()));
    assert_eq!(history.arrive(1), Ok(()));
    assert_eq!(
        history.settle(),
        Err(unbalanced(1, 2)),
        "more than was written"
    );
    assert_eq!(history.close(), Err(unbalanced(1, 2)));
    history.write(0);
    assert_eq!(history.settle(), Ok(()));

    // A bad one may be the one that was written.
    let mut history = History::of(&[(bad(7, 0), BUFFERED), (good(7, 1), BUFFERED)]);
    history.write(0);
    assert_eq!(history.settle(), Ok(()));
    // Buffered frames that are flushed.
    history.snapshot.buffered = 0;
    history.snapshot.flushed = 1;
    assert_eq!(history.settle(), Ok(()));
}

#[test]
fn what_the_card_counts() {
    type Wrong = fn(&mut CounterSnapshot);
    for (count, wrong, counted) in [
        (
            Count::ReceiveDisabled,
            (|snapshot| snapshot.receive_disabled += 1) as Wrong,
            1,
        ),
        (Count::Errored, |snapshot| snapshot.errored += 1, 1),
        (Count::Control, |snapshot| snapshot.control += 1, 1),
        (Count::Filtered, |snapshot| snapshot.filtered += 1, 1),
        (Count::Missed, |snapshot| snapshot.missed += 1, 1),
        (
            Count::QueueDisabled,
            |snapshot| snapshot.queues[3].queue_disabled += 1,
            1,
        ),
        (
            Count::Passed,
            |snapshot| snapshot.queues[3].delivered += 1,
            1,
        ),
        (Count::Passed, |snapshot| snapshot.queues[3].dropped += 1, 1),
        (Count::Passed, |snapshot| snapshot.flushed += 1, 1),
        (Count::Passed, |snapshot| snapshot.buffered += 1, 1),
    ] {
        let mut history = History::new();
        wrong(&mut history.snapshot);
        let fault = Fault::Count {
            count,
            reported: 0,
            counted,
        };
        assert_eq!(
            history.scoreboard.check_settled(&history.snapshot),
            Err(fault)
        );
        assert_eq!(history.close(), Err(fault));
        // A scoreboard ignores what was counted before it was made.
        let scoreboard = Scoreboard::new(Order::Queue, &history.snapshot);
        assert_eq!(scoreboard.check_settled(&history.snapshot), Ok(()));
    }
}

#[test]
fn faults_say_which_frame() {
    for (fault, said) in [
        (
            Fault::Twice { frame: 5 },
            "the stack received frame 5 twice",
        ),
        (
            Fault::Count {
                count: Count::Missed,
                reported: 1,
                counted: 2,
            },
            "Missed: the NIC reported 1 frames and counts 2",
        ),
    ] {
        assert_eq!(fault.to_string(), said);
    }
}

/// Frames of a few flows, on the queue of their flow.
fn wire() -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(0_u16..6, 2..60)
}

fn queue(flow: u16) -> u16 {
    flow % 2
}

fn delivered(flows: &[u16]) -> History {
    let mut history = History::new();
    for (number, flow) in (0..).zip(flows) {
        let queue = queue(*flow);
        history.inject(good(*flow, number), Received::Delivered { queue });
    }
    history
}

fn judge(history: &mut History, arrivals: &[u32]) -> Result<(), Fault> {
    arrivals
        .iter()
        .try_for_each(|number| history.arrive(*number))?;
    history.settle()
}

proptest! {
    /// Queues may overtake each other.
    #[test]
    fn any_merge_of_the_queues_is_right(flows in wire(), turns: u64) {
        let mut history = delivered(&flows);
        let numbers: Vec<u32> = (0..).zip(&flows).map(|(number, _)| number).collect();
        let on = |wanted| {
            let flows = &flows;
            numbers.iter().copied().filter(move |number| queue(flows[*number as usize]) == wanted)
        };
        let mut queues = [on(0).peekable(), on(1).peekable()];
        let mut arrivals = Vec::new();
        while arrivals.len() < flows.len() {
            let first = (turns >> (arrivals.len() % 64) & 1) as usize;
            let next = queues[first].next().or_else(|| queues[1 - first].next());
            arrivals.extend(next);
        }
        prop_assert_eq!(judge(&mut history, &arrivals), Ok(()));
    }

    #[test]
    fn nothing_may_be_missing(flows in wire(), at: prop::sample::Index) {
        let mut arrivals: Vec<u32> = (0..).zip(&flows).map(|(number, _)| number).collect();
        arrivals.remove(at.index(flows.len()));
        let judged = judge(&mut delivered(&flows), &arrivals);
        prop_assert!(matches!(judged, Err(Fault::Lost { .. })), "{:?}", judged);
    }

    #[test]
    fn nothing_may_come_twice(flows in wire(), at: prop::sample::Index, to: prop::sample::Index) {
        let mut arrivals: Vec<u32> = (0..).zip(&flows).map(|(number, _)| number).collect();
        let again = arrivals[at.index(flows.len())];
        arrivals.insert(to.index(flows.len() + 1), again);
        prop_assert!(judge(&mut delivered(&flows), &arrivals).is_err());
    }

    #[test]
    fn two_of_a_queue_may_not_change_places(flows in wire(), at: prop::sample::Index) {
        let mut arrivals: Vec<u32> = (0..).zip(&flows).map(|(number, _)| number).collect();
        let first = at.index(flows.len());
        let same = |number: &u32| queue(flows[*number as usize]) == queue(flows[first]);
        let later = arrivals.iter().skip(first + 1).position(same);
        prop_assume!(later.is_some());
        arrivals.swap(first, first + 1 + later.unwrap_or(0));
        let judged = judge(&mut delivered(&flows), &arrivals);
        let disorder = matches!(judged, Err(Fault::FlowOrder { .. } | Fault::QueueOrder { .. }));
        prop_assert!(disorder, "{:?}", judged);
    }
}
