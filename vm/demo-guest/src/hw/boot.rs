//! Boots from the PVH entry point to Rust.

use core::arch::global_asm;

// The entry, as the x86/HVM direct boot ABI lays it down (Xen's
// docs/misc/pvh.pandoc): 32-bit protected mode, paging off, flat segments, the
// start info's physical address in ebx. QEMU finds it by the note; it reads all
// 8 bytes of a 64-bit kernel's descriptor.
global_asm!(
    r#"
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18              // name size, descriptor size, PHYS32_ENTRY
    .asciz "Xen"
    .quad kdk_pvh_entry

    .section .text.boot, "ax", @progbits
    .code32
    .globl kdk_pvh_entry
    .type kdk_pvh_entry, @function
kdk_pvh_entry:
    cld
    xorl    %eax, %eax
    movl    $kdk_bss_start, %edi
    movl    $kdk_bss_end, %ecx
    subl    %edi, %ecx
    rep stosb

    // The first gigabyte one to one, in 2 MB pages, writable.
    movl    $(kdk_pdpt + 3), kdk_pml4
    movl    $(kdk_pd + 3), kdk_pdpt
    movl    $kdk_pd, %edi
    movl    $0x83, %eax
    movl    $512, %ecx
1:  movl    %eax, (%edi)
    addl    $0x200000, %eax
    addl    $8, %edi
    loop    1b

    movl    %cr4, %eax
    orl     $0x20, %eax         // PAE
    movl    %eax, %cr4
    movl    $kdk_pml4, %eax
    movl    %eax, %cr3
    movl    $0xc0000080, %ecx   // EFER
    rdmsr
    orl     $0x100, %eax        // LME
    wrmsr
    movl    %cr0, %eax
    orl     $0x80000000, %eax   // PG
    movl    %eax, %cr0
    lgdt    kdk_boot_gdt_pointer
    ljmp    $8, $2f

    .code64
2:  movw    $16, %ax
    movw    %ax, %ds
    movw    %ax, %es
    movw    %ax, %ss
    xorl    %eax, %eax
    movw    %ax, %fs
    movw    %ax, %gs
    movq    $kdk_stack_top, %rsp
    xorl    %ebp, %ebp
    movl    %ebx, %edi
    call    kdk_start

    .section .rodata.boot, "a", @progbits
    .balign 8
kdk_boot_gdt:
    .quad 0
    .quad 0x00209a0000000000    // code, 64 bits
    .quad 0x0000920000000000    // data
kdk_boot_gdt_pointer:
    .word 23
    .long kdk_boot_gdt

    .section .bss.boot, "aw", @nobits
    .balign 4096
kdk_pml4: .skip 4096
kdk_pdpt: .skip 4096
kdk_pd: .skip 4096
    .globl kdk_stack_bottom, kdk_stack_top, kdk_fault_stack_top
kdk_stack_bottom: .skip 262144
kdk_stack_top:
    .skip 16384
kdk_fault_stack_top:
    "#,
    options(att_syntax)
);

/// The Rust function that the entry code calls.
#[unsafe(no_mangle)]
extern "sysv64" fn kdk_start(info: u32) -> ! {
    super::start(info as usize);
    crate::guest::main()
}
