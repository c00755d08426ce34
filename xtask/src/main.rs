//! The command line of fbsd-kdk.

mod cmd;
mod console;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use kdk_bisect::step::{STOP, guarded};
use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::terminal::cut_lines;
use nix::sys::signal::{SigSet, Signal};

/// Builds FreeBSD kernels with a patch series and tests them in virtual machines.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Build, boot and test a kernel
    VmTest(cmd::vm_test::Args),
    /// Run kdk's own tests: formatting, clippy, tidy, host tests, demo guest
    Test(cmd::test::Args),
    /// Check the style of the repository's files: words, links, docs, lengths
    Tidy,
    /// Add, list and remove bases: FreeBSD trees to test on
    Base(cmd::base::Args),
    /// Prove that each patch is needed: its tests fail without it and pass with it
    Prove(cmd::prove::Args),
    /// Find the commit, or the patch of the series, that broke a test
    Bisect(cmd::bisect::Args),
    /// Test the commit that is checked out, for `git bisect run`
    Step(cmd::bisect::StepArgs),
    /// Run what each revision of a series needs, and report it
    Ci(cmd::ci::Args),
    /// List, check, edit, rebase and export the patch series
    Patches(cmd::patches::Args),
    /// Check host dependencies and install missing ones
    Doctor(cmd::doctor::Args),
    /// Open a guest's console; your input goes to init: list, run NAME, end
    Shell(cmd::shell::Args),
    /// Debug a guest with gdb, lldb or ddb
    Debug(cmd::debug::Args),
    /// Run one task that an executor starts
    #[command(hide = true)]
    Task(cmd::task::Args),
    /// Measure kdk itself and what the patches are worth
    Bench(cmd::bench::Args),
    /// Remove rebuildable files and report the space freed
    Clean(cmd::clean::Args),
}

fn main() -> ExitCode {
    ExitCode::from(match is_step() {
        true => guarded(start),
        false => start(),
    })
}

/// Returns whether the command is `step`, whose exit codes `git bisect run` reads.
fn is_step() -> bool {
    let first = std::env::args_os().nth(1);
    first.is_some_and(|word| word == "step")
}

/// Runs the command of the command line, and returns the exit code.
fn start() -> u8 {
    // Writing to a file that may not grow fails with an error then, as on a full
    // disk, and does not kill this process. Programs that it starts are not
    // affected.
    let mut ignored = SigSet::empty();
    ignored.add(Signal::SIGXFSZ);
    let _ = ignored.thread_block();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return usage_exit_code(&error);
        }
    };
    // Paths and commands are not broken, so that they can be copied.
    let wrap = std::io::stderr().is_terminal();
    // It fails only if a hook is already set.
    let _ = miette::set_hook(Box::new(move |_| {
        let options = miette::MietteHandlerOpts::new()
            .break_words(false)
            .word_separator(textwrap::WordSeparator::AsciiSpace)
            .word_splitter(textwrap::WordSplitter::NoHyphenation)
            .wrap_lines(wrap);
        Box::new(options.build())
    }));
    match dispatch(&cli.command) {
        Ok(code) => code,
        Err(failure) => {
            let code = match cli.command {
                Command::Step(_) => STOP + failure.exit_code(),
                _ => failure.exit_code(),
            };
            let report = format!("{:?}", miette::Report::new(failure));
            // Where no one reads it, the exit code has to do.
            let _ = writeln!(std::io::stderr(), "{}", cut_lines(&report));
            code
        }
    }
}

/// Returns the exit code for arguments that clap refused or answered itself.
/// `git bisect run` must not take a wrong option of `step` for a bad commit.
fn usage_exit_code(error: &clap::Error) -> u8 {
    match (error.use_stderr(), is_step()) {
        (false, _) => 0,
        (true, false) => 2,
        (true, true) => STOP + 2,
    }
}

fn dispatch(command: &Command) -> Result<u8, Failure> {
    let cx = match (Context::open(), command) {
        (Ok(cx), _) => cx,
        (Err(failure), Command::VmTest(args)) => {
            return cmd::vm_test::report_failure(args, failure).map(|()| 0);
        }
        (Err(failure), _) => return Err(failure),
    };
    let code = run(command, &cx)?;
    cx.terminal.check_printed()?;
    Ok(code)
}

/// Runs a command. Returns the exit code, which is 0 for all but `step`.
fn run(command: &Command, cx: &Context) -> Result<u8, Failure> {
    let done = match command {
        Command::VmTest(args) => cmd::vm_test::run(args, cx),
        Command::Test(args) => cmd::test::run(args, cx),
        Command::Tidy => cmd::tidy::run(cx),
        Command::Base(args) => cmd::base::run(args, cx),
        Command::Ci(args) => cmd::ci::run(args, cx),
        Command::Patches(args) => cmd::patches::run(args, cx),
        Command::Prove(args) => cmd::prove::run(args, cx),
        Command::Bisect(args) => cmd::bisect::run(args, cx),
        Command::Step(args) => return cmd::bisect::run_step(args, cx),
        Command::Doctor(args) => cmd::doctor::run(args, cx),
        Command::Shell(args) => cmd::shell::run(args, cx),
        Command::Debug(args) => cmd::debug::run(args, cx),
        Command::Task(args) => cmd::task::run(args, cx),
        Command::Bench(args) => cmd::bench::run(args, cx),
        Command::Clean(args) => cmd::clean::run(args, cx),
    };
    done.map(|()| 0)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_cli_reference_is_generated_from_the_command_line() {
        let path = kdk_core::workspace::workspace().join("docs/cli-reference.md");
        let options = clap_markdown::MarkdownOptions::new()
            .title("Command reference".into())
            .show_footer(false);
        let text = clap_markdown::help_markdown_custom::<Cli>(&options);
        let text = text.trim_end().to_owned() + "\n";
        if std::env::var_os("INSTA_UPDATE").is_some_and(|update| update == "always") {
            std::fs::write(&path, &text).unwrap();
        }
        let file = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            file == text,
            "docs/cli-reference.md is out of date: run `INSTA_UPDATE=always cargo test -p xtask cli_reference`"
        );
    }

    #[test]
    fn arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
