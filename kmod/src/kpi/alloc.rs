//! Rust's global allocator: malloc(9) with the type `M_KDK`.

use super::{bindings, malloc};
use core::alloc::{GlobalAlloc, Layout};

/// The alignment that malloc(9) guarantees on every supported base.
const NATURAL: usize = 8;

struct Malloc;

#[global_allocator]
static MALLOC: Malloc = Malloc;

// SAFETY: malloc(9) returns blocks of the requested size that have no other
// owner until they are freed. `block` makes stricter alignments. Nothing here
// unwinds.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        block(layout, 0)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        block(layout, bindings::M_ZERO)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let start = if layout.align() <= NATURAL {
            at
        } else {
            // SAFETY: `block` wrote the block's start to the word before.
            unsafe { at.cast::<*mut u8>().sub(1).read() }
        };
        // SAFETY: `start` came from `kdk_malloc` with this type.
        unsafe { bindings::kdk_free(start.cast(), malloc::kdk_type()) }
    }
}

/// Allocates a block without sleeping: Rust allocates under locks and in
/// callouts.
fn block(layout: Layout, flags: u32) -> *mut u8 {
    let spare = if layout.align() <= NATURAL {
        0
    } else {
        layout.align() + size_of::<*mut u8>()
    };
    let Some(size) = layout.size().checked_add(spare) else {
        return core::ptr::null_mut();
    };
    let flags = (bindings::M_NOWAIT | flags).cast_signed();
    // SAFETY: the type is the module's own and initialised while it is loaded.
    let start = unsafe { bindings::kdk_malloc(size, malloc::kdk_type(), flags) }.cast::<u8>();
    if spare == 0 || start.is_null() {
        return start;
    }
    let room = size_of::<*mut u8>();
    // SAFETY: the block is `align` + one word longer than the layout, so the
    // first aligned address after a word leaves room for all of it.
    unsafe {
        let at = start.add(room);
        let at = at.add(at.align_offset(layout.align()));
        at.cast::<*mut u8>().sub(1).write(start);
        at
    }
}
