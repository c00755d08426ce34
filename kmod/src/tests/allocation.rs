//! malloc(9), and Rust's allocator on top of it.

use crate::kpi::{counters, malloc};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::CStr;
use kdk_harness::{Stop, TestResult, kdk_test};

kdk_test!("kpi/malloc-zeroed", zeroed);
kdk_test!("kpi/malloc-accounts", accounts);
kdk_test!("kpi/malloc-aligns", aligns);
kdk_test!("kpi/malloc-unknown-type", unknown_type);

/// `M_ZERO` clears memory that was written and freed.
fn zeroed() -> TestResult {
    const SIZES: [usize; 5] = [1, 16, 1000, 4096, 20_000];
    for size in SIZES {
        for _ in 0..2 {
            let mut block =
                malloc::Zeroed::new(size).ok_or(Stop::Fail("malloc(M_WAITOK) returned NULL"))?;
            assert_eq!(block.len(), size);
            assert!(block.iter().all(|&byte| byte == 0), "size {size}");
            block.fill(0xa5);
        }
    }
    Ok(())
}

fn usage() -> Result<counters::Usage, Stop> {
    counters::malloc(c"kdk").ok_or(Stop::Fail("the kernel does not know the malloc type kdk"))
}

/// The kernel's statistics of the module's malloc type follow allocations.
fn accounts() -> TestResult {
    let before = usage()?;
    let vector: Vec<u8> = Vec::with_capacity(3000);
    let during = usage()?;
    assert_eq!(during.allocations, before.allocations + 1);
    assert!(during.bytes >= before.bytes + 3000);
    drop(vector);
    assert_eq!(usage()?, before);
    Ok(())
}

#[repr(align(4096))]
struct Page([u8; 4096]);

#[repr(align(64))]
struct Line([u8; 3]);

/// Rust's allocator supports larger alignments than malloc(9).
fn aligns() -> TestResult {
    let before = usage()?;
    for round in 0..4 {
        let line = Box::new(Line([round; 3]));
        let page = Box::new(Page([round; 4096]));
        assert_eq!((&raw const *line).addr() % 64, 0);
        assert_eq!((&raw const *page).addr() % 4096, 0);
        assert!(line.0 == [round; 3] && page.0.iter().all(|&byte| byte == round));
    }
    assert_eq!(usage()?, before);
    Ok(())
}

fn unknown_type() -> TestResult {
    let name: &CStr = c"no such type, surely";
    assert_eq!(counters::malloc(name), None);
    assert!(counters::malloc(c"temp").is_some());
    Ok(())
}
