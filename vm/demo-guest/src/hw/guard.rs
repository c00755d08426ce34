//! Saves a context to return to. A kernel runs each test in a thread; this
//! guest has no threads, and abandons the test's stack instead.

use super::interrupts;
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// How a guarded body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// The body returned.
    Returned,
    /// The body panicked.
    Panicked,
    /// The body took a trap.
    Trapped,
}

/// The stack pointer of the innermost guard, or 0 if there is none.
static SAVED: AtomicU64 = AtomicU64::new(0);

unsafe extern "sysv64" {
    /// Saves the context in `saved`, calls `body(argument)` and returns 0, or
    /// what [`kdk_guard_leave`] was called with.
    pub(super) fn kdk_guard_call(
        saved: *const AtomicU64,
        body: extern "sysv64" fn(*mut ()),
        argument: *mut (),
    ) -> u64;
    /// Returns to the context whose stack pointer is `saved`.
    fn kdk_guard_leave(saved: u64, code: u64) -> !;
}

global_asm!(
    r#"
    .section .text.guard, "ax", @progbits
    .globl kdk_guard_call, kdk_guard_leave
    .type kdk_guard_call, @function
    .type kdk_guard_leave, @function
kdk_guard_call:
    pushq   %rbp
    movq    %rsp, %rbp
    pushq   %rbx
    pushq   %r12
    pushq   %r13
    pushq   %r14
    pushq   %r15
    subq    $8, %rsp
    movq    %rsp, (%rdi)
    movq    %rdx, %rdi
    call    *%rsi
    xorl    %eax, %eax
1:  addq    $8, %rsp
    popq    %r15
    popq    %r14
    popq    %r13
    popq    %r12
    popq    %rbx
    popq    %rbp
    ret
kdk_guard_leave:
    movq    %rdi, %rsp
    movq    %rsi, %rax
    cld
    jmp     1b
    "#,
    options(att_syntax)
);

/// Calls `body` in a context that a panic or a trap can leave. Guards nest.
/// Interrupts are on in the body and afterwards, whatever the body did to them.
///
/// The values of a body that did not return are never dropped. For a test, that
/// is a leak.
pub fn guarded<F: FnMut()>(mut body: F) -> Left {
    interrupts::disable();
    let outer = SAVED.load(Ordering::Relaxed);
    // SAFETY: `enter::<F>` gets the body it is made for, which outlives the
    // call. The way back by `kdk_guard_leave` skips frames of Rust without
    // dropping their values. That is sound for values whose drop is not
    // guaranteed, and nothing in this guest relies on such a guarantee (its
    // locks are locked only where no guard can be left).
    let code = unsafe { kdk_guard_call(&raw const SAVED, enter::<F>, (&raw mut body).cast()) };
    SAVED.store(outer, Ordering::Relaxed);
    interrupts::enable();
    match code {
        0 => Left::Returned,
        1 => Left::Panicked,
        _ => Left::Trapped,
    }
}

extern "sysv64" fn enter<F: FnMut()>(body: *mut ()) {
    interrupts::enable();
    // SAFETY: `guarded` passes a pointer to its body and waits for us.
    (unsafe { &mut *body.cast::<F>() })();
    // From here on no interrupt must leave a guard that is being removed.
    interrupts::disable();
}

/// Leaves the innermost guard's body. Returns only if there is no guard.
pub fn leave(how: Left) {
    interrupts::disable();
    let saved = SAVED.load(Ordering::Relaxed);
    let code = match how {
        Left::Returned => 0,
        Left::Panicked => 1,
        Left::Trapped => 2,
    };
    if saved != 0 {
        // SAFETY: a stack pointer in SAVED is that of a `kdk_guard_call` that
        // has not returned: `guarded` replaces it before its frame goes.
        unsafe { kdk_guard_leave(saved, code) }
    }
}
