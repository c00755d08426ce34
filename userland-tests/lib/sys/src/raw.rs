//! The one place that enters the kernel.
#![allow(unsafe_code)]

use crate::errno::{Errno, Result};
use alloc::ffi::CString;
use core::arch::asm;

/// Call numbers; see the crate's documentation for what they have in common.
pub mod number {
    pub const EXIT: usize = 1;
    pub const FORK: usize = 2;
    pub const READ: usize = 3;
    pub const WRITE: usize = 4;
    pub const OPEN: usize = 5;
    pub const CLOSE: usize = 6;
    pub const WAIT4: usize = 7;
    pub const UNLINK: usize = 10;
    pub const GETPID: usize = 20;
    pub const UNMOUNT: usize = 22;
    pub const RECVFROM: usize = 29;
    pub const ACCEPT: usize = 30;
    pub const GETSOCKNAME: usize = 32;
    pub const SYNC: usize = 36;
    pub const KILL: usize = 37;
    pub const IOCTL: usize = 54;
    pub const REBOOT: usize = 55;
    pub const EXECVE: usize = 59;
    pub const MUNMAP: usize = 73;
    pub const SETPGID: usize = 82;
    pub const DUP2: usize = 90;
    pub const FCNTL: usize = 92;
    pub const SELECT: usize = 93;
    pub const SOCKET: usize = 97;
    pub const CONNECT: usize = 98;
    pub const BIND: usize = 104;
    pub const SETSOCKOPT: usize = 105;
    pub const LISTEN: usize = 106;
    pub const GETSOCKOPT: usize = 118;
    pub const SENDTO: usize = 133;
    pub const SHUTDOWN: usize = 134;
    pub const SOCKETPAIR: usize = 135;
    pub const MKDIR: usize = 136;
    pub const GETDIRENTRIES: usize = 196;
    pub const SYSCTL: usize = 202;
    pub const MLOCK: usize = 203;
    pub const POLL: usize = 209;
    pub const CLOCK_GETTIME: usize = 232;
    pub const CLOCK_SETTIME: usize = 233;
    pub const NANOSLEEP: usize = 240;
    pub const RFORK: usize = 251;
    pub const KLDLOAD: usize = 304;
    pub const KLDUNLOAD: usize = 305;
    pub const KLDFIND: usize = 306;
    pub const SCHED_YIELD: usize = 331;
    pub const KQUEUE: usize = 362;
    pub const KEVENT: usize = 363;
    pub const NMOUNT: usize = 378;
    pub const KENV: usize = 390;
    pub const SENDFILE: usize = 393;
    pub const SIGACTION: usize = 416;
    pub const JAIL_ATTACH: usize = 436;
    pub const MMAP: usize = 477;
    pub const LSEEK: usize = 478;
    pub const FTRUNCATE: usize = 480;
    pub const SHM_OPEN: usize = 482;
    pub const JAIL_SET: usize = 507;
    pub const JAIL_REMOVE: usize = 508;
    pub const CAP_RIGHTS_LIMIT: usize = 533;
    pub const PIPE2: usize = 542;
    pub const KQUEUEX: usize = 583;
}

/// Makes a system call of up to seven arguments.
///
/// # Safety
/// Every argument that the call takes for an address must point to what the
/// call reads or writes there, for as long as it does.
pub unsafe fn call(number: usize, arguments: &[usize]) -> Result<usize> {
    let argument = |nth: usize| arguments.get(nth).copied().unwrap_or(0);
    let (value, failed): (usize, u8);
    // SAFETY: FreeBSD/amd64 takes the number in rax, six arguments in
    // registers and the seventh on the stack above a return address, for
    // which a second push of it stands in. The carry flag reports an error
    // (lea leaves it alone). What the kernel may lose is declared lost; the
    // addresses are the caller's word.
    unsafe {
        asm!(
            "push {seventh}",
            "push {seventh}",
            "syscall",
            "lea rsp, [rsp + 16]",
            "setc {failed}",
            seventh = in(reg) argument(6),
            failed = lateout(reg_byte) failed,
            inlateout("rax") number => value,
            inlateout("rdi") argument(0) => _,
            inlateout("rsi") argument(1) => _,
            inlateout("rdx") argument(2) => _,
            inlateout("r10") argument(3) => _,
            inlateout("r8") argument(4) => _,
            inlateout("r9") argument(5) => _,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    match failed {
        0 => Ok(value),
        _ => Err(Errno(i32::try_from(value).unwrap_or(i32::MAX))),
    }
}

/// A system call that takes numbers only.
///
/// # Safety
/// As [`call`]: none of the arguments may be taken for an address, other than
/// by calls that only compare it.
pub unsafe fn plain<const N: usize>(number: usize, arguments: [i64; N]) -> Result<usize> {
    let arguments = arguments.map(|argument| argument as usize);
    // SAFETY: the caller says that there are no addresses among them.
    unsafe { call(number, &arguments) }
}

/// A descriptor or process id that a call returned.
pub fn as_id(value: usize) -> i32 {
    // The kernel returns an int in a register that it extends.
    value as i32
}

/// Text as the kernel wants it.
///
/// # Errors
/// `EINVAL`: it has a NUL byte in it.
pub fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

/// The C structure `iovec`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct IoVec {
    pub base: *const u8,
    pub length: usize,
}

impl IoVec {
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            base: bytes.as_ptr(),
            length: bytes.len(),
        }
    }
}
