//! Software NICs (`kdk_nic82599`) on a software bus (`shim/kdk_pci.h`), with the
//! tree's own ixgbe driver.

use super::cpus::cpus;
use super::errno::Errno;
#[cfg(iflib)]
use super::held_reset::HeldReset;
use super::interface::{Interface, ThreadId};
use super::kenv::Tunable;
use super::resource::{Registration, Stop};
use super::spin::Spin;
use super::taskqueue::Task;
pub use super::wire::Wire;
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

/// The most NICs at one time for which a test can choose the number of queues.
#[cfg(iflib)]
const UNITS: u32 = 4;

/// DMA to the machine's memory.
#[derive(Debug)]
pub struct Memory {
    /// Accesses outside of memory, or after the NIC was removed.
    invalid_dma: u32,
    /// The NIC was removed.
    detached: bool,
}

impl Host for Memory {
    fn dma_read(&mut self, address: u64, into: &mut [u8]) {
        // SAFETY: the bytes are copied if the address is in memory, which is tested.
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
        // SAFETY: as in `dma_read`; the driver has posted this address.
        let there = !self.detached
            && unsafe { bindings::kdk_dma_write(address, from.as_ptr().cast(), from.len()) != 0 };
        if !there {
            self.invalid_dma += 1;
        }
    }
}

pub(super) struct State {
    nic: Nic,
    memory: Memory,
    /// Carries transmitted frames to another NIC.
    pub(super) wire: Option<Arc<Task>>,
    /// The TCP segments that came over the wire.
    pub(super) segments: Segments,
    /// A frame to receive at a write.
    at_write: Option<AtWrite>,
    at_write_result: Option<Received>,
    /// The write at which the driver is stopped, see [`Card::stop_at_write`].
    #[cfg(not(iflib))]
    stop_at: Option<(u32, u32)>,
}

/// A frame that is received when the driver writes all bits of `mask`.
struct AtWrite {
    register: u32,
    mask: u32,
    /// Whether it is received after the write, and not before it.
    after: bool,
    frame: Vec<u8>,
}

impl State {
    /// Handles a register write of the driver. Returns the frame that was
    /// received at it, to be freed without the NIC's lock.
    fn write(&mut self, register: u32, value: u32) -> Option<AtWrite> {
        let due = |at: &mut AtWrite| at.register == register && value & at.mask == at.mask;
        let at = self.at_write.take_if(due);
        let receive = |state: &mut Self, after: bool| {
            if let Some(at) = at.as_ref().filter(|at| at.after == after) {
                let (frame, errors) = (&at.frame, FrameErrors::NONE);
                let received = state.nic.receive(frame, errors, &mut state.memory);
                state.at_write_result = Some(received);
            }
        };
        receive(self, false);
        self.nic.write(register, value, &mut self.memory);
        receive(self, true);
        at
    }
}

/// The part of a NIC that the driver, the bus and the test share.
pub(super) struct Shared {
    pub(super) state: Spin<State>,
    /// The bus, while it exists.
    pci: AtomicPtr<bindings::kdk_pci>,
    /// The number of threads that use the bus.
    callers: AtomicU32,
    stopped: AtomicBool,
    /// A thread of the driver waits in [`Card::stop_at_write`].
    #[cfg(not(iflib))]
    held: AtomicBool,
    #[cfg(iflib)]
    held_reset: HeldReset,
}

impl Shared {
    /// Runs `f` on the NIC, and fires the interrupts that it causes.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Nic, &mut Memory) -> R) -> R {
        self.change(|state| f(&mut state.nic, &mut state.memory))
    }

    fn change<R>(&self, f: impl FnOnce(&mut State) -> R) -> R {
        let result = self.state.with(|state| {
            let result = f(state);
            if let Some(wire) = state.wire.as_ref().filter(|_| state.nic.on_wire() > 0) {
                // A wire that is being removed refuses the task.
                let _ = wire.enqueue();
            }
            result
        });
        self.interrupt();
        result
    }

    /// Handles a register write of the driver.
    fn write(&self, register: u32, value: u32) {
        if let Some(at) = self.change(|state| state.write(register, value)) {
            while (0..bindings::KDK_PCI_VECTORS).any(|vector| !self.is_idle(vector)) {
                // The driver may own a mutex, so this must not sleep.
                core::hint::spin_loop();
            }
            #[cfg(iflib)]
            if at.after {
                super::iflib::drain();
            }
            drop(at);
        }
        #[cfg(not(iflib))]
        self.hold(register, value);
        #[cfg(iflib)]
        self.held_reset.at_write(register, value);
    }

    /// Holds the driver after this write, if a test wants it.
    #[cfg(not(iflib))]
    fn hold(&self, register: u32, value: u32) {
        let due = |at: &mut (u32, u32)| at.0 == register && value & at.1 == at.1;
        let hold = self.state.with(|state| {
            let due = state.stop_at.take_if(due).is_some();
            if due {
                self.held.store(true, Ordering::SeqCst);
            }
            due
        });
        while hold && self.held.load(Ordering::SeqCst) {
            // The driver owns a mutex, so this must not sleep.
            core::hint::spin_loop();
        }
    }

    fn is_idle(&self, vector: u32) -> bool {
        let pci = self.pci.load(Ordering::SeqCst);
        // SAFETY: the bus exists while the driver is attached.
        unsafe { bindings::kdk_pci_idle(pci, vector) != 0 }
    }

    /// Removes a transmitted frame and returns its length.
    pub(super) fn take_transmitted(&self, into: &mut [u8]) -> Option<usize> {
        self.with(|nic, memory| {
            let frame = nic.take_transmitted(into);
            // The wire has room for another frame now.
            nic.pump(memory);
            frame.map(|frame| frame.length)
        })
    }

    /// Fires the pending interrupts, without the NIC's lock.
    fn interrupt(&self) {
        self.callers.fetch_add(1, Ordering::SeqCst);
        let pci = self.pci.load(Ordering::SeqCst);
        if !pci.is_null() {
            // SAFETY: the bus exists while `callers` is not 0.
            unsafe { bindings::kdk_pci_interrupt(pci) }
        }
        self.callers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns the number by which the bus and the driver know the NIC.
    fn handle(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).expose_provenance()
    }

    fn detach(&self) -> Result<(), Errno> {
        let pci = self.pci.load(Ordering::SeqCst);
        // SAFETY: the NIC is attached, and one thread detaches it, once.
        Errno::check(unsafe { bindings::kdk_pci_detach(pci) })?;
        // A wire may still deliver frames.
        self.state.with(|state| state.memory.detached = true);
        self.pci.store(core::ptr::null_mut(), Ordering::SeqCst);
        while self.callers.load(Ordering::SeqCst) != 0 {
            time::yield_now();
        }
        // SAFETY: no thread uses the bus, nor will.
        for _ in 0..unsafe { bindings::kdk_pci_free(pci) } {
            leaked::record("resource of a NIC", c"");
        }
        Ok(())
    }
}

#[cfg(not(iflib))]
impl Shared {
    /// Lets the driver go on from the write at which it is stopped, if it is.
    fn let_go(&self) {
        self.state.with(|state| {
            state.stop_at = None;
            self.held.store(false, Ordering::SeqCst);
        });
    }
}

// SAFETY: a detach waits for the threads and tasks of the driver.
unsafe impl Stop for Shared {
    const WHAT: &'static str = "network card";

    fn stop(&self) {
        #[cfg(iflib)]
        self.held_reset.release();
        // A test that has panicked has dropped nothing.
        #[cfg(not(iflib))]
        self.let_go();
        if self.stopped.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(errno) = self.detach() {
            // It would use a NIC that is freed.
            panic!("cannot detach the driver from the software NIC: {errno}");
        }
    }
}

/// Returns the NIC of a number from [`Shared::handle`].
fn card(nic: usize) -> &'static Shared {
    // SAFETY: the driver has the number from `Card::attach`, and detaches first.
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

/// The configuration of a NIC and of its driver.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The configuration of the model.
    pub card: Config,
    /// The number of queues in each direction. `None` is the driver's default:
    /// one for each CPU.
    pub queues: Option<u32>,
    /// The number of descriptors of each ring. `None` is the driver's default.
    pub descriptors: Option<u32>,
    /// Whether it has MSI-X. Otherwise it has one MSI message.
    pub msix: bool,
    /// Whether DMA reaches page boundaries only. Most received frames go
    /// through bounce pages then.
    pub bounced: bool,
    /// Which tag, map or buffer for DMA the attach cannot create, from 1; 0: none.
    pub refused_dma: u32,
}

impl Setup {
    /// Returns the default configuration of the `nth` NIC of a test.
    #[must_use]
    pub const fn nth(nth: u8) -> Self {
        Self {
            card: Config::new([0x02, 0x4b, 0x44, 0x4b, 0x00, nth]),
            queues: None,
            descriptors: None,
            msix: true,
            bounced: false,
            refused_dma: 0,
        }
    }

    /// Returns the `KDK_PCI_*` flags.
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

    /// Returns the number of queues in each direction.
    ///
    /// # Errors
    /// Returns `EINVAL` for 0, and for more than [`most_queues`].
    fn checked_queues(&self) -> Result<Option<u32>, Errno> {
        let bad = |&queues: &u32| queues == 0 || queues > most_queues();
        match self.queues.filter(bad) {
            Some(_) => Err(Errno::EINVAL),
            None => Ok(self.queues),
        }
    }

    /// Sets the tunables of every unit that the NIC may become.
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

/// Returns the most queues in each direction that a test can choose. With
/// iflib(9) it is one less than the number of CPUs: iflib(9) replaces a larger
/// number, differently for the two directions.
#[must_use]
pub fn most_queues() -> u32 {
    if cfg!(iflib) {
        cpus().count_ones() - 1
    } else {
        RSS_QUEUES
    }
}

/// The most queues of RSS: entries of RETA have 4 bits.
const RSS_QUEUES: u32 = 16;

/// The names of the driver's tunables for queues and descriptors.
#[cfg(iflib)]
const QUEUES: &[&str] = &["override_nrxqs", "override_ntxqs"];
#[cfg(iflib)]
const DESCRIPTORS: &[&str] = &["override_nrxds", "override_ntxds"];
#[cfg(not(iflib))]
const QUEUES: &[&str] = &["num_queues"];
#[cfg(not(iflib))]
const DESCRIPTORS: &[&str] = &["rxd", "txd"];

/// Returns the tunables of all units.
#[cfg(iflib)]
fn tunable_names(names: &'static [&str]) -> impl Iterator<Item = String> {
    let units = (0..UNITS).flat_map(move |unit| names.iter().map(move |name| (unit, name)));
    units.map(|(unit, name)| format!("dev.ix.{unit}.iflib.{name}"))
}

/// Returns the tunables, read at each attach: see `shim/kdk_ixgbe_io.h`.
#[cfg(not(iflib))]
fn tunable_names(names: &'static [&str]) -> impl Iterator<Item = String> {
    names.iter().map(|name| format!("hw.ixgbe.{name}"))
}

/// The resources of a NIC that its driver has allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The number of memory resources.
    pub memory: u32,
    /// The number of interrupt resources.
    pub interrupts: u32,
    /// Interrupt resources with a handler.
    pub handlers: u32,
    /// MSI-X or MSI messages.
    pub messages: u32,
    /// Interrupts that were handled so far.
    pub fired: u32,
    /// Interrupts without a handler so far.
    pub stray: u32,
}

/// A NIC with the driver attached.
pub struct Card {
    registration: Option<Registration>,
    pub(super) shared: Arc<Shared>,
    interface: Interface,
    address: [u8; 6],
}

impl Card {
    /// Creates a NIC and attaches the driver.
    ///
    /// # Errors
    /// Returns `EINVAL` for an impossible number of queues, `ENXIO` if no driver
    /// probes the NIC, the error of the driver's attach, or `EAGAIN` if the
    /// test has too many resources already.
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
                    at_write: None,
                    at_write_result: None,
                    #[cfg(not(iflib))]
                    stop_at: None,
                },
            ),
            pci: AtomicPtr::new(core::ptr::null_mut()),
            callers: AtomicU32::new(0),
            stopped: AtomicBool::new(false),
            #[cfg(not(iflib))]
            held: AtomicBool::new(false),
            #[cfg(iflib)]
            held_reset: HeldReset::default(),
        });
        // SAFETY: the NIC outlives the attached driver, see `Drop` and `Stop`.
        Errno::check(unsafe {
            bindings::kdk_pci_attach(
                shared.handle(),
                setup.flags(),
                setup.refused_dma,
                shared.pci.as_ptr(),
            )
        })?;
        drop(tunables);
        // SAFETY: the NIC does not move, and `drop` removes the registration first.
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

    /// Detaches the driver and removes the NIC. Returns all
    /// [`violations`](Self::violations).
    ///
    /// # Errors
    /// Returns the error of the driver's detach. Dropping the NIC tries again.
    pub fn detach(self) -> Result<Vec<Violation>, Errno> {
        self.shared.detach()?;
        self.shared.stopped.store(true, Ordering::SeqCst);
        Ok(self.violations())
    }

    /// Returns the network interface of the NIC.
    #[must_use]
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// Returns its permanent Ethernet address.
    #[must_use]
    pub const fn address(&self) -> [u8; 6] {
        self.address
    }

    /// Returns the resources that the driver has allocated.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // SAFETY: a structure of numbers.
        let mut raw: bindings::kdk_pci_use = unsafe { core::mem::zeroed() };
        let pci = self.shared.pci.load(Ordering::SeqCst);
        // SAFETY: the NIC is attached; the structure is written.
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

    /// Returns whether the driver's filter or handler of an interrupt has
    /// completed. A task that it has queued may still be pending.
    #[must_use]
    pub fn is_idle(&self, vector: u32) -> bool {
        self.shared.is_idle(vector)
    }

    /// Returns the interrupt thread of a handler. Filters have none.
    #[must_use]
    pub fn thread(&self, vector: u32) -> Option<ThreadId> {
        let pci = self.shared.pci.load(Ordering::SeqCst);
        // SAFETY: the NIC is attached.
        ThreadId::of(unsafe { bindings::kdk_pci_thread(pci, vector) })
    }

    /// Receives a frame right before the next write of the driver to `register`
    /// that has all bits of `mask`. The driver continues when the handlers of
    /// the interrupts of that write have completed.
    #[cfg(not(iflib))]
    pub fn receive_before_write(&self, register: u32, mask: u32, frame: Vec<u8>) {
        self.receive_at_write(AtWrite {
            register,
            mask,
            after: false,
            frame,
        });
    }

    /// Receives a frame right after the next write of the driver to `register`
    /// that has all bits of `mask`. The driver continues when iflib's tasks have
    /// run. It has to own no mutex.
    #[cfg(iflib)]
    pub fn receive_after_write(&self, register: u32, mask: u32, frame: Vec<u8>) {
        self.receive_at_write(AtWrite {
            register,
            mask,
            after: true,
            frame,
        });
    }

    /// Stops the driver after its next write to `register` that has all bits of
    /// `mask`, until the result is dropped. It spins: other threads need
    /// another CPU.
    #[cfg(not(iflib))]
    #[must_use]
    pub fn stop_at_write(&self, register: u32, mask: u32) -> Stopped {
        self.shared
            .state
            .with(|state| state.stop_at = Some((register, mask)));
        Stopped(Arc::clone(&self.shared))
    }

    /// Returns what can hold the thread that resets the NIC, in the reset.
    #[cfg(iflib)]
    #[must_use]
    pub fn held_reset(&self) -> &HeldReset {
        &self.shared.held_reset
    }

    fn receive_at_write(&self, at: AtWrite) {
        let mut at = Some(at);
        self.shared.state.with(|state| {
            core::mem::swap(&mut state.at_write, &mut at);
            state.at_write_result = None;
        });
    }

    /// Returns what the NIC did with that frame, once it was received.
    #[must_use]
    pub fn received_at_write(&self) -> Option<Received> {
        self.shared.state.with(|state| state.at_write_result)
    }

    /// Receives a frame from the wire, without frame check sequence.
    pub fn receive(&self, frame: &[u8], errors: FrameErrors) -> Received {
        self.shared
            .with(|nic, memory| nic.receive(frame, errors, memory))
    }

    /// Removes and returns the oldest transmitted frame, as a wire does.
    #[must_use]
    pub fn take_transmitted(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; MAX_FRAME];
        let length = self.shared.take_transmitted(&mut bytes)?;
        bytes.truncate(length);
        Some(bytes)
    }

    /// Connects the cable, or disconnects it.
    pub fn set_link(&self, up: bool) {
        self.shared.with(|nic, memory| nic.set_link(up, memory));
    }

    /// Runs `f` on the model. The interrupts that it causes fire before this
    /// returns. `f` runs under a spin mutex: it must not sleep or allocate.
    pub fn with<R>(&self, f: impl FnOnce(&mut Nic, &mut Memory) -> R) -> R {
        self.shared.with(f)
    }

    /// Returns whether `f` is true for the model while no interrupt is pending
    /// or being handled.
    pub fn is_quiescent(&self, f: impl FnOnce(&mut Nic) -> bool) -> bool {
        self.shared.state.with(|state| {
            // A thread that has taken an interrupt is counted since before.
            !state.nic.has_interrupt()
                && self.shared.callers.load(Ordering::SeqCst) == 0
                && f(&mut state.nic)
        })
    }

    /// Returns the first [`MAX_VIOLATIONS`] violations by the driver.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let mut seen = Vec::with_capacity(MAX_VIOLATIONS);
        self.shared.with(|nic, _| {
            // The vector has room, so that this does not allocate.
            seen.extend_from_slice(nic.violations().seen());
        });
        seen
    }

    /// Returns the counts of TCP segments that came over a wire.
    #[must_use]
    pub fn segments(&self) -> SegmentCounts {
        self.shared.state.with(|state| state.segments.counts())
    }

    /// Returns the number of DMA accesses outside of memory.
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

/// A driver that is stopped at a write, or will be.
#[cfg(not(iflib))]
pub struct Stopped(Arc<Shared>);

#[cfg(not(iflib))]
impl Stopped {
    /// Returns whether it has come to the write.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.0.held.load(Ordering::SeqCst)
    }
}

#[cfg(not(iflib))]
impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

fn device(shared: &Shared) -> CString {
    let pci = shared.pci.load(Ordering::SeqCst);
    // SAFETY: the NIC is attached, so its device has a name.
    CString::from(unsafe { CStr::from_ptr(bindings::kdk_pci_device(pci)) })
}
