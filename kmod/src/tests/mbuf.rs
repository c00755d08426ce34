//! Tests of mbuf(9).

use crate::kpi::counters;
use crate::kpi::mbuf::{CLUSTER, Header, Mbuf};
use alloc::vec;
use alloc::vec::Vec;
use kdk_harness::{Stop, TestResult, kdk_test};

kdk_test!("kpi/mbuf-append", append);
kdk_test!("kpi/mbuf-header", header);
kdk_test!("kpi/mbuf-accounts", accounts);

fn chain(size: usize, header: Header) -> Result<Mbuf, Stop> {
    Mbuf::new(size, header).ok_or(Stop::Fail("the kernel gave no mbuf"))
}

fn add(chain: &mut Mbuf, bytes: &[u8]) -> TestResult {
    chain
        .append(bytes)
        .map_err(|_| Stop::Fail("the kernel is out of mbufs"))
}

/// Appending lengthens the chain and keeps every byte.
fn append() -> TestResult {
    let mut chain = chain(100, Header::Packet)?;
    assert!(chain.is_empty());
    let bytes: Vec<u8> = (0..3 * CLUSTER).map(|at| (at % 251) as u8).collect();
    for piece in bytes.chunks(700) {
        add(&mut chain, piece)?;
    }
    assert_eq!(chain.len(), bytes.len());
    assert!(chain.links() > 3);
    let mut out = vec![0; bytes.len()];
    assert!(chain.copy_out(0, &mut out));
    assert!(out == bytes);
    let mut middle = [0; 10];
    assert!(chain.copy_out(CLUSTER, &mut middle));
    assert_eq!(middle.as_slice(), &bytes[CLUSTER..CLUSTER + 10]);
    assert!(!chain.copy_out(bytes.len() - 5, &mut middle));
    Ok(())
}

/// The length in the packet header follows; a chain without one has none.
fn header() -> TestResult {
    let mut packet = chain(10, Header::Packet)?;
    add(&mut packet, &[7; 300])?;
    assert_eq!(packet.packet_len(), Some(300));
    let mut plain = chain(10, Header::None)?;
    add(&mut plain, &[7; 300])?;
    assert_eq!(plain.packet_len(), None);
    assert_eq!(plain.len(), 300);
    Ok(())
}

/// The kernel's count follows the chain's length.
fn accounts() -> TestResult {
    let before = counters::mbufs();
    let mut chain = chain(4 * CLUSTER, Header::Packet)?;
    add(&mut chain, &[1; 100])?;
    let links = i64::try_from(chain.links()).map_err(|_| Stop::Fail("an endless chain"))?;
    assert!(links >= 2);
    assert_eq!(counters::mbufs(), before + links);
    drop(chain);
    assert_eq!(counters::mbufs(), before);
    Ok(())
}
