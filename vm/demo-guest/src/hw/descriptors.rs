//! Sets up the segments, and a separate stack for the double fault.

use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::tss::TaskStateSegment;

/// The entry of the interrupt stack table for double faults.
pub const DOUBLE_FAULT_STACK: u16 = 0;

static TSS: Once<TaskStateSegment> = Once::new();
static GDT: Once<GlobalDescriptorTable> = Once::new();

unsafe extern "C" {
    static kdk_fault_stack_top: u8;
}

/// Loads the descriptor tables.
pub fn load() {
    let tss = TSS.call_once(|| {
        let mut tss = TaskStateSegment::new();
        let top = VirtAddr::from_ptr(&raw const kdk_fault_stack_top);
        tss.interrupt_stack_table[usize::from(DOUBLE_FAULT_STACK)] = top;
        tss
    });
    let mut table = GlobalDescriptorTable::new();
    let code = table.append(Descriptor::kernel_code_segment());
    let data = table.append(Descriptor::kernel_data_segment());
    let task = table.append(Descriptor::tss_segment(tss));
    GDT.call_once(|| table).load();
    // SAFETY: the selectors are those of the table just loaded, which stays
    // for ever.
    unsafe {
        CS::set_reg(code);
        DS::set_reg(data);
        ES::set_reg(data);
        SS::set_reg(data);
        load_tss(task);
    }
}
