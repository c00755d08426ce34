//! What FreeBSD's kernel linker (`sys/kern/link_elf_obj.c` and amd64's
//! `elf_machdep.c`) accepts, checked on bytes.

use std::collections::BTreeSet;
use std::fmt;

use object::LittleEndian as LE;
use object::elf::{
    EM_X86_64, ET_REL, FileHeader64, R_X86_64_32S, R_X86_64_64, R_X86_64_PC32, R_X86_64_PLT32,
    Rela64, SHF_ALLOC, SHN_COMMON, SHN_UNDEF, SHT_DYNSYM, SHT_NOBITS, SHT_NULL, SHT_PROGBITS,
    SHT_RELA, SHT_STRTAB, SHT_SYMTAB, STB_LOCAL, SectionHeader64,
};
use object::read::elf::{FileHeader, SectionHeader as _, SectionTable, Sym as _, SymbolTable};

type Header = FileHeader64<LE>;

/// Relocations that the kernel linkers of every supported base apply, PLT32
/// being rewritten before. (15 knows PLT32 as well; neither knows `32`, `PC64`
/// or anything that needs a global offset table.)
const KNOWN: [u32; 3] = [R_X86_64_64, R_X86_64_PC32, R_X86_64_32S];

/// The bytes are not an ELF file of the kind asked for.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotElf(String);

impl From<object::read::Error> for NotElf {
    fn from(error: object::read::Error) -> Self {
        Self(error.to_string())
    }
}

/// One thing that the kernel linker rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A relocation type it does not know.
    Relocation {
        /// The type of the relocation.
        r_type: u32,
        /// The symbol it refers to.
        symbol: String,
        /// The section it is applied to.
        section: String,
    },
    /// Relocations against a section it does not load: the 2014 kernel panics
    /// with "lost base for relatab".
    Unloaded {
        /// The name of the section.
        section: String,
    },
    /// A section that would be loaded, of a type it does not load.
    SectionType {
        /// The name of the section.
        section: String,
        /// The type of the section.
        sh_type: u32,
    },
    /// A common symbol: a variable of the kernel's that a header defined once
    /// more, so that the module would have a copy of its own.
    Common {
        /// The name of the symbol.
        symbol: String,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relocation {
                r_type,
                symbol,
                section,
            } => {
                write!(
                    f,
                    "relocation {} against `{symbol}` in {section}",
                    relocation_name(*r_type)
                )
            }
            Self::Unloaded { section } => {
                write!(f, "relocations for {section}, a section that is not loaded")
            }
            Self::SectionType { section, sh_type } => {
                write!(f, "section {section} is of type {sh_type:#x}")
            }
            Self::Common { symbol } => write!(
                f,
                "`{symbol}` is a common symbol; the kernel has a variable of that name"
            ),
        }
    }
}

fn relocation_name(r_type: u32) -> String {
    let name = match r_type {
        4 => "R_X86_64_PLT32",
        9 => "R_X86_64_GOTPCREL",
        10 => "R_X86_64_32",
        24 => "R_X86_64_PC64",
        41 => "R_X86_64_GOTPCRELX",
        42 => "R_X86_64_REX_GOTPCRELX",
        other => return format!("type {other}"),
    };
    name.to_owned()
}

/// Turns every PLT32 relocation into PC32, in place; says how many there were.
///
/// # Errors
/// When the bytes are not a relocatable amd64 object.
pub fn rewrite_plt(module: &mut [u8]) -> Result<usize, NotElf> {
    let tables: Vec<(usize, usize)> = {
        let header = relocatable(module)?;
        let sections = header.sections(LE, &*module)?;
        let relas = sections
            .iter()
            .filter(|section| section.sh_type(LE) == SHT_RELA);
        relas
            .map(|section| span(section, module.len()))
            .collect::<Result<_, _>>()?
    };
    let mut rewritten = 0;
    for (start, end) in tables {
        for entry in module[start..end].chunks_exact_mut(size_of::<Rela64<LE>>()) {
            // r_info is the second word; the type is its lower half.
            if entry[8..12] == R_X86_64_PLT32.to_le_bytes() {
                entry[8..12].copy_from_slice(&R_X86_64_PC32.to_le_bytes());
                rewritten += 1;
            }
        }
    }
    Ok(rewritten)
}

/// Gives the initialised variable `name` of four bytes another value, in place.
///
/// # Errors
/// When the bytes are not a relocatable amd64 object, or have no such variable.
pub fn set_u32(module: &mut [u8], name: &str, value: u32) -> Result<(), NotElf> {
    let none = || NotElf(format!("there is no initialised variable `{name}` in it"));
    let start = {
        let header = relocatable(module)?;
        let sections = header.sections(LE, &*module)?;
        let symbols = sections.symbols(LE, &*module, SHT_SYMTAB)?;
        let symbol = symbols
            .iter()
            .find(|symbol| symbol.name(LE, symbols.strings()) == Ok(name.as_bytes()))
            .ok_or_else(none)?;
        let index = usize::from(symbol.st_shndx(LE));
        if index == usize::from(SHN_UNDEF) || symbol.st_size(LE) != 4 {
            return Err(none());
        }
        let section = sections.section(object::SectionIndex(index))?;
        if section.sh_type(LE) != SHT_PROGBITS {
            return Err(none());
        }
        let (start, _) = span(section, module.len())?;
        start.saturating_add(usize::try_from(symbol.st_value(LE)).map_err(|_| none())?)
    };
    let place = module.get_mut(start..).and_then(|rest| rest.get_mut(..4));
    place
        .ok_or_else(none)?
        .copy_from_slice(&value.to_le_bytes());
    Ok(())
}

/// Everything in the module that the kernel linker rejects.
///
/// # Errors
/// When the bytes are not a relocatable amd64 object.
pub fn check(module: &[u8]) -> Result<Vec<Flaw>, NotElf> {
    let header = relocatable(module)?;
    let sections = header.sections(LE, module)?;
    let symbols = sections.symbols(LE, module, SHT_SYMTAB)?;
    let mut flaws = Vec::new();
    for section in sections.iter() {
        let sh_type = section.sh_type(LE);
        if sh_type == SHT_RELA {
            check_relocations(module, &sections, &symbols, section, &mut flaws)?;
        } else if loaded(section) && !matches!(sh_type, SHT_PROGBITS | SHT_NOBITS) {
            flaws.push(Flaw::SectionType {
                section: name_of(&sections, section)?,
                sh_type,
            });
        }
    }
    for symbol in symbols
        .iter()
        .filter(|symbol| symbol.st_shndx(LE) == SHN_COMMON)
    {
        flaws.push(Flaw::Common {
            symbol: text(symbol.name(LE, symbols.strings())?),
        });
    }
    Ok(flaws)
}

/// Symbols the module leaves to the kernel and the kernel does not have,
/// sorted. Only those that a relocation refers to: headers mention others.
///
/// # Errors
/// When the module or the kernel is not an amd64 ELF file.
pub fn missing(module: &[u8], kernel: &[u8]) -> Result<Vec<String>, NotElf> {
    let header = relocatable(module)?;
    let sections = header.sections(LE, module)?;
    let symbols = sections.symbols(LE, module, SHT_SYMTAB)?;
    let exported = exports(kernel)?;
    let mut wanted = BTreeSet::new();
    for section in sections.iter() {
        let relocations = section.rela(LE, module)?.map_or(&[][..], |(rela, _)| rela);
        for relocation in relocations {
            let symbol =
                symbols.symbol(object::SymbolIndex(relocation.r_sym(LE, false) as usize))?;
            let name = text(symbol.name(LE, symbols.strings())?);
            let undefined = symbol.st_shndx(LE) == SHN_UNDEF && !name.is_empty();
            if undefined && !exported.contains(&name) && !linker_set(&sections, &name)? {
                wanted.insert(name);
            }
        }
    }
    Ok(wanted.into_iter().collect())
}

/// Names the kernel offers to modules: its dynamic symbols, which is where its
/// linker looks.
fn exports(kernel: &[u8]) -> Result<BTreeSet<String>, NotElf> {
    let header = Header::parse(kernel)?;
    if header.e_machine(LE) != EM_X86_64 {
        return Err(NotElf("it is not for amd64".to_owned()));
    }
    let sections = header.sections(LE, kernel)?;
    let symbols = sections.symbols(LE, kernel, SHT_DYNSYM)?;
    if symbols.is_empty() {
        return Err(NotElf(
            "it has no dynamic symbol table, so no module can be loaded into it".to_owned(),
        ));
    }
    let mut names = BTreeSet::new();
    for symbol in symbols
        .iter()
        .filter(|s| s.st_shndx(LE) != SHN_UNDEF && s.st_bind() != STB_LOCAL)
    {
        names.insert(text(symbol.name(LE, symbols.strings())?));
    }
    Ok(names)
}

/// Whether the kernel linker makes this symbol up: the bounds of a linker set
/// that the module itself has.
fn linker_set(sections: &SectionTable<'_, Header>, symbol: &str) -> Result<bool, NotElf> {
    let set = symbol
        .strip_prefix("__start_")
        .or_else(|| symbol.strip_prefix("__stop_"));
    let Some(set) = set.filter(|set| set.starts_with("set_")) else {
        return Ok(false);
    };
    for section in sections.iter() {
        if sections.section_name(LE, section)? == set.as_bytes() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn check_relocations(
    module: &[u8],
    sections: &SectionTable<'_, Header>,
    symbols: &SymbolTable<'_, Header>,
    table: &SectionHeader64<LE>,
    flaws: &mut Vec<Flaw>,
) -> Result<(), NotElf> {
    let target = sections.section(object::SectionIndex(table.sh_info(LE) as usize))?;
    let section = name_of(sections, target)?;
    if !loaded(target) {
        flaws.push(Flaw::Unloaded { section });
        return Ok(());
    }
    let Some((relocations, _)) = table.rela(LE, module)? else {
        return Ok(());
    };
    for relocation in relocations {
        let r_type = relocation.r_type(LE, false);
        if !KNOWN.contains(&r_type) {
            let symbol =
                symbols.symbol(object::SymbolIndex(relocation.r_sym(LE, false) as usize))?;
            let symbol = text(symbol.name(LE, symbols.strings())?);
            flaws.push(Flaw::Relocation {
                r_type,
                symbol,
                section: section.clone(),
            });
        }
    }
    Ok(())
}

pub(crate) fn relocatable(module: &[u8]) -> Result<&Header, NotElf> {
    let header = Header::parse(module)?;
    if header.e_machine(LE) != EM_X86_64 || header.e_type(LE) != ET_REL {
        return Err(NotElf(
            "it is not a relocatable object for amd64".to_owned(),
        ));
    }
    Ok(header)
}

pub(crate) fn loaded(section: &SectionHeader64<LE>) -> bool {
    let sh_type = section.sh_type(LE);
    section.sh_flags(LE) & u64::from(SHF_ALLOC) != 0
        && !matches!(sh_type, SHT_NULL | SHT_STRTAB | SHT_SYMTAB)
}

fn span(section: &SectionHeader64<LE>, len: usize) -> Result<(usize, usize), NotElf> {
    let bounds = || {
        let start = usize::try_from(section.sh_offset(LE)).ok()?;
        let end = start.checked_add(usize::try_from(section.sh_size(LE)).ok()?)?;
        (end <= len).then_some((start, end))
    };
    bounds().ok_or_else(|| NotElf("it is truncated".to_owned()))
}

pub(crate) fn name_of(
    sections: &SectionTable<'_, Header>,
    section: &SectionHeader64<LE>,
) -> Result<String, NotElf> {
    Ok(text(sections.section_name(LE, section)?))
}

fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
