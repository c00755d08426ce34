//! `cargo xtask debug`: debugs a guest with gdb, lldb or ddb.

mod commands;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use kdk_kmod_link::layout::placement;
use kdk_vm::machine::{Machine, Port};
use kdk_vm::protocol::Line;
use kdk_vm::qemu::{Qemu, QemuMachine, QemuPool, Spec, escape};

use super::args::MachineArgs;
use crate::console;
use commands::{Endpoint, Module, Session, gdb, lldb};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::logs;
use kdk_doctor::Need;
use kdk_guest::guest::{self, Guest};
use kdk_report::recorder::Recorder;

/// The name of the gdb stub in QEMU.
const STUB: &str = "gdb";

/// The arguments of `cargo xtask debug`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    machine: MachineArgs,
    /// Run this test when the debugger resumes the guest
    #[arg(long, value_name = "NAME")]
    tests: Option<String>,
    /// Pause the guest at its start until the debugger resumes it
    #[arg(long)]
    wait: bool,
    /// Listen on a free TCP port of this host, for lldb
    #[arg(long)]
    lldb: bool,
    /// Open the console of the guest; ^\ enters the kernel debugger
    #[arg(long)]
    ddb: bool,
}

/// Runs the command.
pub fn run(args: &Args, cx: &Context) -> Result<(), Failure> {
    let name = guest::base_name(cx, args.machine.guest.base.as_deref())?;
    kdk_doctor::need(cx, Need::guest(&name), false)?;
    let recorder = Recorder::new(&cx.terminal);
    let logs = logs::folder(cx)?;
    let guest = guest::prepare(cx, &recorder, &args.machine.request(), &name, &logs)?;
    let (qemu, mut spec) = qemu(&guest)?;
    let socket = logs.join("gdb.sock");
    spec.halted = args.wait;
    spec.extra
        .extend(stub(if args.lldb { None } else { Some(&socket) }));
    let mut machine = QemuMachine::start(&qemu, &spec)?;
    let endpoint = if args.lldb {
        Endpoint::Tcp(address(&mut machine)?)
    } else {
        Endpoint::Unix(socket)
    };
    let session = session(args, &guest, endpoint)?;
    write_commands(cx, args, &session, &logs)?;
    let mut on_result =
        |machine: &mut QemuMachine, line: &str| match (&args.tests, Line::parse(line)) {
            (Some(test), Line::Hello(_)) => send_test(cx, args, machine, test),
            _ => Ok(()),
        };
    let result = if args.ddb {
        cx.terminal.line(console::HELP);
        console::interact(cx, &mut machine, &mut on_result)
    } else {
        console::watch(cx, &mut machine, &mut on_result)
    };
    if let Endpoint::Unix(socket) = &session.endpoint {
        // QEMU does not remove it when it is killed.
        let _ = std::fs::remove_file(socket);
    }
    result
}

/// Returns the QEMU of a guest: only it has the gdb stub.
fn qemu(guest: &Guest) -> Result<(Qemu, Spec), Failure> {
    match guest.pool.qemu() {
        Some(QemuPool { qemu, spec }) => Ok((qemu.clone(), spec.clone())),
        None => Err(Failure::usage(
            "debug a guest of bhyve",
            "kdk supports only the debugger stub of QEMU",
        )
        .help("use `--vmm qemu`, or `cargo xtask shell` for ddb")),
    }
}

/// Returns QEMU's arguments for its gdb stub, on a socket or a free TCP port.
fn stub(socket: Option<&Path>) -> Vec<OsString> {
    let mut device = OsString::from(format!("socket,id={STUB},server=on,wait=off,"));
    match socket {
        Some(path) => {
            device.push("path=");
            device.push(escape(path));
        }
        None => device.push("host=127.0.0.1,port=0"),
    }
    vec![
        "-chardev".into(),
        device,
        "-gdb".into(),
        format!("chardev:{STUB}").into(),
    ]
}

/// Returns the TCP port that QEMU chose.
fn address(machine: &mut QemuMachine) -> Result<SocketAddr, Failure> {
    let tried = "find the port of QEMU's gdb stub";
    let devices = machine
        .monitor()
        .execute("query-chardev", serde_json::json!({}))
        .map_err(|error| Failure::infra(tried, "QEMU did not answer").source(error))?;
    devices
        .as_array()
        .into_iter()
        .flatten()
        .filter(|device| device["label"] == STUB)
        .find_map(|device| port_of(device["filename"].as_str()?))
        .ok_or_else(|| Failure::infra(tried, "QEMU has no such port"))
}

/// Parses QEMU's name of a socket:
/// `disconnected:tcp:127.0.0.1:43211,server=on`.
fn port_of(filename: &str) -> Option<SocketAddr> {
    let (_, address) = filename.split_once("tcp:")?;
    address.split(',').next()?.parse().ok()
}

fn session(args: &Args, guest: &Guest, endpoint: Endpoint) -> Result<Session, Failure> {
    let symbols = &guest.symbols;
    let module = symbols
        .module
        .as_ref()
        .map(|module| {
            let bytes =
                std::fs::read(module).map_err(|error| Failure::io("read kdk.ko", module, error))?;
            let sections = placement(&bytes)
                .map_err(|error| Failure::build("read kdk.ko's sections", error.to_string()))?;
            Ok::<Module, Failure>(Module {
                path: with_debug_information(module),
                sections,
            })
        })
        .transpose()?;
    Ok(Session {
        kernel: symbols.kernel.clone(),
        tree: symbols.tree.clone(),
        entry: symbols.entry,
        module,
        endpoint,
        wait: args.wait,
    })
}

/// Returns `kdk.ko.debug` if it exists, else the module.
fn with_debug_information(module: &Path) -> PathBuf {
    let debug = module.with_extension("ko.debug");
    if debug.is_file() {
        debug
    } else {
        module.to_owned()
    }
}

/// Writes the command file of the debugger, and prints how to use it.
fn write_commands(
    cx: &Context,
    args: &Args,
    session: &Session,
    logs: &Path,
) -> Result<(), Failure> {
    let (name, text, line) = if args.lldb {
        ("debug.lldb", lldb(session), "lldb -s")
    } else {
        ("debug.gdb", gdb(session), "gdb -x")
    };
    let file = logs.join(name);
    std::fs::write(&file, text)
        .map_err(|error| Failure::io("write the debugger's commands", &file, error))?;
    cx.terminal
        .line(&format!("in another terminal: {line} {}", file.display()));
    if args.wait {
        cx.terminal
            .line("the guest is paused until the debugger resumes it");
    }
    Ok(())
}

/// Sends the guest, which is up, the command to run the test. With ddb it runs
/// at once, else when the debugger resumes the guest.
fn send_test(
    cx: &Context,
    args: &Args,
    machine: &mut QemuMachine,
    test: &str,
) -> Result<(), Failure> {
    let failed = |what: &str, error: std::io::Error| {
        Failure::infra(format!("{what} before {test}"), "the guest is gone").source(error)
    };
    if !args.ddb {
        machine
            .monitor()
            .pause()
            .map_err(|error| failed("stop the guest", error))?;
        cx.terminal.line(&format!(
            "the guest is paused before {test}; `continue` in the debugger runs it"
        ));
    }
    machine
        .send(Port::Result, format!("run {test}\n").as_bytes())
        .map_err(|error| failed("send the command", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_read_from_what_qemu_calls_its_socket() {
        for (filename, port) in [
            ("disconnected:tcp:127.0.0.1:43211,server=on", Some(43211)),
            ("tcp:127.0.0.1:1,server=on <-> 127.0.0.1:2", Some(1)),
            ("disconnected:unix:/a,server=on", None),
            ("", None),
        ] {
            assert_eq!(port_of(filename).map(|at| at.port()), port, "{filename}");
        }
    }

    #[test]
    fn arguments_of_the_stub() {
        let text = |socket: Option<&Path>| {
            let args = stub(socket);
            let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
            args.join(" ")
        };
        insta::assert_snapshot!(text(Some(Path::new("/a,b/gdb.sock"))), @"-chardev socket,id=gdb,server=on,wait=off,path=/a,,b/gdb.sock -gdb chardev:gdb");
        insta::assert_snapshot!(text(None), @"-chardev socket,id=gdb,server=on,wait=off,host=127.0.0.1,port=0 -gdb chardev:gdb");
    }
}
