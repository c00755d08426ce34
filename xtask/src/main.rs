//! The command line of fbsd-kdk.

mod accel;
mod base;
mod build;
mod console;
mod context;
mod crash;
mod doctor;
mod event;
mod failure;
mod guest;
mod guest_failure;
mod history;
mod home;
mod logs;
mod prove;
mod recorder;
mod report;
mod series;
mod store;
mod testing;
mod verb;
mod vmm;
mod yaml;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::context::Context;
use crate::failure::Failure;

/// From a FreeBSD tree and a patch series to a verdict on a real kernel.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build, boot and test a kernel
    VmTest(verb::vm_test::Args),
    /// The kit's own tests: formatting, clippy, host tests, demo guest in QEMU
    Test(verb::test::Args),
    /// Check the style of the repository's files: words, links, docs, lengths
    Tidy,
    /// The FreeBSD trees that the kit tests on
    Base(verb::base::Args),
    /// Whether each patch is needed: its tests fail without it, and pass with it
    Prove(verb::prove::Args),
    /// The patch series: kept, checked, changed, sent
    Patches(verb::patches::Args),
    /// Look at what the host lacks, and mend it
    Doctor(verb::doctor::Args),
    /// A guest's console
    Shell(verb::shell::Args),
    /// A guest under gdb, lldb or the kernel's own debugger
    Debug(verb::debug::Args),
    /// Measure the kit itself
    Bench(verb::bench::Args),
    /// Remove what can be made again
    Clean(verb::clean::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // A path or a command that is cut in two cannot be copied or looked for.
    let wrap = std::io::stderr().is_terminal();
    // It fails if there is a hook already, and there is none.
    let _ = miette::set_hook(Box::new(move |_| {
        let options = miette::MietteHandlerOpts::new();
        Box::new(options.break_words(false).wrap_lines(wrap).build())
    }));
    match dispatch(&cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let code = failure.exit_code();
            eprintln!("{:?}", miette::Report::new(failure));
            ExitCode::from(code)
        }
    }
}

fn dispatch(verb: &Verb) -> Result<(), Failure> {
    let cx = match (Context::open(), verb) {
        (Ok(cx), _) => cx,
        (Err(failure), Verb::VmTest(args)) => return verb::vm_test::report_failure(args, failure),
        (Err(failure), _) => return Err(failure),
    };
    match verb {
        Verb::VmTest(args) => verb::vm_test::run(args, &cx),
        Verb::Test(args) => verb::test::run(args, &cx),
        Verb::Tidy => verb::tidy::run(),
        Verb::Base(args) => verb::base::run(args, &cx),
        Verb::Patches(args) => verb::patches::run(args, &cx),
        Verb::Prove(args) => verb::prove::run(args, &cx),
        Verb::Doctor(args) => verb::doctor::run(args, &cx),
        Verb::Shell(args) => verb::shell::run(args, &cx),
        Verb::Debug(args) => verb::debug::run(args, &cx),
        Verb::Bench(args) => verb::bench::run(args, &cx),
        Verb::Clean(args) => verb::clean::run(args, &cx),
    }
}
