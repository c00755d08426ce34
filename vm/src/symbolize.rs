//! Finds the source lines of a console's backtrace, including inlined
//! functions.
//!
//! [`annotate`] is pure: lines in, lines out. The trait [`Symbols`] provides
//! the code's symbols. [`Program`] is that trait over the debug information of
//! a kernel and its module.

mod debug_file;
mod line;
mod program;
mod sources;

#[cfg(test)]
mod compiled;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use debug_file::SymbolizeError;
pub use program::Program;
pub use sources::Sources;

use line::{Asked, ask};

/// An address in one of the debug files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The index of the file.
    pub file: usize,
    /// The address in that file.
    pub address: u64,
}

/// A function in a symbol table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Function {
    /// The address of its start.
    pub start: Spot,
    /// The length in bytes, or 0 if the table has none.
    pub size: u64,
}

impl Function {
    fn covers(self, offset: u64) -> bool {
        self.size == 0 || offset < self.size
    }
}

/// A line of a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceLocation {
    /// The path of the file, as the reader can open it.
    pub file: Option<String>,
    /// The line number, from 1.
    pub line: Option<u32>,
    /// The name of the function, demangled.
    pub function: Option<String>,
    /// Whether it is inlined into the function of the next place.
    pub inlined: bool,
}

impl fmt::Display for SourceLocation {
    /// `FILE:LINE (FUNCTION)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file.as_deref().unwrap_or("no file"))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        let inlined = if self.inlined { ", inlined" } else { "" };
        match &self.function {
            Some(function) => write!(f, " ({function}{inlined})"),
            None => Ok(()),
        }
    }
}

/// The symbols and the debug information of the code that ran.
pub trait Symbols {
    /// Returns the functions of this name, including static ones.
    fn named(&self, name: &str) -> Vec<Function>;
    /// Returns the spot of `address` in the kernel, or none if it is outside of
    /// the kernel's code.
    fn kernel(&self, address: u64) -> Option<Spot>;
    /// Returns the places of the instruction at `spot`, the innermost first.
    ///
    /// # Errors
    /// Fails with the reason why there are none.
    fn places(&self, spot: Spot) -> Result<Vec<SourceLocation>, String>;
    /// Returns the names of the files, for messages.
    fn files(&self) -> String;
}

/// Returns the lines, each followed by its places, indented. A line without a
/// place is followed by a line that begins with `error: `.
pub fn annotate(lines: &[String], symbols: &dyn Symbols) -> Vec<String> {
    let interrupted = interrupted(lines);
    let mut out = Vec::new();
    let mut exact = false;
    for line in lines {
        out.push(line.clone());
        let asked = ask(line);
        let places = match asked {
            Some(Asked::Function {
                name,
                offset,
                address,
            }) => frame(symbols, name, offset, address, back(exact)),
            Some(Asked::Here { name, offset }) => frame(symbols, name, offset, None, 0),
            Some(Asked::Trap(address) | Asked::Register(address)) => {
                instruction(symbols, address, &interrupted)
            }
            Some(Asked::Nothing) | None => Vec::new(),
        };
        out.extend(places.iter().map(|place| format!("    {place}")));
        exact = matches!(asked, Some(Asked::Trap(_)));
    }
    out
}

/// Returns the lines of a death to annotate: its backtrace, and before it the
/// instruction that its registers show, unless the backtrace has it too.
pub fn trace(registers: &[String], backtrace: &[String]) -> Vec<String> {
    let known = interrupted(backtrace);
    let shown = registers.iter().filter(|line| match ask(line) {
        Some(Asked::Register(address)) => !known.contains_key(&address),
        Some(Asked::Here { name, offset }) => {
            let place = format!(" at {name}+{offset:#x}/frame ");
            !backtrace.iter().any(|line| line.contains(&place))
        }
        _ => false,
    });
    shown.chain(backtrace).cloned().collect()
}

/// Returns a frame's address is where its callee returns to: the call is before
/// it. The frame below a trap has the address of the interrupted instruction.
fn back(exact: bool) -> u64 {
    u64::from(!exact)
}

/// Returns the function and offset below each trap's address. Nothing else
/// shows where a module's code is loaded.
fn interrupted(lines: &[String]) -> BTreeMap<u64, (&str, u64)> {
    lines
        .windows(2)
        .filter_map(|pair| match (ask(&pair[0]), ask(&pair[1])) {
            (Some(Asked::Trap(address)), Some(Asked::Function { name, offset, .. })) => {
                Some((address, (name, offset)))
            }
            _ => None,
        })
        .collect()
}

fn frame(
    symbols: &dyn Symbols,
    name: &str,
    offset: u64,
    address: Option<u64>,
    back: u64,
) -> Vec<String> {
    if let Some(spot) = address.and_then(|address| symbols.kernel(address - back.min(address))) {
        return places(symbols, spot, name);
    }
    let found = choose(symbols.named(name), offset.saturating_sub(back));
    let spots: Vec<Spot> = found
        .iter()
        .map(|one| moved(one.start, offset, back))
        .collect();
    match spots.as_slice() {
        [] => vec![format!(
            "error: no function is named {name} in {}",
            symbols.files()
        )],
        [one] => places(symbols, *one, name),
        many => {
            let count = many.len();
            let mut lines = vec![format!(
                "error: {count} functions are named {name}; it is one of"
            )];
            lines.extend(many.iter().flat_map(|spot| places(symbols, *spot, name)));
            lines
        }
    }
}

/// Returns those functions of one name that `offset` can be in. Names of the
/// same address are one function.
fn choose(mut all: Vec<Function>, offset: u64) -> Vec<Function> {
    all.sort_by_key(|function| (function.start, std::cmp::Reverse(function.size)));
    all.dedup_by_key(|function| function.start);
    if all.iter().any(|function| function.covers(offset)) {
        all.retain(|function| function.covers(offset));
    }
    all
}

/// Returns the spot `offset` bytes into a function, and `back` bytes before
/// that: a call that never returns may be the last instruction of a function.
fn moved(start: Spot, offset: u64, back: u64) -> Spot {
    let address = start.address.wrapping_add(offset).wrapping_sub(back);
    Spot { address, ..start }
}

fn instruction(
    symbols: &dyn Symbols,
    address: u64,
    interrupted: &BTreeMap<u64, (&str, u64)>,
) -> Vec<String> {
    if let Some(spot) = symbols.kernel(address) {
        return places(symbols, spot, &format!("{address:#x}"));
    }
    match interrupted.get(&address) {
        Some((name, offset)) => frame(symbols, name, *offset, None, 0),
        None => vec![format!("error: {address:#x} is not in the kernel's code")],
    }
}

fn places(symbols: &dyn Symbols, spot: Spot, what: &str) -> Vec<String> {
    match symbols.places(spot) {
        Ok(places) => places.iter().map(SourceLocation::to_string).collect(),
        Err(why) => vec![format!("error: {what} has no line: {why}")],
    }
}
