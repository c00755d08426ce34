//! Recognizes the lines that show the processor's state.

/// The words before the `=` of a trap's report (sys/amd64/amd64/trap.c).
const REPORT: [&str; 9] = [
    "fault virtual address",
    "fault code",
    "instruction pointer",
    "stack pointer",
    "frame pointer",
    "code segment",
    "processor eflags",
    "current process",
    "trap number",
];

/// The registers of amd64, as the kernel and ddb(4) name them.
const NAMES: [&str; 26] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "rip", "rflags", "r8", "r9", "r10",
    "r11", "r12", "r13", "r14", "r15", "cs", "ds", "es", "fs", "gs", "ss", "fsbase", "cr2",
];

/// Returns whether `text` shows registers: a line of a trap's report, `rax: 0
/// rbx: 1`, `rip 0x1 rsp 0x2`, `rip = 0x1`, or ddb's `rax   0x12  symbol`.
pub fn is_register(text: &str) -> bool {
    if let Some((what, _)) = text.split_once('=')
        && (REPORT.contains(&what.trim()) || what.is_empty() && text.starts_with("= DPL "))
    {
        return true;
    }
    let mut words = text.split_whitespace();
    let name = words.next().map(|name| name.trim_end_matches(':'));
    let value = words.find(|word| *word != "=");
    name.is_some_and(|name| NAMES.contains(&name)) && value.is_some_and(is_number)
}

fn is_number(word: &str) -> bool {
    let digits = word.trim_start_matches("0x");
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_distinguished_from_text() {
        for line in [
            "fault virtual address\t= 0x0",
            "fault code\t\t= supervisor read data, page not present",
            "instruction pointer\t= 0x20:0xffffffff82a1b2c0",
            "= DPL 0, pres 1, long 1, def32 0, gran 1",
            "current process\t\t= 0 (kdk test)",
            "rdi: 0000000000000000 rsi: fffffe0045ef6e90 rdx: 0000000000000001",
            "r8 0 r9 0x1 r10 0x2",
            "rip 0xffffffff80c0ffee rsp 0xfffffe0045ef6000 rbp 0xfffffe0045ef6010",
            "rip = 0xffffffff80c0ffee",
            "cs 0x20 ss 0x28 ds 0x3b es 0x3b fs 0x13 gs 0x1b",
            "rax                      0x12",
            "rip         0xffffffff80b2d7a3  kdb_enter+0x33",
        ] {
            assert!(is_register(line), "{line}");
        }
        for line in [
            "cpuid = 0; apic id = 00",
            "rip and tear",
            "rip",
            "time = 1732350000",
            "es is a segment",
            "= 3",
            "",
        ] {
            assert!(!is_register(line), "{line}");
        }
    }
}
