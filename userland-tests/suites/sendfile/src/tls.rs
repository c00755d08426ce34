//! Sockets that the kernel encrypts for.

use crate::in_flight::InFlight;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes128Gcm, KeyInit};
use alloc::vec::Vec;
use kdk_fixtures::bytes::{assert_same, pattern, receive_all};
use kdk_fixtures::link::Link;
use kdk_fixtures::source::Source;
use kdk_harness::{TestResult, kdk_test};
use kdk_sys::file::PAGE;
use kdk_sys::ktls::{Version, encrypt};
use kdk_sys::memory::Mapping;
use kdk_sys::sendfile::Request;
use kdk_sys::socket::{Half, shutdown};
use kdk_sys::suite::must;

const KEY: [u8; 16] = *b"sixteen secret b";
const IV: [u8; 12] = *b"twelve bytes";
/// Bytes of a record's header and of the tag at its end.
const HEADER: usize = 5;
const TAG: usize = 16;
/// Two full records and a part of one.
const LENGTH: usize = 2 * (16 << 10) + 3 * PAGE + 100;

/// All plain text of a connection's records.
#[track_caller]
fn decrypted(version: Version, mut stream: &[u8]) -> Vec<u8> {
    let Ok(cipher) = Aes128Gcm::new_from_slice(&KEY) else {
        panic!("a key of another length");
    };
    let mut plain = Vec::new();
    for sequence in 0u64.. {
        let Some(header) = stream.first_chunk::<HEADER>() else {
            assert!(stream.is_empty(), "a part of a record's header");
            break;
        };
        let [kind, major, minor, high, low] = *header;
        assert_eq!(
            (kind, major, minor),
            (23, 3, 3),
            "record {sequence}: header"
        );
        let length = usize::from(u16::from_be_bytes([high, low]));
        let record = stream.get(HEADER..HEADER + length);
        let Some(record) = record else {
            panic!("record {sequence}: a part of its {length} bytes");
        };
        stream = stream.get(HEADER + length..).unwrap_or_default();
        let mut nonce = IV;
        let (sealed, also) = match version {
            Version::Tls12 => {
                let (explicit, sealed) = record.split_at(8);
                nonce[4..].copy_from_slice(explicit);
                let plain = (sealed.len() - TAG) as u16;
                let mut also = sequence.to_be_bytes().to_vec();
                also.extend([kind, major, minor]);
                also.extend(plain.to_be_bytes());
                (sealed, also)
            }
            Version::Tls13 => {
                for (byte, with) in nonce[4..].iter_mut().zip(sequence.to_be_bytes()) {
                    *byte ^= with;
                }
                (record, header.to_vec())
            }
        };
        let payload = Payload {
            msg: sealed,
            aad: &also,
        };
        let Ok(mut opened) = cipher.decrypt(&nonce.into(), payload) else {
            panic!("record {sequence}: it cannot be decrypted");
        };
        if version == Version::Tls13 {
            assert_eq!(opened.pop(), Some(kind), "record {sequence}: type");
        }
        plain.extend(opened);
    }
    plain
}

/// The pages are free once they are encrypted, whether or not anybody reads:
/// what is written to them at the event is not sent.
fn encrypts(version: Version) -> TestResult {
    let in_flight = InFlight::of_second("the kernel of 2014 does not encrypt")?;
    let (memory, bytes) = Source::Shm.of(LENGTH);
    let mut mapping = must("mmap shared memory", Mapping::of(&memory, LENGTH));
    let (here, there) = Link::Tcp.connect_with(256 << 10);
    let iv = match version {
        Version::Tls12 => IV.get(..4).unwrap_or_default(),
        Version::Tls13 => &IV,
    };
    must("have it encrypt", encrypt(&here, version, &KEY, iv));
    let header = pattern(300);
    let request = Request {
        headers: &[&header],
        ..Request::default()
    };
    let total = (header.len() + LENGTH) as i64;
    let sent = in_flight.send(&memory, &here, 1, &request);
    assert_eq!((sent.bytes, sent.result), (total, Ok(())), "sendfile");
    in_flight.expect_event("all was encrypted", 1, total);
    mapping.write(0, &[0xdd; PAGE].repeat(LENGTH.div_ceil(PAGE)));
    must("end", shutdown(&here, Half::Write));
    let expected = [header, bytes].concat();
    assert_same(
        "what was sent",
        &decrypted(version, &receive_all(&there)),
        &expected,
    );
    in_flight.assert_done("the event came once");
    must("leave no TIME_WAIT", kdk_sys::socket::set_linger(&there, 0));
    Ok(())
}

macro_rules! tests {
    ($($name:literal: $version:ident;)*) => {
        $(kdk_test!(
            $name,
            || encrypts(Version::$version),
            limit_ms = 60_000,
            // Not those of kqueue(2) too: the first such socket makes the
            // process of the kernel that encrypts, and every process has one.
            leak_types = &["sendfile"],
        );)*
    };
}

tests! {
    "sendfile/tls12": Tls12;
    "sendfile/tls13": Tls13;
}
