//! TLS by the kernel, ktls(4): what is written to a socket leaves it as
//! encrypted records.
#![allow(unsafe_code)]

use crate::errno::Result;
use crate::fd::Descriptor;
use crate::raw::{call, number};

/// A version of TLS whose records the kernel can make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Version {
    /// TLS version 1.2.
    Tls12 = 3,
    /// TLS version 1.3.
    Tls13 = 4,
}

/// A `struct tls_enable` of `<sys/ktls.h>`.
#[repr(C)]
struct Enable {
    cipher_key: *const u8,
    iv: *const u8,
    auth_key: *const u8,
    cipher_algorithm: i32,
    cipher_key_length: i32,
    iv_length: i32,
    auth_algorithm: i32,
    auth_key_length: i32,
    flags: i32,
    major: u8,
    minor: u8,
    first_record: [u8; 8],
}

/// Has the kernel encrypt what is sent, with AES-GCM, from record 0 on. `iv`
/// is the implicit part: 4 bytes for TLS 1.2, 12 for TLS 1.3.
///
/// # Errors
/// `ENOPROTOOPT`: the kernel has no `KERN_TLS`; else those of setsockopt(2).
pub fn encrypt(
    socket: &impl Descriptor,
    version: Version,
    key: &[u8; 16],
    iv: &[u8],
) -> Result<()> {
    const IPPROTO_TCP: usize = 6;
    const TCP_TXTLS_ENABLE: usize = 39;
    const CRYPTO_AES_NIST_GCM_16: i32 = 25;
    let enable = Enable {
        cipher_key: key.as_ptr(),
        iv: iv.as_ptr(),
        auth_key: core::ptr::null(),
        cipher_algorithm: CRYPTO_AES_NIST_GCM_16,
        cipher_key_length: key.len() as i32,
        iv_length: i32::try_from(iv.len()).unwrap_or(i32::MAX),
        auth_algorithm: 0,
        auth_key_length: 0,
        flags: 0,
        major: 3,
        minor: version as u8,
        first_record: [0; 8],
    };
    let arguments = [
        socket.raw() as usize,
        IPPROTO_TCP,
        TCP_TXTLS_ENABLE,
        &raw const enable as usize,
        size_of_val(&enable),
    ];
    // SAFETY: the kernel reads the structure, and the key and the vector with
    // the lengths in it; all are alive here.
    unsafe { call(number::SETSOCKOPT, &arguments) }.map(drop)
}
