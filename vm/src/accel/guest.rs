//! The smallest guest: a PVH kernel that enters 64-bit mode with paging on,
//! counts for a while and ends the machine.
//!
//! It counts because an accelerator may run a guest correctly but a hundred
//! times slower than the emulator. Nested virtualization that interprets every
//! instruction does. A guest of four instructions would pass there. The loop
//! takes a fraction of a second on a real processor and in the emulator.

/// The value that it writes to the debug-exit port.
pub const VALUE: u8 = 0x11;

/// The physical address at which the file is loaded.
const BASE: u64 = 0x10_0000;
/// The offset of the code, after the ELF header, two program headers and a
/// note.
const CODE_AT: u64 = 64 + 2 * 56 + 32;

/// The code, assembled for the address `BASE + CODE_AT`.
#[rustfmt::skip]
const CODE: [u8; 142] = [
    // Page tables that map the first 2 MiB to themselves.
    0xc7, 0x05, 0x00, 0x00, 0x20, 0x00, 0x03, 0x10, 0x20, 0x00, // movl $0x201003, 0x200000
    0xc7, 0x05, 0x00, 0x10, 0x20, 0x00, 0x03, 0x20, 0x20, 0x00, // movl $0x202003, 0x201000
    0xc7, 0x05, 0x00, 0x20, 0x20, 0x00, 0x83, 0x00, 0x00, 0x00, // movl $0x83, 0x202000
    0xb8, 0x00, 0x00, 0x20, 0x00, // movl $0x200000, %eax
    0x0f, 0x22, 0xd8,             // movl %eax, %cr3
    // PAE, then long mode, then paging.
    0x0f, 0x20, 0xe0,             // movl %cr4, %eax
    0x83, 0xc8, 0x20,             // orl $0x20, %eax
    0x0f, 0x22, 0xe0,             // movl %eax, %cr4
    0xb9, 0x80, 0x00, 0x00, 0xc0, // movl $0xc0000080, %ecx
    0x0f, 0x32,                   // rdmsr
    0x0d, 0x00, 0x01, 0x00, 0x00, // orl $0x100, %eax
    0x0f, 0x30,                   // wrmsr
    0x0f, 0x20, 0xc0,             // movl %cr0, %eax
    0x0d, 0x01, 0x00, 0x00, 0x80, // orl $0x80000001, %eax
    0x0f, 0x22, 0xc0,             // movl %eax, %cr0
    0x0f, 0x01, 0x15, 0x58, 0x01, 0x10, 0x00, // lgdt gdtr
    0xea, 0x26, 0x01, 0x10, 0x00, 0x08, 0x00, // ljmp $8, $1f
    // 1: 64-bit mode. Count down from fifty million through memory.
    0xbc, 0x00, 0x00, 0x18, 0x00, // movl $0x180000, %esp
    0xb9, 0x80, 0xf0, 0xfa, 0x02, // movl $50000000, %ecx
    0x48, 0x01, 0x0c, 0x24,       // 2: addq %rcx, (%rsp)
    0xff, 0xc9,                   // decl %ecx
    0x75, 0xf8,                   // jnz 2b
    0xba, 0x01, 0x05, 0x00, 0x00, // movl $0x501, %edx
    0xb0, VALUE,                  // movb $VALUE, %al
    0xee,                         // outb %al, %dx
    0xf4,                         // 3: hlt
    0xeb, 0xfd,                   // jmp 3b
    0x0f, 0x1f, 0x44, 0x00, 0x00, // (padding)
    // gdt: the null descriptor and a 64-bit code segment.
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x9a, 0x20, 0x00,
    // gdtr
    0x0f, 0x00, 0x48, 0x01, 0x10, 0x00,
];

/// Returns the guest's ELF file.
pub fn elf() -> Vec<u8> {
    let size = CODE_AT + CODE.len() as u64;
    let note_at = 64 + 2 * 56;
    let mut file = Vec::new();
    // e_ident: 64 bits, little-endian; then a static executable for x86-64.
    file.extend(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    half(&mut file, &[2, 62]);
    word(&mut file, &[1]);
    quad(&mut file, &[BASE + CODE_AT, 64, 0]);
    word(&mut file, &[0]);
    half(&mut file, &[64, 56, 2, 64, 0, 0]);
    // PT_LOAD of the file, PT_NOTE of the note.
    word(&mut file, &[1, 7]);
    quad(&mut file, &[0, BASE, BASE, size, size, 0x1000]);
    word(&mut file, &[4, 4]);
    let note = BASE + note_at;
    quad(&mut file, &[note_at, note, note, 32, 32, 4]);
    // Xen's note 18, the 32-bit physical entry, padded.
    word(&mut file, &[4, 8, 18]);
    file.extend(*b"Xen\0");
    quad(&mut file, &[BASE + CODE_AT, 0]);
    file.extend(CODE);
    file
}

fn half(file: &mut Vec<u8>, values: &[u16]) {
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn word(file: &mut Vec<u8>, values: &[u32]) {
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn quad(file: &mut Vec<u8>, values: &[u64]) {
    file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_where_the_headers_say() {
        let file = elf();
        assert_eq!(file.len() as u64, CODE_AT + CODE.len() as u64);
        assert_eq!(&file[CODE_AT as usize..][..CODE.len()], CODE);
    }
}
