//! Where the kernel's linker puts a module's sections.

use object::LittleEndian as LE;
use object::read::elf::{FileHeader, SectionHeader as _};

use crate::elf::{NotElf, loaded, name_of, relocatable};

/// A loaded section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The name of the section.
    pub name: String,
    /// Distance from the module's load address, bytes.
    pub offset: u64,
}

/// The sections that are loaded, in the order of the file: each one follows
/// the last at its own alignment, and empty ones are passed over
/// (`link_elf_load_file()` in sys/kern/link_elf_obj.c, in 11-CURRENT and in
/// 15.1).
///
/// # Errors
/// When the bytes are not a relocatable amd64 object.
pub fn placement(module: &[u8]) -> Result<Vec<Placed>, NotElf> {
    let header = relocatable(module)?;
    let sections = header.sections(LE, module)?;
    let mut end: u64 = 0;
    let mut placed = Vec::new();
    for section in sections.iter() {
        if section.sh_size(LE) == 0 || !loaded(section) {
            continue;
        }
        let offset = end.next_multiple_of(section.sh_addralign(LE).max(1));
        placed.push(Placed {
            name: name_of(&sections, section)?,
            offset,
        });
        end = offset.saturating_add(section.sh_size(LE));
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::write::Object;
    use object::{Architecture, BinaryFormat, Endianness, SectionKind};

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(placement(b"#!/bin/sh").is_err());
    }

    #[test]
    fn sections_follow_each_other_at_their_alignment() {
        let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
        for (name, kind, size, align) in [
            (".text", SectionKind::Text, 21, 16),
            (".empty", SectionKind::Data, 0, 64),
            (".debug_info", SectionKind::Debug, 100, 1),
            (".rodata", SectionKind::ReadOnlyData, 3, 8),
            (".data", SectionKind::Data, 8, 32),
            ("set_x", SectionKind::Data, 8, 8),
        ] {
            let section = object.add_section(Vec::new(), name.into(), kind);
            object.append_section_data(section, &vec![0; size], align);
        }
        let placed = placement(&object.write().unwrap()).unwrap();
        let placed: Vec<(&str, u64)> = placed
            .iter()
            .map(|section| (section.name.as_str(), section.offset))
            .collect();
        assert_eq!(
            placed,
            [(".text", 0), (".rodata", 24), (".data", 32), ("set_x", 40)]
        );
    }
}
