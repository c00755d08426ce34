//! The end of the machine.

use kdk_sys::{complain, machine, time};

/// Why it ends.
#[derive(Clone, Copy, Debug)]
pub enum Why {
    /// The host said so.
    Asked,
    /// Init cannot go on.
    Trouble,
}

/// Ends the machine, in the quickest way that there is.
pub fn end(why: Why) -> ! {
    machine::sync();
    let value = match why {
        Why::Asked => 0,
        Why::Trouble => 1,
    };
    match machine::debug_exit(value) {
        Ok(()) => complain!("init: no debug exit at port 0x501; turning the power off"),
        Err(errno) => complain!("init: open /dev/io: {errno}; turning the power off"),
    }
    if let Err(errno) = machine::power_off() {
        complain!("init: reboot: {errno}; nothing is left to do");
    }
    loop {
        time::sleep_ms(60_000);
    }
}
