//! Writes lines to the console, as a kernel does.

use crate::hw::CONSOLE;
use core::fmt::{self, Write};

/// A writer for the console, with the line ends of a serial terminal.
pub struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    CONSOLE.send(line.as_bytes());
                    CONSOLE.send(b"\r\n");
                }
                None => CONSOLE.send(line.as_bytes()),
            }
        }
        Ok(())
    }
}

/// Writes formatted text. Neither the console nor the formatting can fail.
pub fn write(text: fmt::Arguments<'_>) {
    let _ = Console.write_fmt(text);
}

/// Logs a line on the console.
#[macro_export]
macro_rules! log {
    ($($text:tt)*) => {
        $crate::console::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
