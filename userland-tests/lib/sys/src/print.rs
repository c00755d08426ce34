//! Text to a descriptor.

use crate::fd::Descriptor;
use core::fmt;

/// Formatted text that goes to a descriptor at once, piece by piece.
#[derive(Debug)]
pub struct Printer<'a, D>(pub &'a D);

impl<D: Descriptor> fmt::Write for Printer<'_, D> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.write_all(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Prints a line to standard error, or nothing where there is none.
#[macro_export]
macro_rules! complain {
    ($($argument:tt)*) => {{
        use core::fmt::Write as _;
        let _ = writeln!($crate::print::Printer(&$crate::STDERR), $($argument)*);
    }};
}
