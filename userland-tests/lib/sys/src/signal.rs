//! Sending of signals.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::raw::{call, number};
use core::fmt;

/// A signal's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(pub i32);

macro_rules! signals {
    ($($name:ident = $number:literal)*) => {
        impl Signal {
            $(
                #[doc = concat!("`", stringify!($name), "`, ", stringify!($number), ".")]
                pub const $name: Self = Self($number);
            )*

            const fn name(self) -> &'static str {
                match self.0 {
                    $($number => stringify!($name),)*
                    _ => "",
                }
            }
        }
    };
}

signals! {
    SIGINT = 2
    SIGILL = 4
    SIGTRAP = 5
    SIGABRT = 6
    SIGFPE = 8
    SIGKILL = 9
    SIGBUS = 10
    SIGSEGV = 11
    SIGSYS = 12
    SIGPIPE = 13
    SIGALRM = 14
    SIGTERM = 15
    SIGCHLD = 20
}

impl fmt::Display for Signal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            "" => write!(out, "signal {}", self.0),
            name => write!(out, "signal {} ({name})", self.0),
        }
    }
}

#[repr(C)]
struct Action {
    handler: usize,
    flags: i32,
    mask: [u32; 4],
}

const SIG_IGN: usize = 1;

extern "C" fn caught(_: i32) {}

/// Ignores a signal from now on, in this process and what it forks.
///
/// # Errors
/// Those of sigaction(2).
pub fn ignore(signal: Signal) -> Result<()> {
    handle(signal, SIG_IGN)
}

/// Catches a signal from now on, in this process and what it forks. It then
/// ends the call that waits with `EINTR`, and does nothing else.
///
/// # Errors
/// Those of sigaction(2).
pub fn catch(signal: Signal) -> Result<()> {
    handle(signal, caught as *const () as usize)
}

fn handle(signal: Signal, handler: usize) -> Result<()> {
    let action = Action {
        handler,
        flags: 0,
        mask: [0; 4],
    };
    let arguments = [signal.0 as usize, &raw const action as usize, 0];
    // SAFETY: the kernel reads one sigaction. The handler, if there is one,
    // takes the signal's number as its only argument and touches nothing.
    unsafe { call(number::SIGACTION, &arguments) }.map(drop)
}
