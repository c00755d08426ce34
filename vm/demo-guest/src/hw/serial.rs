//! Drives the serial ports: COM1 for the console, COM2 for the results.

use spin::Mutex;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{FifoTriggerLevel, IER};
use uart_16550::{BaudRate, Config, Uart16550};

/// The port of the console.
pub static CONSOLE: Serial = Serial::new(0x3f8, IER::empty());
/// The port of the result channel. Its interrupt only wakes the processor; the
/// port is polled.
pub static RESULTS: Serial = Serial::new(0x2f8, IER::DATA_READY);

/// Releases the console's lock, whose owner never continues.
pub fn seize_console() {
    super::disable_interrupts();
    // SAFETY: there is one processor, and the caller, who interrupted the
    // holder, does not return to it.
    unsafe { CONSOLE.uart.force_unlock() };
}

/// A serial port, which is polled. It is locked only for a few bytes and with
/// interrupts disabled, so that a stopped test never owns the lock.
pub struct Serial {
    port: u16,
    interrupts: IER,
    uart: Mutex<Option<Uart16550<PioBackend>>>,
}

impl Serial {
    const fn new(port: u16, interrupts: IER) -> Self {
        Self {
            port,
            interrupts,
            uart: Mutex::new(None),
        }
    }

    /// Initializes the port, if there is one.
    pub fn start(&self) {
        let config = Config {
            interrupts: self.interrupts,
            fifo_trigger_level: Some(FifoTriggerLevel::One),
            baud_rate: BaudRate::Baud115200,
            ..Config::DEFAULT
        };
        // SAFETY: the ports of COM1 and COM2, each used through one `Serial`.
        let found = unsafe { Uart16550::new_port(self.port) };
        *self.uart.lock() = found
            .ok()
            .and_then(|mut uart| uart.init(config).is_ok().then_some(uart));
    }

    /// Returns whether the machine has this port.
    pub fn is_present(&self) -> bool {
        self.with(|_| ()).is_some()
    }

    /// Sends all of `bytes`.
    pub fn send(&self, bytes: &[u8]) {
        for few in bytes.chunks(64) {
            self.with(|uart| uart.send_bytes_exact(few));
        }
    }

    /// Returns the next received byte, if any.
    pub fn receive(&self) -> Option<u8> {
        self.with(|uart| uart.try_receive_byte().ok()).flatten()
    }

    /// Returns whether a byte was received.
    pub fn has_input(&self) -> bool {
        self.with(|uart| uart.ready_to_receive().is_ok()) == Some(true)
    }

    fn with<R>(&self, f: impl FnOnce(&mut Uart16550<PioBackend>) -> R) -> Option<R> {
        super::undisturbed(|| self.uart.try_lock()?.as_mut().map(f))
    }
}
