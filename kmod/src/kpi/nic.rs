//! Network cards made of software (`kdk_nic82599`), on a bus made of software
//! (`shim/kdk_pci.h`), driven by the tree's own ixgbe driver.

use super::cpus::cpus;
use super::errno::Errno;
use super::exclusive::Exclusive;
use super::interface::{Interface, ThreadId};
use super::kenv::Tunable;
use super::resource::{Registration, Stop};
use super::spin::Spin;
use super::taskqueue::{Task, Taskqueue};
use super::{bindings, leaked, time};
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering};
use kdk_nic82599::{
    Config, FrameErrors, Host, MAX_FRAME, MAX_VIOLATIONS, Nic, Received, SegmentCounts, Segments,
    Violation,
};

/// Cards that can be there at one time with a number of queues of the test's.
#[cfg(iflib)]
const UNITS: u32 = 4;

/// The machine's memory, as a card reaches it.
#[derive(Debug)]
pub struct Memory {
    /// Accesses to what is no memory, or not this card's any more.
    invalid_dma: u32,
    /// The card was taken out.
    detached: bool,
}

impl Host for Memory {
    fn dma_read(&mut self, address: u64, into: &mut [u8]) {
        // SAFETY: so many bytes are written, if it is memory of the machine's.
        // Whose it is the driver has to know: that is what is tested.
        let there = !self.detached
            && unsafe {
                bindings::kdk_dma_read(address, into.as_mut_ptr().cast(), into.len()) != 0
            };
        if !there {
            into.fill(0);
            self.invalid_dma += 1;
        }
    }

    fn dma_write(&mut self, address: u64, from: &[u8]) {
        // SAFETY: as in `dma_read`: the driver has given this address for it.
        let there = !self.detached
            && unsafe { bindings::kdk_dma_write(address, from.as_ptr().cast(), from.len()) != 0 };
        if !there {
            self.invalid_dma += 1;
        }
    }
}

struct State {
    nic: Nic,
    memory: Memory,
    /// Takes what is transmitted away.
    wire: Option<Arc<Task>>,
    /// What the wire has segments.
    segments: Segments,
    /// What is to happen before a write.
    before: Option<BeforeWrite>,
    before_write_result: Option<Received>,
}

/// A frame that comes in before a write of all these bits.
struct BeforeWrite {
    register: u32,
    mask: u32,
    frame: Vec<u8>,
}

impl State {
    /// A write of the driver's. Returns what came in before it, to be freed
    /// without the card's lock.
    fn write(&mut self, register: u32, value: u32) -> Option<BeforeWrite> {
        let due = |before: &mut BeforeWrite| {
            before.register == register && value & before.mask == before.mask
        };
        let before = self.before.take_if(due);
        if let Some(before) = &before {
            let frame = &before.frame;
            let received = self.nic.receive(frame, FrameErrors::NONE, &mut self.memory);
            self.before_write_result = Some(received);
        }
        self.nic.write(register, value, &mut self.memory);
        before
    }
}

/// What the driver's threads, the bus and the test share.
struct Shared {
    state: Spin<State>,
    /// The bus, while there is one.
    pci: AtomicPtr<bindings::kdk_pci>,
    /// Threads that use the bus.
    callers: AtomicU32,
    stopped: AtomicBool,
}

impl Shared {
    /// Does something with the card, and handles the interrupts it causes.
    fn with<R>(&self, f: impl FnOnce(&mut Nic, &mut Memory) -> R) -> R {
        self.change(|state| f(&mut state.nic, &mut state.memory))
    }

    fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let result = self.state.with(|state| {
            let result = f(state);
            if let Some(wire) = state.wire.as_ref().filter(|_| state.nic.on_wire() > 0) {
                // A wire that is being taken away does not carry it any more.
                let _ = wire.enqueue();
            }
            result
        });
        self.interrupt();
        result
    }

    /// A write of the driver's.
    fn write(&self, register: u32, value: u32) {
        if self.change(|state| state.write(register, value)).is_some() {
            while (0..bindings::KDK_PCI_VECTORS).any(|vector| !self.is_idle(vector)) {
                // The driver may hold a mutex, so nothing sleeps here.
                core::hint::spin_loop();
            }
        }
    }

    fn is_idle(&self, vector: u32) -> bool {
        let pci = self.pci.load(Ordering::SeqCst);
        // SAFETY: the bus is there while the driver is attached.
        unsafe { bindings::kdk_pci_idle(pci, vector) != 0 }
    }

    /// Takes a frame off the card; how long it is.
    fn take_transmitted(&self, into: &mut [u8]) -> Option<usize> {
        self.with(|nic, memory| {
            let frame = nic.take_transmitted(into);
            // There is room for one more now.
            nic.pump(memory);
            frame.map(|frame| frame.length)
        })
    }

    /// The handlers are called without the card's lock.
    fn interrupt(&self) {
        self.callers.fetch_add(1, Ordering::SeqCst);
        let pci = self.pci.load(Ordering::SeqCst);
        if !pci.is_null() {
            // SAFETY: the bus is there while somebody is inside.
            unsafe { bindings::kdk_pci_interrupt(pci) }
        }
        self.callers.fetch_sub(1, Ordering::SeqCst);
    }

    /// The number the bus and the driver know the card by.
    fn handle(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).expose_provenance()
    }

    fn detach(&self) -> Result<(), Errno> {
        let pci = self.pci.load(Ordering::SeqCst);
        // SAFETY: the card is attached, and detached by one thread, once.
        Errno::check(unsafe { bindings::kdk_pci_detach(pci) })?;
        // A wire may still bring frames.
        self.state.with(|state| state.memory.detached = true);
        self.pci.store(core::ptr::null_mut(), Ordering::SeqCst);
        while self.callers.load(Ordering::SeqCst) != 0 {
            time::yield_now();
        }
        // SAFETY: nobody is inside, nor will be.
        for _ in 0..unsafe { bindings::kdk_pci_free(pci) } {
            leaked::record("resource of a card", c"");
        }
        Ok(())
    }
}

// SAFETY: detaching a driver waits for all it has running, and afterwards it
// knows nothing of the card.
unsafe impl Stop for Shared {
    const WHAT: &'static str = "network card";

    fn stop(&self) {
        if self.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(errno) = self.detach() {
            // It would go on using a card that is no more.
            panic!("the driver cannot be detached from its card: {errno}");
        }
    }
}

/// The card of a number that [`Shared::handle`] has given.
fn card(nic: usize) -> &'static Shared {
    // SAFETY: the bus and the driver have the number from `Card::attach`; the
    // card is freed after they have forgotten it.
    unsafe { &*core::ptr::with_exposed_provenance(nic) }
}

#[unsafe(no_mangle)]
extern "C" fn kdk_nic_read(nic: usize, reg: u32) -> u32 {
    card(nic).state.with(|state| state.nic.read(reg))
}

#[unsafe(no_mangle)]
extern "C" fn kdk_nic_write(nic: usize, reg: u32, value: u32) {
    card(nic).write(reg, value);
}

#[unsafe(no_mangle)]
extern "C" fn kdk_nic_config_read(nic: usize, reg: u32, width: u32) -> u32 {
    card(nic)
        .state
        .with(|state| state.nic.config_read(reg as usize, width as usize))
}

#[unsafe(no_mangle)]
extern "C" fn kdk_nic_config_write(nic: usize, reg: u32, value: u32, width: u32) {
    card(nic)
        .state
        .with(|state| state.nic.config_write(reg as usize, width as usize, value));
}

#[unsafe(no_mangle)]
extern "C" fn kdk_nic_take_interrupt(nic: usize) -> c_int {
    let vector = card(nic).state.with(|state| state.nic.take_interrupt());
    vector.map_or(-1, c_int::from)
}

/// How a card is made and its driver told of it.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The card.
    pub card: Config,
    /// Queues in each direction; `None` for what the driver takes by itself:
    /// as many as the machine has CPUs.
    pub queues: Option<u32>,
    /// Descriptors of a ring in each direction; `None` for what the driver
    /// takes by itself.
    pub descriptors: Option<u32>,
    /// Whether it has MSI-X; otherwise it has one MSI message.
    pub msix: bool,
    /// Whether its bus reaches only the beginnings of pages: most of what is
    /// received goes through bounce pages then. iflib(9) knows nothing of it.
    pub bounced: bool,
}

impl Setup {
    /// The `nth` card of a test, with an address of its own.
    #[must_use]
    pub const fn nth(nth: u8) -> Self {
        Self {
            card: Config::new([0x02, 0x4b, 0x44, 0x4b, 0x00, nth]),
            queues: None,
            descriptors: None,
            msix: true,
            bounced: false,
        }
    }

    /// `KDK_PCI_*`.
    const fn flags(&self) -> u32 {
        let without_msix = if self.msix {
            0
        } else {
            bindings::KDK_PCI_WITHOUT_MSIX
        };
        let bounced = if self.bounced {
            bindings::KDK_PCI_BOUNCED
        } else {
            0
        };
        without_msix | bounced
    }

    /// Queues in each direction that the driver will have.
    ///
    /// # Errors
    /// `EINVAL` for none, and for more than [`most_queues`].
    fn checked_queues(&self) -> Result<Option<u32>, Errno> {
        let bad = |&queues: &u32| queues == 0 || queues > most_queues();
        match self.queues.filter(bad) {
            Some(_) => Err(Errno::EINVAL),
            None => Ok(self.queues),
        }
    }

    /// The tunables of whichever unit the card will be.
    fn tunables(&self) -> Result<Vec<Tunable>, Errno> {
        let wanted = [
            (QUEUES, self.checked_queues()?),
            (DESCRIPTORS, self.descriptors),
        ];
        let mut set = Vec::new();
        for (names, value) in wanted {
            for name in value.iter().flat_map(|_| tunable_names(names)) {
                set.push(Tunable::set(
                    &name,
                    &format!("{}", value.unwrap_or_default()),
                )?);
            }
        }
        Ok(set)
    }
}

/// Most queues in each direction that a test can ask for. With iflib(9) it is
/// one less than the machine has CPUs: of more it would take other numbers, and
/// not the same in both directions.
#[must_use]
pub fn most_queues() -> u32 {
    if cfg!(iflib) {
        cpus().count_ones() - 1
    } else {
        RSS_QUEUES
    }
}

/// Queues that the card spreads flows over (RETA's entries have 4 bits).
const RSS_QUEUES: u32 = 16;

/// What the driver calls its numbers of queues and of descriptors.
#[cfg(iflib)]
const QUEUES: &[&str] = &["override_nrxqs", "override_ntxqs"];
#[cfg(iflib)]
const DESCRIPTORS: &[&str] = &["override_nrxds", "override_ntxds"];
#[cfg(not(iflib))]
const QUEUES: &[&str] = &["num_queues"];
#[cfg(not(iflib))]
const DESCRIPTORS: &[&str] = &["rxd", "txd"];

/// Each unit has its own.
#[cfg(iflib)]
fn tunable_names(names: &'static [&str]) -> impl Iterator<Item = String> {
    let units = (0..UNITS).flat_map(move |unit| names.iter().map(move |name| (unit, name)));
    units.map(|(unit, name)| format!("dev.ix.{unit}.iflib.{name}"))
}

/// The driver looks at them whenever a card comes, see `shim/kdk_ixgbe_io.h`.
#[cfg(not(iflib))]
fn tunable_names(names: &'static [&str]) -> impl Iterator<Item = String> {
    names.iter().map(|name| format!("hw.ixgbe.{name}"))
}

/// What the driver has of its card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Regions of memory.
    pub memory: u32,
    /// Interrupts.
    pub interrupts: u32,
    /// Interrupts with a handler.
    pub handlers: u32,
    /// MSI-X or MSI messages.
    pub messages: u32,
    /// Interrupts that were handled so far.
    pub fired: u32,
    /// Interrupts that nobody has handled.
    pub stray: u32,
}

/// A card, with the driver attached to it.
pub struct Card {
    registration: Option<Registration>,
    shared: Arc<Shared>,
    interface: Interface,
    address: [u8; 6],
}

impl Card {
    /// Puts a card in; the driver finds and attaches it.
    ///
    /// # Errors
    /// `EINVAL` for a number of queues that cannot be had, `ENXIO` when no
    /// driver wants the card, what the driver's attach failed with, `EAGAIN` when the test has too many resources already.
    pub fn attach(setup: &Setup) -> Result<Self, Errno> {
        let tunables = setup.tunables()?;
        let shared = Arc::new(Shared {
            state: Spin::new(
                c"kdk card",
                State {
                    nic: Nic::new(setup.card),
                    memory: Memory {
                        invalid_dma: 0,
                        detached: false,
                    },
                    wire: None,
                    segments: Segments::new(),
                    before: None,
                    before_write_result: None,
                },
            ),
            pci: AtomicPtr::new(core::ptr::null_mut()),
            callers: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
        });
        // SAFETY: the card outlives its driver, see `Drop` and `Stop`.
        Errno::check(unsafe {
            bindings::kdk_pci_attach(shared.handle(), setup.flags(), shared.pci.as_ptr())
        })?;
        drop(tunables);
        // SAFETY: the card does not move, and `drop` removes the registration
        // first.
        let registration = unsafe { Registration::new(Arc::as_ptr(&shared)) };
        let registration = registration.inspect_err(|_| shared.stop())?;
        let interface = Interface::named(device(&shared));
        Ok(Self {
            registration: Some(registration),
            shared,
            interface,
            address: setup.card.mac,
        })
    }

    /// Takes the card out: the driver detaches. What it ever did that the
    /// card's contract forbids, as [`violations`](Self::violations).
    ///
    /// # Errors
    /// What the driver's detach failed with; the card is still there then, and
    /// is taken out when it is dropped.
    pub fn detach(self) -> Result<Vec<Violation>, Errno> {
        self.shared.detach()?;
        self.shared.stopped.store(true, Ordering::SeqCst);
        Ok(self.violations())
    }

    /// The network interface that the driver has made of it.
    #[must_use]
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Its permanent address.
    #[must_use]
    pub const fn address(&self) -> [u8; 6] {
        self.address
    }

    /// What the driver has of it.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_pci_use = unsafe { core::mem::zeroed() };
        let pci = self.shared.pci.load(Ordering::SeqCst);
        // SAFETY: the card is attached; the structure is written.
        unsafe { bindings::kdk_pci_use(pci, &raw mut raw) };
        Usage {
            memory: raw.memory,
            interrupts: raw.interrupts,
            handlers: raw.handlers,
            messages: raw.messages,
            fired: raw.fired,
            stray: raw.stray,
        }
    }

    /// Whether the driver's filter or handler of an interrupt has done all
    /// that it was called for. (What it has left to a task may not be done.)
    #[must_use]
    pub fn is_idle(&self, vector: u32) -> bool {
        self.shared.is_idle(vector)
    }

    /// The thread that the driver's handler of an interrupt runs in; filters
    /// have none.
    #[must_use]
    pub fn thread(&self, vector: u32) -> Option<ThreadId> {
        let pci = self.shared.pci.load(Ordering::SeqCst);
        // SAFETY: the card is attached.
        ThreadId::of(unsafe { bindings::kdk_pci_thread(pci, vector) })
    }

    /// Right before the driver next writes `register` with all bits of `mask`
    /// a frame comes in. The driver goes on when the handlers of what that
    /// write has fired are done.
    pub fn receive_before_write(&self, register: u32, mask: u32, frame: Vec<u8>) {
        let mut before = Some(BeforeWrite {
            register,
            mask,
            frame,
        });
        self.shared
            .state
            .with(|state| core::mem::swap(&mut state.before, &mut before));
    }

    /// What became of that frame, when it has come in.
    #[must_use]
    pub fn received_before_write(&self) -> Option<Received> {
        self.shared.state.with(|state| state.before_write_result)
    }

    /// A frame comes in from the wire, without its checksum.
    pub fn receive(&self, frame: &[u8], errors: FrameErrors) -> Received {
        self.shared
            .with(|nic, memory| nic.receive(frame, errors, memory))
    }

    /// The oldest frame that has left and that no wire has carried away.
    #[must_use]
    pub fn take_transmitted(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; MAX_FRAME];
        let length = self.shared.take_transmitted(&mut bytes)?;
        bytes.truncate(length);
        Some(bytes)
    }

    /// Plugs the cable in, or pulls it out.
    pub fn set_link(&self, up: bool) {
        self.shared.with(|nic, memory| nic.set_link(up, memory));
    }

    /// Does something else with the card; interrupts it causes are handled
    /// before this returns. `f` runs with a spin mutex held: it may neither
    /// sleep nor allocate.
    pub fn with<R>(&self, f: impl FnOnce(&mut Nic, &mut Memory) -> R) -> R {
        self.shared.with(f)
    }

    /// Whether `f` holds of the card at a moment at which no interrupt is due
    /// or being handled.
    pub fn is_quiescent(&self, f: impl FnOnce(&mut Nic) -> bool) -> bool {
        self.shared.state.with(|state| {
            // Whoever has taken an interrupt is inside, and was before.
            !state.nic.has_interrupt()
                && self.shared.callers.load(Ordering::SeqCst) == 0
                && f(&mut state.nic)
        })
    }

    /// What the driver did that the card's contract forbids, the first
    /// [`MAX_VIOLATIONS`] of it.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut seen = Vec::with_capacity(MAX_VIOLATIONS);
        self.shared.with(|nic, _| {
            // There is room, so that nothing is allocated.
            seen.extend_from_slice(nic.violations().seen());
        });
        seen
    }

    /// TCP segments that a wire has segments, and whether in order.
    #[must_use]
    pub fn segments(&self) -> SegmentCounts {
        self.shared.state.with(|state| state.segments.counts())
    }

    /// How often the driver had it access what is no memory.
    #[must_use]
    pub fn invalid_dma(&self) -> u32 {
        self.shared.with(|_, memory| memory.invalid_dma)
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        self.shared.stop();
        self.registration = None;
    }
}

fn device(shared: &Shared) -> CString {
    let pci = shared.pci.load(Ordering::SeqCst);
    // SAFETY: the card is attached, so its device has a name.
    CString::from(unsafe { CStr::from_ptr(bindings::kdk_pci_device(pci)) })
}

/// A cable between two cards: each receives what the other one transmits.
pub struct Wire {
    ends: [Arc<Shared>; 2],
    /// In the order they go: the task before its queue.
    _task: Arc<Task>,
    _queue: Taskqueue,
}

impl Wire {
    /// Connects two cards.
    ///
    /// # Errors
    /// What the kernel says of another thread; `EAGAIN` when the test has too
    /// many resources already.
    pub fn between(one: &Card, other: &Card) -> Result<Self, Errno> {
        let queue = Taskqueue::fast(c"kdk wire")?;
        let ends = [Arc::clone(&one.shared), Arc::clone(&other.shared)];
        let theirs = ends.clone();
        let buffer = Exclusive::new(vec![0; MAX_FRAME].into_boxed_slice());
        let carry = move || {
            // A task never runs beside itself.
            if let Some(mut buffer) = buffer.enter() {
                carry(&theirs, &mut buffer);
            }
        };
        let task = Arc::new(queue.task(carry)?);
        for end in &ends {
            let mut task = Some(Arc::clone(&task));
            end.state
                .with(|state| core::mem::swap(&mut state.wire, &mut task));
        }
        // What has left before goes first.
        task.enqueue()?;
        Ok(Self {
            ends,
            _task: task,
            _queue: queue,
        })
    }
}

/// Until there is nothing left, one frame in each direction at a time.
fn carry(ends: &[Arc<Shared>; 2], buffer: &mut [u8]) {
    let [one, other] = ends;
    loop {
        let there = carry_one(one, other, buffer);
        let back = carry_one(other, one, buffer);
        if !there && !back {
            return;
        }
    }
}

/// False when there is none.
fn carry_one(from: &Shared, to: &Shared, buffer: &mut [u8]) -> bool {
    let taken = from.take_transmitted(buffer);
    let Some(frame) = taken.and_then(|length| buffer.get(..length)) else {
        return false;
    };
    to.state.with(|state| state.segments.record(frame));
    to.with(|nic, memory| nic.receive(frame, FrameErrors::NONE, memory));
    true
}

impl Drop for Wire {
    fn drop(&mut self) {
        for end in &self.ends {
            // Freed without the card's lock.
            drop(end.state.with(|state| state.wire.take()));
        }
    }
}
