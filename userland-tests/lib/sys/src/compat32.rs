//! Programs of 32 bits, to try the kernel's `COMPAT_FREEBSD32`: a list of
//! system calls as an ELF file of i386, a few hundred bytes that the kernel
//! runs as it would any other. No compiler for i386 is needed.
//!
//! Standard output gets the program's memory after the last call; standard
//! input and error are the calls' to use.

use crate::errno::{Errno, Result};
use alloc::vec;
use alloc::vec::Vec;

/// Where i386 programs begin.
const BASE: u32 = 0x0804_8000;
const LENGTH: usize = 0x4000;
/// The end of a program's memory. The last page is zeros but for what the
/// program has placed there.
pub const END: u32 = BASE + LENGTH as u32;
const CODE: usize = 0x80;
const TABLE: usize = 0x200;
const MOST: usize = 60;
const DATA: usize = 0x1000;

/// Words of a call's place in the table: number (0 ends it), result, whether
/// it failed, an unused return address, arguments.
const WORDS: usize = 12;
const RESULT: usize = 4;
const FAILED: usize = 8;
const ARGUMENTS: usize = 16;
/// Most words of arguments; a 64-bit one takes two.
const WIDEST: usize = WORDS - ARGUMENTS / 4;

const WRITE: u8 = 4;
const EXIT: u8 = 1;
const STDOUT: u32 = 1;

/// A list of system calls, and the memory they work on.
#[derive(Debug)]
pub struct Program {
    memory: Vec<u8>,
    calls: usize,
    used: usize,
}

impl Default for Program {
    fn default() -> Self {
        Self::new()
    }
}

impl Program {
    /// Without any call it only describes its memory.
    #[must_use]
    pub fn new() -> Self {
        let mut program = Self {
            memory: vec![0; LENGTH],
            calls: 0,
            used: DATA,
        };
        program.put(0, &header());
        let last = program.place(&words(&[0, STDOUT, BASE, LENGTH as u32]));
        program.put(CODE, &code(last.unwrap_or(BASE)));
        program
    }

    /// Puts `bytes` into its memory; their address.
    ///
    /// # Errors
    /// `ENOMEM`: there is no room left.
    pub fn place(&mut self, bytes: &[u8]) -> Result<u32> {
        let at = self.used;
        let end = at + bytes.len().next_multiple_of(8);
        if end > LENGTH {
            return Err(Errno::ENOMEM);
        }
        self.put(at, bytes);
        self.used = end;
        Ok(BASE + at as u32)
    }

    /// Appends a system call, its arguments as they lie on the stack.
    ///
    /// # Errors
    /// `E2BIG`: too many calls, or arguments.
    pub fn call(&mut self, number: u32, arguments: &[u32]) -> Result<()> {
        if self.calls == MOST || arguments.len() > WIDEST {
            return Err(Errno::E2BIG);
        }
        let at = TABLE + self.calls * WORDS * 4;
        self.put(at, &number.to_le_bytes());
        self.put(at + ARGUMENTS, &words(arguments));
        self.calls += 1;
        Ok(())
    }

    /// The program's file.
    #[must_use]
    pub fn file(&self) -> &[u8] {
        &self.memory
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        for (to, from) in self.memory.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
}

/// What a program's memory was after its last call.
#[derive(Debug)]
pub struct Outcome(Vec<u8>);

impl Outcome {
    /// What the program has written to its standard output.
    ///
    /// # Errors
    /// `EBADMSG`: that is not all of its memory.
    pub fn of(output: Vec<u8>) -> Result<Self> {
        match output.len() {
            LENGTH => Ok(Self(output)),
            _ => Err(Errno::EBADMSG),
        }
    }

    /// What the call returned, the first one being 0.
    ///
    /// # Errors
    /// Those of the call.
    pub fn call(&self, nth: usize) -> Result<u32> {
        let at = TABLE + nth * WORDS * 4;
        let result = self.word_at(at + RESULT);
        match self.word_at(at + FAILED) {
            0 => Ok(result),
            _ => Err(Errno(result as i32)),
        }
    }

    /// The word at an address that [`Program::place`] returned, or behind one.
    #[must_use]
    pub fn word(&self, address: u32) -> u32 {
        self.word_at(address.wrapping_sub(BASE) as usize)
    }

    fn word_at(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().map_or(0, u32::from_le_bytes)
    }
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// `Elf32_Ehdr` and one `Elf32_Phdr`: all of the file is loaded at [`BASE`],
/// readable, writable, executable.
fn header() -> Vec<u8> {
    const FREEBSD: u8 = 9;
    const EHDR: u32 = 52;
    const PHDR: u32 = 32;
    let mut bytes = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, FREEBSD];
    bytes.resize(16, 0);
    // ET_EXEC, EM_386.
    bytes.extend([2, 0, 3, 0]);
    bytes.extend(words(&[1, BASE + CODE as u32, EHDR, 0, 0]));
    bytes.extend([EHDR as u8, 0, PHDR as u8, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
    let length = LENGTH as u32;
    // PT_LOAD; PF_R | PF_W | PF_X; a page.
    bytes.extend(words(&[1, 0, BASE, BASE, length, length, 7, 0x1000]));
    bytes
}

/// Takes the calls in turn, then writes the memory and exits. `last` is the
/// address of write(2)'s arguments, behind a return address.
fn code(last: u32) -> Vec<u8> {
    let table = BASE + TABLE as u32;
    let mut code = vec![0xbb]; // mov ebx, table
    code.extend(table.to_le_bytes());
    code.extend([
        0x8b, 0x03, // next: mov eax, [ebx]
        0x85, 0xc0, // test eax, eax
        0x74, 17, // jz over
        0x8d, 0x63, 12, // lea esp, [ebx + 12]
        0xcd, 0x80, // int 0x80
        0x0f, 0x92, 0x43, 8, // setc [ebx + 8]
        0x89, 0x43, 4, // mov [ebx + 4], eax
        0x83, 0xc3, 48, // add ebx, 48
        0xeb, 0xe9, // jmp next
    ]);
    code.extend([0xb8, WRITE, 0, 0, 0]); // over: mov eax, SYS_write
    code.push(0xbc); // mov esp, last
    code.extend(last.to_le_bytes());
    code.extend([0xcd, 0x80]); // int 0x80
    code.extend([0xb8, EXIT, 0, 0, 0]); // mov eax, SYS_exit
    // Its argument is the first word, which is 0, behind a return address.
    code.push(0xbc); // mov esp, last - 4
    code.extend(last.wrapping_sub(4).to_le_bytes());
    code.extend([0xcd, 0x80]); // int 0x80
    code
}
