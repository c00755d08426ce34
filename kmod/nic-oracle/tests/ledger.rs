//! The ledger against histories that are right, and against ones that are not.

use kdk_nic_oracle::{Account, Count, Fault, Ledger, Offer, Order, digest};
use kdk_nic82599::Received;
use proptest::prelude::*;

fn offer(flow: u16, number: u32) -> Offer {
    Offer {
        flow,
        digest: digest(&number.to_be_bytes()),
        bad: false,
    }
}

fn bad(flow: u16, number: u32) -> Offer {
    Offer {
        bad: true,
        ..offer(flow, number)
    }
}

/// A card that counts what it says, and frames that go where they have to.
struct Scene {
    ledger: Ledger,
    account: Account,
}

impl Scene {
    fn new() -> Self {
        Self::ordered(Order::Queue)
    }

    fn ordered(order: Order) -> Self {
        let account = Account::default();
        Self {
            ledger: Ledger::new(order, &account),
            account,
        }
    }

    fn of(offers: &[(Offer, Received)]) -> Self {
        let mut scene = Self::new();
        for (offer, received) in offers {
            scene.offer(*offer, *received);
        }
        scene
    }

    fn offer(&mut self, offer: Offer, received: Received) {
        let account = &mut self.account;
        match received {
            Received::Delivered { queue } => account.queues[usize::from(queue)].delivered += 1,
            Received::Dropped { queue } => account.queues[usize::from(queue)].dropped += 1,
            Received::Lost { queue } => account.queues[usize::from(queue)].lost += 1,
            Received::Held { .. } => account.held += 1,
            Received::Missed => account.missed += 1,
            Received::Filtered => account.filtered += 1,
            Received::Errored => account.errored += 1,
            Received::Control => account.control += 1,
            Received::Deaf => account.deaf += 1,
        }
        assert_eq!(self.ledger.offer(offer, received), Ok(()));
    }

    /// A frame that was held goes to memory.
    fn write(&mut self, queue: usize) {
        self.account.held -= 1;
        self.account.queues[queue].delivered += 1;
    }

    fn arrive(&mut self, number: u32) -> Result<(), Fault> {
        let digest = digest(&number.to_be_bytes());
        self.ledger.arrive(Some(number), digest)
    }

    fn settle(&self) -> Result<(), Fault> {
        let settled = self.ledger.settle(&self.account);
        // What is due is what is missing.
        if self.ledger.is_due(&self.account) {
            assert!(settled.is_err(), "due, and settled");
        }
        settled
    }

    fn close(&mut self) -> Result<(), Fault> {
        self.ledger.close(&self.account)
    }
}

const Q0: Received = Received::Delivered { queue: 0 };
const Q1: Received = Received::Delivered { queue: 1 };
const HELD: Received = Received::Held { queue: 0 };

#[test]
fn what_arrives_as_it_should_is_right() {
    let mut scene = Scene::of(&[(offer(7, 0), Q0), (offer(8, 1), Q1), (offer(7, 2), Q0)]);
    assert!(scene.ledger.is_due(&scene.account));
    for number in [1, 0, 2] {
        assert_eq!(scene.arrive(number), Ok(()));
    }
    assert!(!scene.ledger.is_due(&scene.account));
    assert_eq!(scene.settle(), Ok(()));
    assert_eq!(scene.close(), Ok(()));
    assert_eq!(scene.ledger.arrived(), 3);
    assert_eq!(scene.ledger.next(), 3);
}

#[test]
fn what_the_stack_should_not_get() {
    for received in [
        Received::Dropped { queue: 0 },
        Received::Lost { queue: 0 },
        Received::Missed,
        Received::Filtered,
        Received::Errored,
        Received::Control,
        Received::Deaf,
    ] {
        let mut scene = Scene::of(&[(offer(7, 0), received)]);
        assert_eq!(scene.settle(), Ok(()), "{received:?}");
        assert_eq!(scene.arrive(0), Err(Fault::Discarded { frame: 0 }));
    }
    for received in [Q0, HELD] {
        let mut scene = Scene::of(&[(bad(7, 0), received)]);
        assert_eq!(scene.settle(), Ok(()), "{received:?}");
        assert_eq!(scene.arrive(0), Err(Fault::Bad { frame: 0 }));
    }
    let mut scene = Scene::of(&[(offer(7, 0), Q0)]);
    assert_eq!(scene.ledger.arrive(None, 0), Err(Fault::Unknown));
    assert_eq!(scene.arrive(1), Err(Fault::Unknown));
    assert_eq!(
        scene.ledger.arrive(Some(0), 0),
        Err(Fault::Altered { frame: 0 })
    );
    assert_eq!(scene.arrive(0), Ok(()));
    assert_eq!(scene.arrive(0), Err(Fault::Twice { frame: 0 }));
}

#[test]
fn a_queue_that_is_none() {
    let mut scene = Scene::new();
    let received = Received::Delivered { queue: 16 };
    let offered = scene.ledger.offer(offer(7, 0), received);
    assert_eq!(offered, Err(Fault::Queue { queue: 16 }));
}

#[test]
fn order() {
    let mut scene = Scene::of(&[(offer(7, 0), Q0), (offer(7, 1), Q0)]);
    assert_eq!(scene.arrive(1), Ok(()));
    let fault = Fault::FlowOrder {
        flow: 7,
        frame: 0,
        before: 1,
    };
    assert_eq!(scene.arrive(0), Err(fault));

    let mut scene = Scene::of(&[(offer(7, 0), Q0), (offer(8, 1), Q0)]);
    assert_eq!(scene.arrive(1), Ok(()));
    let fault = Fault::QueueOrder {
        queue: 0,
        frame: 0,
        before: 1,
    };
    assert_eq!(scene.arrive(0), Err(fault));

    let sorted = || {
        let mut scene = Scene::ordered(Order::Flow);
        for (number, flow) in (0..).zip([7, 8, 7]) {
            scene.offer(offer(flow, number), Q0);
        }
        scene
    };
    let mut scene = sorted();
    for number in [0, 2, 1] {
        assert_eq!(scene.arrive(number), Ok(()));
    }
    assert_eq!(scene.settle(), Ok(()));
    let mut scene = sorted();
    for number in [2, 1] {
        assert_eq!(scene.arrive(number), Ok(()));
    }
    // Lost, though the last one that arrived is not the latest.
    let skipped = Fault::Skipped {
        queue: 0,
        frame: 0,
        last: 2,
    };
    assert_eq!(scene.close(), Err(skipped));
    let fault = Fault::FlowOrder {
        flow: 7,
        frame: 0,
        before: 2,
    };
    assert_eq!(scene.arrive(0), Err(fault));
}

#[test]
fn what_is_lost() {
    let mut scene = Scene::of(&[(offer(7, 0), Q0), (offer(8, 1), Q1), (offer(7, 2), Q0)]);
    assert_eq!(scene.arrive(2), Ok(()));
    let lost = Fault::Lost {
        flow: 7,
        queue: 0,
        frame: 0,
    };
    assert_eq!(scene.settle(), Err(lost));
    // The stop may cost frame 1, but frame 0 was before frame 2.
    let skipped = Fault::Skipped {
        queue: 0,
        frame: 0,
        last: 2,
    };
    assert_eq!(scene.close(), Err(skipped));
}

#[test]
fn a_stop_costs_the_last_ones() {
    let mut scene = Scene::of(&[(offer(7, 0), Q0), (offer(7, 1), Q0), (offer(8, 2), Q1)]);
    assert_eq!(scene.arrive(0), Ok(()));
    assert_eq!(scene.close(), Ok(()));
    assert_eq!(scene.settle(), Ok(()));
    assert_eq!(scene.arrive(1), Err(Fault::Late { frame: 1 }));
    // A flow may be on another queue now, but goes on.
    scene.offer(offer(7, 3), Q1);
    assert_eq!(scene.arrive(3), Ok(()));
    assert_eq!(scene.settle(), Ok(()));
}

#[test]
fn what_was_held() {
    let mut scene = Scene::of(&[(offer(7, 0), HELD), (offer(7, 1), HELD)]);
    assert_eq!(scene.settle(), Ok(()), "held still");
    scene.write(0);
    assert!(scene.ledger.is_due(&scene.account));
    let held = |written, arrived| Fault::Held {
        queue: 0,
        written,
        arrived,
        bad: 0,
    };
    assert_eq!(scene.settle(), Err(held(1, 0)));
    assert_eq!(scene.arrive(0), Ok(()));
    assert_eq!(scene.settle(), Ok(()));
    assert_eq!(scene.arrive(1), Ok(()));
    assert_eq!(scene.settle(), Err(held(1, 2)), "more than was written");
    assert_eq!(scene.close(), Err(held(1, 2)));
    scene.write(0);
    assert_eq!(scene.settle(), Ok(()));

    // A bad one may be the one that was written.
    let mut scene = Scene::of(&[(bad(7, 0), HELD), (offer(7, 1), HELD)]);
    scene.write(0);
    assert_eq!(scene.settle(), Ok(()));
    // Held frames that go another way.
    scene.account.held = 0;
    scene.account.flushed = 1;
    assert_eq!(scene.settle(), Ok(()));
}

#[test]
fn what_the_card_counts() {
    type Wrong = fn(&mut Account);
    for (count, wrong, counted) in [
        (Count::Deaf, (|account| account.deaf += 1) as Wrong, 1),
        (Count::Errored, |account| account.errored += 1, 1),
        (Count::Control, |account| account.control += 1, 1),
        (Count::Filtered, |account| account.filtered += 1, 1),
        (Count::Missed, |account| account.missed += 1, 1),
        (Count::Lost, |account| account.queues[3].lost += 1, 1),
        (Count::Passed, |account| account.queues[3].delivered += 1, 1),
        (Count::Passed, |account| account.queues[3].dropped += 1, 1),
        (Count::Passed, |account| account.flushed += 1, 1),
        (Count::Passed, |account| account.held += 1, 1),
    ] {
        let mut scene = Scene::new();
        wrong(&mut scene.account);
        let fault = Fault::Count {
            count,
            said: 0,
            counted,
        };
        assert_eq!(scene.ledger.settle(&scene.account), Err(fault));
        assert_eq!(scene.close(), Err(fault));
        // What was before the ledger is not its business.
        let ledger = Ledger::new(Order::Queue, &scene.account);
        assert_eq!(ledger.settle(&scene.account), Ok(()));
    }
}

#[test]
fn faults_say_which_frame() {
    for (fault, said) in [
        (Fault::Twice { frame: 5 }, "the stack got frame 5 twice"),
        (
            Fault::Count {
                count: Count::Missed,
                said: 1,
                counted: 2,
            },
            "Missed: the card said so of 1 frames and counts 2",
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

fn delivered(flows: &[u16]) -> Scene {
    let mut scene = Scene::new();
    for (number, flow) in (0..).zip(flows) {
        let queue = queue(*flow);
        scene.offer(offer(*flow, number), Received::Delivered { queue });
    }
    scene
}

fn judge(scene: &mut Scene, arrivals: &[u32]) -> Result<(), Fault> {
    arrivals
        .iter()
        .try_for_each(|number| scene.arrive(*number))?;
    scene.settle()
}

proptest! {
    /// Queues may overtake each other.
    #[test]
    fn any_merge_of_the_queues_is_right(flows in wire(), turns: u64) {
        let mut scene = delivered(&flows);
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
        prop_assert_eq!(judge(&mut scene, &arrivals), Ok(()));
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
