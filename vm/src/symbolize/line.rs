//! What a backtrace line asks to be looked up.

use crate::panic::is_frame;

/// Where user space ends: an address below it is no code of the kernel's.
const KERNEL: u64 = 0xffff_8000_0000_0000;

/// How lines that show the instruction pointer begin, and what stands before
/// its value (in a trap's report, the code segment).
const REGISTERS: [(&str, &str); 3] = [
    ("instruction pointer", ":"),
    ("rip = ", "rip = "),
    ("rip ", "rip "),
];

/// What a line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked<'a> {
    /// A place in a function.
    Function {
        /// The function.
        name: &'a str,
        /// Bytes into it.
        offset: u64,
        /// The address, where the line has it.
        address: Option<u64>,
    },
    /// The instruction at this address, which a trap interrupted; the next
    /// line is the frame it belongs to.
    Trap(u64),
    /// The instruction at this address: a register showed it.
    Register(u64),
    /// The instruction at this place in a function: a register of ddb's, which
    /// names it.
    Here {
        /// The function.
        name: &'a str,
        /// Bytes into it.
        offset: u64,
    },
    /// It is a line of a backtrace, and no code of the kernel's is in it.
    Nothing,
}

/// Reads one line. None when it belongs to no backtrace.
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

/// The address after `before`, if it is one of the kernel's half.
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
