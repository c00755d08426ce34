//! Commands of the host.

use crate::channel::Channel;
use crate::end::{Why, end};
use crate::{hello, kdk, resume, suites, users};
use alloc::format;
use alloc::string::String;
use core::fmt::{self, Write};
use kdk_harness::{Command, Where, parse, write_error};
use kdk_relay::{Catalogue, RunRelay};
use kdk_sys::complain;

/// Where a test runs.
#[derive(Clone, Debug)]
enum Source {
    Kernel,
    Suite(String),
    /// A program of the user's, by its name.
    User(String),
}

/// Says hello, then carries out commands until the host says `end` or is gone.
pub fn serve(mut channel: Channel) -> ! {
    let module = kdk::load();
    let mut tests = None;
    let mut answered = hello::say(&mut channel, module);
    let why = loop {
        if answered.is_err() {
            break Why::Trouble;
        }
        match channel.command() {
            Err(errno) => {
                complain!("init: the result channel: read: {errno}");
                break Why::Trouble;
            }
            Ok(line) => match parse(&line) {
                Ok(Command::End) => break Why::Asked,
                command => answered = answer(&mut channel, &line, command, &mut tests),
            },
        }
    };
    if let Why::Asked = why {
        // A failure could not be reported.
        let _ = writeln!(channel, "# bye");
    }
    channel.drain();
    end(why)
}

fn answer(
    channel: &mut Channel,
    line: &str,
    command: Result<Command<'_>, impl fmt::Display>,
    tests: &mut Option<Catalogue<Source>>,
) -> fmt::Result {
    match command {
        Ok(Command::List) => tests.insert(catalogue()).write(channel),
        Ok(Command::Run(name)) => run(channel, name, tests.get_or_insert_with(catalogue)),
        Ok(Command::Quiesce) => {
            resume::quiesce();
            writeln!(channel, "# quiesced")
        }
        Ok(Command::Resume(how)) => match resume::resume(&how) {
            Ok(resumed) => writeln!(channel, "{resumed}"),
            Err(why) => write_error(channel, line, &why),
        },
        // The caller handles it.
        Ok(Command::End) => Ok(()),
        Err(bad) => write_error(channel, line, &bad),
    }
}

/// Collects the tests of kdk.ko, of all suites, and of the user's programs.
fn catalogue() -> Catalogue<Source> {
    let mut tests = Catalogue::new();
    tests.add("kdk", &Source::Kernel, Where::Kernel, kdk::list());
    let suites = suites::names().unwrap_or_else(|why| {
        let nowhere = Source::Suite(String::new());
        tests.add("suites", &nowhere, Where::Userland, Err(why));
        Default::default()
    });
    for suite in suites {
        let listed = suites::list(&suite);
        tests.add(
            &suite,
            &Source::Suite(suite.clone()),
            Where::Userland,
            listed,
        );
    }
    for program in users::names() {
        let listed = users::list(&program);
        tests.add("user", &Source::User(program), Where::Userland, listed);
    }
    tests
}

fn run(channel: &mut Channel, name: &str, tests: &Catalogue<Source>) -> fmt::Result {
    let Some(entry) = tests.get(name) else {
        let reason = "no test has this name; `list` names those there are";
        return write_error(channel, &format!("run {name}"), &reason);
    };
    match &entry.source {
        Ok(Source::Kernel) => kdk::run(name, channel),
        Ok(Source::User(program)) => users::run(program, name, channel),
        Ok(Source::Suite(suite)) => suites::run(suite, name, channel),
        Err(why) => RunRelay::new(name).finish(Some(why), channel),
    }
}
