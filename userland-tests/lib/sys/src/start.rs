//! The start-up code of a program: the entry point, the ELF note that names the
//! system call ABI, the allocator, and the panic handler.
#![allow(unsafe_code)]

use crate::process::exit;
use crate::{complain, memory};
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicPtr, Ordering};
use kdk_harness::{Message, describe_panic};
use linked_list_allocator::LockedHeap;

/// What a program exits with after a panic.
pub const PANICKED: i32 = 101;

/// Address space of the allocator, bytes; only what is used takes memory.
const ARENA: usize = 64 << 20;

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();

/// An ELF note of the kernel's `<sys/elf_common.h>`.
#[repr(C)]
struct AbiNote {
    name_length: u32,
    description_length: u32,
    kind: u32,
    name: [u8; 8],
    osreldate: u32,
}

/// Without it a kernel takes the program for another system's. The date is the
/// oldest base's, whose system calls these are.
#[used]
// SAFETY: the section holds this note and nothing else.
#[unsafe(link_section = ".note.tag")]
static ABI_NOTE: AbiNote = AbiNote {
    name_length: 8,
    description_length: 4,
    kind: 1,
    name: *b"FreeBSD\0",
    osreldate: 1_100_000,
};

unsafe extern "Rust" {
    /// Made by [`main!`](crate::main).
    fn kdk_main(arguments: &[String]) -> i32;
}

/// Names the program's main function: `fn(&[String]) -> i32`, from the
/// arguments, its own name first, to the exit value.
#[macro_export]
macro_rules! main {
    ($main:path) => {
        const _: () = {
            #[allow(unsafe_code)]
            // SAFETY: the one function of this name; kdk-sys declares it so.
            #[unsafe(no_mangle)]
            fn kdk_main(arguments: &[$crate::start::Argument]) -> i32 {
                $main(arguments)
            }
        };
    };
}

/// An argument of a program's.
pub type Argument = String;

/// Where the kernel enters the program, with the address of the argument
/// count, after which the arguments follow.
///
/// # Safety
/// Only the kernel calls it.
// SAFETY: the linker's default entry; nothing else has the name.
#[unsafe(no_mangle)]
unsafe extern "C" fn _start(stack: *const usize) -> ! {
    match memory::arena(ARENA) {
        // SAFETY: the arena is fresh, writable, of this length, and stays.
        Ok(arena) => unsafe { HEAP.lock().init(arena.as_ptr(), ARENA) },
        Err(errno) => {
            complain!("no memory for the allocator: mmap: {errno}");
            exit(PANICKED);
        }
    }
    // SAFETY: as the kernel calls it.
    let arguments = unsafe { arguments(stack) };
    // SAFETY: `main!` makes it with just this signature.
    exit(unsafe { kdk_main(&arguments) })
}

/// # Safety
/// `stack` is what the kernel entered the program with.
unsafe fn arguments(stack: *const usize) -> Vec<String> {
    // SAFETY: a count stands here and as many pointers after it, each to a
    // string that ends with a NUL and outlives the program.
    let text = |nth| unsafe { CStr::from_ptr(*stack.add(1 + nth) as *const c_char) };
    // SAFETY: as above.
    let count = unsafe { *stack };
    (0..count)
        .map(|nth| text(nth).to_string_lossy().into_owned())
        .collect()
}

static HOOK: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Calls `hook` on a panic before the program exits with [`PANICKED`]. The
/// default hook writes the panic to standard error.
pub fn on_panic(hook: fn(&Message)) {
    HOOK.store(hook as *mut (), Ordering::Relaxed);
}

#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    let message = describe_panic(&info.message(), info.location());
    let hook = HOOK.swap(core::ptr::null_mut(), Ordering::Relaxed);
    if hook.is_null() {
        complain!("panic: {message}");
    } else {
        // SAFETY: only `on_panic` stores here, and just such functions.
        let hook: fn(&Message) = unsafe { core::mem::transmute(hook) };
        hook(&message);
    }
    exit(PANICKED)
}
