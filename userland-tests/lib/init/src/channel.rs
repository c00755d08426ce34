//! The result channel.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use core::sync::atomic::{AtomicI32, Ordering};
use kdk_harness::Message;
use kdk_relay::Lines;
use kdk_sys::file::{O_CLOEXEC, O_NOCTTY, O_RDWR, open};
use kdk_sys::{Descriptor, Errno, Fd, Result, complain, kenv, start, tty};

/// The kernel variable that names another line.
const VARIABLE: &str = "kdk.results";
/// The second serial port, under the names that it can have: the firmware's
/// tables may list the ports in either order. The console's is busy.
const LINES: [&str; 2] = ["/dev/cuau1", "/dev/cuau0"];
const SPEED: u32 = 115_200;

fn open_line(path: String) -> core::result::Result<(String, Fd), String> {
    match open(&path, O_RDWR | O_NOCTTY | O_CLOEXEC) {
        Ok(line) => Ok((path, line)),
        Err(errno) => Err(format!(
            "the result channel: open {path}: {errno}; give the machine a second serial \
             port, or name another line in the kernel variable {VARIABLE}"
        )),
    }
}

/// Lines to and from the host. What is written leaves with each end of line.
#[derive(Debug)]
pub struct Channel {
    line: Fd,
    unsent: String,
    received: Lines,
    commands: VecDeque<String>,
}

impl Channel {
    /// Opens the line that the kernel's environment names, or the usual one.
    pub fn open() -> core::result::Result<Self, String> {
        let (path, line) = match kenv::get(VARIABLE) {
            Ok(name) if name.starts_with('/') => open_line(name)?,
            Ok(name) => open_line(format!("/dev/{name}"))?,
            Err(_) => {
                let [first, second] = LINES.map(String::from);
                open_line(first).or_else(|why| open_line(second).map_err(|_| why))?
            }
        };
        if let Err(errno) = tty::make_raw(&line, SPEED) {
            complain!("init: the result channel: set {path} raw: {errno}");
        }
        PANIC_LINE.store(line.raw(), Ordering::Relaxed);
        start::on_panic(report_panic);
        Ok(Self {
            line,
            unsent: String::new(),
            received: Lines::new(),
            commands: VecDeque::new(),
        })
    }

    /// The host's next line; `EPIPE` when the host is gone.
    pub fn command(&mut self) -> Result<String> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Ok(command);
            }
            let mut bytes = [0; 256];
            let count = match self.line.read(&mut bytes) {
                Ok(0) => return Err(Errno::EPIPE),
                Ok(count) => count,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno),
            };
            let commands = &mut self.commands;
            self.received
                .take(bytes.get(..count).unwrap_or_default(), |line| {
                    commands.push_back(line.to_string());
                });
        }
    }

    /// Waits until everything has left.
    pub fn drain(&mut self) {
        if let Err(errno) = self.send().and_then(|()| tty::drain(&self.line)) {
            complain!("init: the result channel: {errno}");
        }
    }

    fn send(&mut self) -> Result<()> {
        let unsent = core::mem::take(&mut self.unsent);
        self.line.write_all(unsent.as_bytes())
    }
}

impl fmt::Write for Channel {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.unsent.push_str(text);
        if self.unsent.ends_with('\n') {
            self.send().map_err(|errno| {
                complain!("init: the result channel: write: {errno}");
                fmt::Error
            })?;
        }
        Ok(())
    }
}

static PANIC_LINE: AtomicI32 = AtomicI32::new(-1);

struct PanicLine;

impl Descriptor for PanicLine {
    fn raw(&self) -> i32 {
        PANIC_LINE.load(Ordering::Relaxed)
    }
}

/// Reports on both streams, then ends the machine: PID 1 must not exit.
fn report_panic(message: &Message) {
    complain!("init: panic: {message}");
    let _ = PanicLine.write_all(format!("\n# error init: panic: {message}\n").as_bytes());
    let _ = tty::drain(&PanicLine);
    crate::end::end(crate::end::Why::Trouble)
}
