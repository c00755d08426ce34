//! The first line.

use crate::channel::Channel;
use crate::kdk;
use alloc::string::String;
use core::fmt::{self, Write};
use kdk_sys::{Errno, Result, sysctl};

/// Sends the greeting that identifies the guest.
///
/// # Errors
/// The host does not read it.
pub fn say(channel: &mut Channel, module: Result<()>) -> fmt::Result {
    let osreldate = sysctl::osreldate().unwrap_or(0);
    // Firmware may have written to the line too and left it unended.
    write!(
        channel,
        "\n# kdk-hello protocol=2 guest=freebsd osreldate={osreldate} "
    )?;
    match module.and_then(|()| kdk::version()) {
        Ok(version) => write!(channel, "kmod={version} ")?,
        Err(errno) => write!(channel, "kmod=none kmod-error={errno} ")?,
    }
    writeln!(channel, "uname={}", uname())
}

/// The kernel's version without its further lines.
fn uname() -> String {
    let version = sysctl::text("kern.version");
    version
        .map(|text| text.lines().next().unwrap_or_default().into())
        .unwrap_or_else(|errno: Errno| alloc::format!("kern.version: {errno}"))
}
