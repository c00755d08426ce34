//! Handles interrupts and exceptions.

use super::{descriptors::DOUBLE_FAULT_STACK, pic};
use core::arch::global_asm;
use spin::Once;
use x86_64::VirtAddr;
use x86_64::registers::control::Cr2;
use x86_64::structures::idt::InterruptDescriptorTable;

/// The number of vectors with a stub: the exceptions and two 8259s.
const VECTORS: u64 = 48;
/// The distance between stubs, in bytes.
const STUB: u64 = 16;

/// The registers at a trap, as the stubs push them.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub rbp: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

// One stub a vector: an error code where the processor pushes none (it does
// for 8, 10 to 14, 17, 21, 29 and 30), the vector, the registers. The red zone
// is off on this target.
global_asm!(
    r#"
    .section .text.trap, "ax", @progbits
    .balign 16
    .globl kdk_trap_stubs, kdk_trap_entry
    .type kdk_trap_entry, @function
kdk_trap_stubs:
    .set vector, 0
    .rept 48
    .balign 16
    .if ((1 << vector) & 0x60227d00) == 0 || vector >= 32
    pushq   $0
    .endif
    pushq   $vector
    jmp     kdk_trap_entry
    .set vector, vector + 1
    .endr

kdk_trap_entry:
    pushq   %rbp
    pushq   %rax
    pushq   %rbx
    pushq   %rcx
    pushq   %rdx
    pushq   %rsi
    pushq   %rdi
    pushq   %r8
    pushq   %r9
    pushq   %r10
    pushq   %r11
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    cld
    movq    %rsp, %rdi
    movq    %rsp, %rbx
    andq    $-16, %rsp
    call    kdk_trap
    movq    %rbx, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %r11
    popq    %r10
    popq    %r9
    popq    %r8
    popq    %rdi
    popq    %rsi
    popq    %rdx
    popq    %rcx
    popq    %rbx
    popq    %rax
    popq    %rbp
    addq    $16, %rsp
    iretq
    "#,
    options(att_syntax)
);

unsafe extern "C" {
    static kdk_trap_stubs: u8;
}

static IDT: Once<InterruptDescriptorTable> = Once::new();

/// Loads the interrupt table.
pub fn load() {
    IDT.call_once(table).load();
}

fn stub(vector: u64) -> VirtAddr {
    VirtAddr::from_ptr(&raw const kdk_trap_stubs) + vector * STUB
}

/// Fills the named entries of a table from their stubs.
macro_rules! fill {
    ($table:ident, $($entry:ident = $vector:literal),* $(,)?) => {
        // SAFETY: the stubs are handlers for just these vectors.
        $(unsafe { $table.$entry.set_handler_addr(stub($vector)) };)*
    };
}

fn table() -> InterruptDescriptorTable {
    let mut table = InterruptDescriptorTable::new();
    fill!(
        table,
        divide_error = 0,
        debug = 1,
        non_maskable_interrupt = 2,
        breakpoint = 3,
        overflow = 4,
        bound_range_exceeded = 5,
        invalid_opcode = 6,
        device_not_available = 7,
        invalid_tss = 10,
        segment_not_present = 11,
        stack_segment_fault = 12,
        general_protection_fault = 13,
        page_fault = 14,
        x87_floating_point = 16,
        alignment_check = 17,
        machine_check = 18,
        simd_floating_point = 19,
    );
    // SAFETY: the stub of this vector, and a stack that is there for it.
    unsafe {
        let entry = table.double_fault.set_handler_addr(stub(8));
        entry.set_stack_index(DOUBLE_FAULT_STACK);
    }
    for line in pic::FIRST_VECTOR..VECTORS {
        // SAFETY: the stub of this vector.
        unsafe { table[line as u8].set_handler_addr(stub(line)) };
    }
    table
}

const NMI: u64 = 2;
const TIMER: u64 = pic::FIRST_VECTOR + pic::TIMER;
const COM2: u64 = pic::FIRST_VECTOR + pic::COM2;

/// The Rust function that the stubs call, with interrupts disabled.
#[unsafe(no_mangle)]
extern "sysv64" fn kdk_trap(frame: &TrapFrame) {
    match frame.vector {
        TIMER => {
            pic::acknowledge();
            crate::clock::tick();
        }
        // It has woken the processor, and the waiting code polls.
        COM2 => pic::acknowledge(),
        NMI => crate::debugger::nmi(frame),
        vector if vector < pic::FIRST_VECTOR => crate::panic::trap(frame),
        // Spurious interrupts of the 8259s are not acknowledged.
        _ => {}
    }
}

/// Returns the address of the last page fault.
pub fn fault_address() -> u64 {
    Cr2::read_raw()
}
