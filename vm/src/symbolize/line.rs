//! Parses the lines of a backtrace that can be looked up.

use crate::panic::is_frame;

/// The end of user space. An address below it is not kernel code.
const KERNEL: u64 = 0xffff_8000_0000_0000;

/// The beginnings of lines that show the instruction pointer, and the text
/// before its value (in a trap's report, the code segment).
const REGISTERS: [(&str, &str); 3] = [
    ("instruction pointer", ":"),
    ("rip = ", "rip = "),
    ("rip ", "rip "),
];

/// What to look up for a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A location in a function.
    Function {
        /// The name of the function.
        name: &'a str,
        /// The offset into it, in bytes.
        offset: u64,
        /// The address, if the line has it.
        address: Option<u64>,
    },
    /// The instruction at this address, which a trap interrupted. The next line
    /// is its frame.
    Trap(u64),
    /// The instruction at this address, which a register shows.
    Register(u64),
    /// The instruction at this location in a function, which a register of ddb
    /// shows.
    Here {
        /// The name of the function.
        name: &'a str,
        /// The offset into it, in bytes.
        offset: u64,
    },
    /// A line of a backtrace without kernel code.
    Nothing,
}

/// Parses one line. Returns none when it belongs to no backtrace.
pub fn ask(line: &str) -> Option<Asked<'_>> {
    let text = line.trim();
    for (begin, before) in REGISTERS {
        if text.starts_with(begin) {
            if let Some(here) = named(text) {
                return Some(here);
            }
            return Some(address(text, before).map_or(Asked::Nothing, Asked::Register));
        }
    }
    if !is_frame(text) {
        return None;
    }
    if text.starts_with("--- ") {
        return Some(address(text, "rip = ").map_or(Asked::Nothing, Asked::Trap));
    }
    if text.starts_with('#') {
        return numbered(text);
    }
    let (call, place) = text.split_once(") at ")?;
    let place = place.split(['/', ' ']).next().unwrap_or_default();
    Some(match hex(place) {
        Some(address) => Asked::Function {
            name: call.split('(').next().unwrap_or_default(),
            offset: 0,
            address: Some(address),
        },
        None => function(place, None),
    })
}

/// ddb's `rip  0xffffffff81a18622  kdk_hang+0x12`, with or without the
/// instruction behind it.
fn named(text: &str) -> Option<Asked<'_>> {
    let place = text.split_whitespace().nth(2)?;
    let place = place.split([':', ',']).next()?;
    let (name, offset) = place.rsplit_once('+')?;
    Some(Asked::Here {
        name,
        offset: hex(offset)?,
    })
}

/// stack(9): `#3 0xffffffff80c4a0b4 at witness_checkorder+0x314`.
fn numbered(text: &str) -> Option<Asked<'_>> {
    let mut words = text.split(' ').skip(1);
    let address = hex(words.next()?)?;
    if words.next() != Some("at") {
        return None;
    }
    Some(function(words.next()?, Some(address)))
}

/// `name+0x1a`, or `name` for its first byte.
fn function(place: &str, address: Option<u64>) -> Asked<'_> {
    let (name, offset) = place.rsplit_once('+').unwrap_or((place, "0"));
    Asked::Function {
        name,
        // The zero of stack(9) has no 0x.
        offset: hex(offset).unwrap_or(0),
        address,
    }
}

/// Returns the address after `before`, if it is one of the kernel's half.
fn address(text: &str, before: &str) -> Option<u64> {
    let (_, rest) = text.split_once(before)?;
    let digits = rest.trim_start().strip_prefix("0x")?;
    let end = digits
        .find(|c: char| !c.is_ascii_hexdigit())
        .unwrap_or(digits.len());
    let address = u64::from_str_radix(&digits[..end], 16).ok()?;
    (address >= KERNEL).then_some(address)
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}
