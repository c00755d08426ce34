//! Reads one file's symbol table and debug information.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use addr2line::{Context, Frame};
use gimli::{EndianArcSlice, RunTimeEndian, SectionId};
use miette::Diagnostic;
use object::{Object, ObjectSection, ObjectSymbol, ReadCache, SectionFlags, SymbolKind};

use super::{SourceLocation, Sources};

type Reader = EndianArcSlice<RunTimeEndian>;

/// The reason why a backtrace has no source lines.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("no source lines from {}: {what}", path.display())]
#[diagnostic(help(
    "`cargo xtask clean` and another run build it anew; a kernel config needs `makeoptions DEBUG=-g`"
))]
pub struct SymbolizeError {
    /// The path of the file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// A function or a label in the symbol table.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// The address of the symbol.
    pub address: u64,
    /// The length in bytes, or 0 for a label.
    pub size: u64,
    name: String,
}

/// A file with debug information.
pub struct DebugFile {
    name: String,
    context: Context<Reader>,
    code: Vec<Range<u64>>,
    /// The symbols, sorted by address.
    symbols: Vec<Symbol>,
    by_name: HashMap<String, Vec<usize>>,
}

impl DebugFile {
    /// Reads the symbols. The debug information is read when it is needed.
    ///
    /// # Errors
    /// Fails with [`SymbolizeError`] when the file is unreadable, not ELF, or
    /// has no lines.
    pub fn open(path: &Path) -> Result<Self, SymbolizeError> {
        let refuse = |what: String| SymbolizeError {
            path: path.to_owned(),
            what,
        };
        let file = std::fs::File::open(path)
            .map_err(|error| refuse(format!("it cannot be read ({error})")))?;
        let cache = ReadCache::new(file);
        let elf = object::File::parse(&cache)
            .map_err(|error| refuse(format!("it is not a complete ELF file ({error})")))?;
        if elf.section_by_name(".debug_line").is_none() {
            return Err(refuse("it was built without debug information".into()));
        }
        let context = context(&elf).map_err(refuse)?;
        let symbols = symbols(&elf);
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, symbol) in symbols.iter().enumerate() {
            by_name.entry(symbol.name.clone()).or_default().push(at);
        }
        Ok(Self {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into(),
            context,
            code: code(&elf),
            symbols,
            by_name,
        })
    }

    /// Returns its name, for messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether `address` is in its code.
    pub fn contains(&self, address: u64) -> bool {
        self.code.iter().any(|range| range.contains(&address))
    }

    /// Returns the symbols of this name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &Symbol> {
        let all = self.by_name.get(name).map(Vec::as_slice);
        all.unwrap_or_default().iter().map(|at| &self.symbols[*at])
    }

    /// Returns the places of the instruction at `address`, the innermost first.
    ///
    /// # Errors
    /// Fails with the reason why there are none.
    pub fn places(&self, address: u64, sources: &Sources) -> Result<Vec<SourceLocation>, String> {
        let broken = |error: gimli::Error| format!("{} is damaged ({error})", self.name);
        let mut frames = self
            .context
            .find_frames(address)
            .skip_all_loads()
            .map_err(broken)?;
        let mut places = Vec::new();
        while let Some(frame) = frames.next().map_err(broken)? {
            places.push(place(&frame, sources));
        }
        let Some((last, inner)) = places.split_last_mut() else {
            return Err(format!("{} knows none for {address:#x}", self.name));
        };
        inner.iter_mut().for_each(|place| place.inlined = true);
        // Assembly has lines and no functions, and a Rust function's short name
        // lacks its modules.
        let symbol = self.around(address);
        if let Some(name) = symbol.filter(|name| last.function.is_none() || is_mangled(name)) {
            last.function = Some(demangle(name));
        }
        Ok(places)
    }

    /// Returns the name of the last symbol that is not after `address`.
    fn around(&self, address: u64) -> Option<&str> {
        let after = self.symbols.partition_point(|one| one.address <= address);
        let symbol = self.symbols.get(after.checked_sub(1)?)?;
        Some(&symbol.name)
    }
}

fn context<'d>(
    elf: &object::File<'d, &'d ReadCache<std::fs::File>>,
) -> Result<Context<Reader>, String> {
    let endian = if elf.is_little_endian() {
        RunTimeEndian::Little
    } else {
        RunTimeEndian::Big
    };
    let load = |id: SectionId| -> Result<Reader, String> {
        // The locations of variables are not needed, and are a third of a
        // kernel's debug information.
        let wanted = !matches!(id, SectionId::DebugLoc | SectionId::DebugLocLists);
        let section = elf.section_by_name(id.name()).filter(|_| wanted);
        let bytes = match section {
            Some(section) => section
                .uncompressed_data()
                .map_err(|error| format!("{} cannot be read ({error})", id.name()))?,
            None => Default::default(),
        };
        Ok(EndianArcSlice::new(Arc::from(bytes), endian))
    };
    let dwarf = gimli::Dwarf::load(load)?;
    Context::from_dwarf(dwarf)
        .map_err(|error| format!("its debug information is damaged ({error})"))
}

fn code<'d>(elf: &impl Object<'d>) -> Vec<Range<u64>> {
    // A file with only debug information has no content for them.
    let is_code = |flags| match flags {
        SectionFlags::Elf { sh_flags } => sh_flags & u64::from(object::elf::SHF_EXECINSTR) != 0,
        _ => false,
    };
    elf.sections()
        .filter(|section| is_code(section.flags()))
        .map(|section| section.address()..section.address() + section.size())
        .collect()
}

/// Returns the functions and the labels of the code, by address.
fn symbols<'d>(elf: &impl Object<'d>) -> Vec<Symbol> {
    let code = code(elf);
    let in_code = |address: u64| code.iter().any(|range| range.contains(&address));
    let mut all: Vec<Symbol> = elf
        .symbols()
        .filter(|symbol| matches!(symbol.kind(), SymbolKind::Text | SymbolKind::Unknown))
        .filter(|symbol| !symbol.is_undefined() && in_code(symbol.address()))
        .filter_map(|symbol| {
            Some(Symbol {
                address: symbol.address(),
                size: symbol.size(),
                name: symbol.name().ok()?.to_owned(),
            })
        })
        .collect();
    all.sort_by(|a, b| a.address.cmp(&b.address).then(a.size.cmp(&b.size)));
    all
}

fn place(frame: &Frame<'_, Reader>, sources: &Sources) -> SourceLocation {
    let location = frame.location.as_ref();
    let function = frame
        .function
        .as_ref()
        .and_then(|name| name.raw_name().ok());
    SourceLocation {
        file: location
            .and_then(|at| at.file)
            .map(|file| sources.find(file)),
        // 0 is for code without a line.
        line: location.and_then(|at| at.line).filter(|line| *line > 0),
        function: function.map(|name| demangle(&name)),
        inlined: false,
    }
}

fn is_mangled(name: &str) -> bool {
    rustc_demangle::try_demangle(name).is_ok()
}

/// Returns a Rust name as its author wrote it; any other as it is.
fn demangle(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
