//! Small modules and kernels, made to measure.

use object::elf;
use object::write::elf::{FileHeader, SectionHeader, Sym, Writer};
use object::write::{Object, Relocation, SectionId, Symbol, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};
use std::collections::BTreeMap;

/// One relocation of a module: type, symbol, section it is in.
pub type Reloc<'a> = (u32, &'a str, &'a str);

type Sections = BTreeMap<String, SectionId>;

/// A module with these relocations against undefined symbols, each section
/// holding code (`.text`), nothing that is loaded (`.debug*`), or data.
pub fn module(relocations: &[Reloc<'_>]) -> Vec<u8> {
    let (mut object, mut sections) = (object(), Sections::new());
    for &(r_type, symbol, section) in relocations {
        add(&mut object, &mut sections, r_type, symbol, section);
    }
    object.write().unwrap()
}

/// A module with a common symbol.
pub fn with_common(name: &str) -> Vec<u8> {
    let mut object = object();
    object.add_symbol(symbol(name, SymbolSection::Common));
    object.write().unwrap()
}

/// A module with this variable behind another one in `.data`.
pub fn with_variable(name: &str, value: &[u8]) -> Vec<u8> {
    let mut object = object();
    let data = object.add_section(Vec::new(), b".data".to_vec(), SectionKind::Data);
    object.append_section_data(data, &[1; 8], 8);
    let offset = object.append_section_data(data, value, 4);
    let mut variable = symbol(name, SymbolSection::Section(data));
    (variable.value, variable.size) = (offset, value.len() as u64);
    object.add_symbol(variable);
    object.write().unwrap()
}

/// A module with a section of this type.
pub fn with_section(name: &str, sh_type: u32) -> Vec<u8> {
    let mut object = object();
    let kind = SectionKind::Elf(sh_type);
    let section = object.add_section(Vec::new(), name.into(), kind);
    object.section_mut(section).flags = object::SectionFlags::Elf {
        sh_flags: u64::from(elf::SHF_ALLOC),
    };
    object.append_section_data(section, &[0; 8], 8);
    object.write().unwrap()
}

fn object() -> Object<'static> {
    Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little)
}

fn symbol(name: &str, section: SymbolSection) -> Symbol {
    Symbol {
        name: name.into(),
        value: 0,
        size: 8,
        kind: SymbolKind::Data,
        scope: SymbolScope::Linkage,
        weak: false,
        section,
        flags: SymbolFlags::None,
    }
}

fn add(object: &mut Object<'_>, sections: &mut Sections, r_type: u32, name: &str, section: &str) {
    let kind = match section {
        ".text" => SectionKind::Text,
        debug if debug.starts_with(".debug") => SectionKind::Debug,
        _ => SectionKind::Data,
    };
    let section = *sections
        .entry(section.to_owned())
        .or_insert_with(|| object.add_section(Vec::new(), section.into(), kind));
    let offset = object.append_section_data(section, &[0; 8], 8);
    let symbol = match object.symbol_id(name.as_bytes()) {
        Some(known) => known,
        None => object.add_symbol(symbol(name, SymbolSection::Undefined)),
    };
    let flags = RelocationFlags::Elf { r_type };
    object
        .add_relocation(
            section,
            Relocation {
                offset,
                symbol,
                addend: -4,
                flags,
            },
        )
        .unwrap();
}

/// A kernel that exports these symbols.
pub fn kernel(exports: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(Endianness::Little, true, &mut bytes);
    writer.reserve_file_header();
    let names: Vec<_> = exports
        .iter()
        .map(|name| writer.add_dynamic_string(name.as_bytes()))
        .collect();
    writer.reserve_null_section_index();
    let text = writer.add_section_name(b".text");
    let text_index = writer.reserve_section_index();
    writer.reserve_dynsym_section_index();
    writer.reserve_dynstr_section_index();
    writer.reserve_shstrtab_section_index();
    writer.reserve_null_dynamic_symbol_index();
    names.iter().for_each(|_| {
        writer.reserve_dynamic_symbol_index();
    });
    writer.reserve_dynsym();
    writer.reserve_dynstr();
    writer.reserve_shstrtab();
    writer.reserve_section_headers();
    let header = FileHeader {
        os_abi: elf::ELFOSABI_FREEBSD,
        abi_version: 0,
        e_type: elf::ET_EXEC,
        e_machine: elf::EM_X86_64,
        e_entry: 0,
        e_flags: 0,
    };
    writer.write_file_header(&header).unwrap();
    writer.write_null_dynamic_symbol();
    for name in names {
        writer.write_dynamic_symbol(&Sym {
            name: Some(name),
            section: Some(text_index),
            st_info: (elf::STB_GLOBAL << 4) | elf::STT_FUNC,
            st_other: 0,
            st_shndx: 0,
            st_value: 0x1000,
            st_size: 1,
        });
    }
    writer.write_dynstr();
    writer.write_shstrtab();
    writer.write_null_section_header();
    writer.write_section_header(&SectionHeader {
        name: Some(text),
        sh_type: elf::SHT_PROGBITS,
        sh_flags: u64::from(elf::SHF_ALLOC),
        sh_addr: 0x1000,
        sh_offset: 0,
        sh_size: 0,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: 1,
        sh_entsize: 0,
    });
    writer.write_dynsym_section_header(0, 1);
    writer.write_dynstr_section_header(0);
    writer.write_shstrtab_section_header();
    bytes
}
