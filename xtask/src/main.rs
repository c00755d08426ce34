//! The command line of fbsd-kdk.

mod cmd;
mod console;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use kdk_core::context::Context;
use kdk_core::failure::Failure;

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
    VmTest(cmd::vm_test::Args),
    /// The kit's own tests: formatting, clippy, host tests, demo guest in QEMU
    Test(cmd::test::Args),
    /// Check the style of the repository's files: words, links, docs, lengths
    Tidy,
    /// The FreeBSD trees that the kit tests on
    Base(cmd::base::Args),
    /// Whether each patch is needed: its tests fail without it, and pass with it
    Prove(cmd::prove::Args),
    /// The patch series: kept, checked, changed, sent
    Patches(cmd::patches::Args),
    /// Look at what the host lacks, and mend it
    Doctor(cmd::doctor::Args),
    /// A guest's console
    Shell(cmd::shell::Args),
    /// A guest under gdb, lldb or the kernel's own debugger
    Debug(cmd::debug::Args),
    /// Measure the kit itself
    Bench(cmd::bench::Args),
    /// Remove what can be made again
    Clean(cmd::clean::Args),
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
        (Err(failure), Verb::VmTest(args)) => return cmd::vm_test::report_failure(args, failure),
        (Err(failure), _) => return Err(failure),
    };
    match verb {
        Verb::VmTest(args) => cmd::vm_test::run(args, &cx),
        Verb::Test(args) => cmd::test::run(args, &cx),
        Verb::Tidy => cmd::tidy::run(),
        Verb::Base(args) => cmd::base::run(args, &cx),
        Verb::Patches(args) => cmd::patches::run(args, &cx),
        Verb::Prove(args) => cmd::prove::run(args, &cx),
        Verb::Doctor(args) => cmd::doctor::run(args, &cx),
        Verb::Shell(args) => cmd::shell::run(args, &cx),
        Verb::Debug(args) => cmd::debug::run(args, &cx),
        Verb::Bench(args) => cmd::bench::run(args, &cx),
        Verb::Clean(args) => cmd::clean::run(args, &cx),
    }
}
