//! A profile of the tests whose goals were missed: it reads the instruction
//! pointer from QEMU's monitor periodically, and takes the method that is
//! measured from the guest's results.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kdk_vm::hypervisor::MachineSize;
use kdk_vm::machine::{self, Machine};
use kdk_vm::plan::{Isolation, Selection};
use kdk_vm::progress::Progress;
use kdk_vm::qemu::{QemuMachine, QemuPool};
use kdk_vm::qmp::{self, Reported, Start};
use kdk_vm::run::{Guests, Options, run_all};
use kdk_vm::symbolize::{Program, Symbols};

use super::METHODS;
use crate::fixture::Fixture;
use crate::samples::Words;
use kdk_core::failure::Failure;

/// The time between two samples.
const PERIOD: Duration = Duration::from_millis(4);
/// The number of functions that are shown.
const SHOWN: usize = 10;

/// The test and the method that are measured.
type Case = (String, &'static str);

/// Instruction pointers, and what was measured when they were read.
type Pointers = Vec<(Case, u64)>;

/// What the guest measures now.
#[derive(Debug, Default)]
struct Current {
    test: String,
    method: Option<&'static str>,
}

/// Reads a machine's instruction pointer until it is stopped.
struct Sampler {
    current: Arc<Mutex<Current>>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Pointers>,
}

impl Sampler {
    /// Starts to sample the machine whose second monitor is at `socket`, as soon
    /// as the socket exists.
    fn start(socket: &Path) -> Self {
        let current = Arc::new(Mutex::new(Current::default()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (socket, current, over) = (socket.to_owned(), current.clone(), over.clone());
            move || sample(&socket, &current, &over)
        });
        Self {
            current,
            over,
            thread,
        }
    }

    /// Reads a line of the guest's results.
    fn read(&self, line: &str) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match line.strip_prefix("# ") {
            Some(line) if line.starts_with("run: ") => current.method = None,
            Some(line) => {
                if let Some(words) = line.strip_prefix("from: ") {
                    current.method = Words::of(words).method(METHODS).ok();
                } else if let Some(test) = line.strip_prefix("start ") {
                    current.test = test.to_owned();
                }
            }
            None => {}
        }
    }

    /// Stops, and returns what was read.
    fn stop(self) -> Pointers {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Returns a profile of each of the tests and methods.
///
/// # Errors
/// Fails when the guest does not come up or the host fails.
pub fn explain(fixture: &Fixture<'_>, tests: &[String]) -> Result<Vec<String>, Failure> {
    let Some((pointers, program)) = take(fixture, tests)? else {
        return Ok(vec![
            "no profile: only QEMU machines can be profiled".into(),
        ]);
    };
    let cases: BTreeSet<&Case> = pointers.iter().map(|(case, _)| case).collect();
    let mut lines = Vec::new();
    for case in cases {
        let functions: Vec<String> = pointers
            .iter()
            .filter(|(of, _)| of == case)
            .map(|(_, pointer)| function(*pointer, &program))
            .collect();
        let ((test, method), count) = (case, functions.len());
        lines.push(String::new());
        lines.push(format!("profile of {test}, {method}: {count} samples"));
        lines.extend(shares(functions.into_iter()));
    }
    Ok(lines)
}

/// Samples tests, and returns the kernel's functions too; none if the machine
/// cannot be sampled.
fn take(fixture: &Fixture<'_>, names: &[String]) -> Result<Option<(Pointers, Program)>, Failure> {
    let Some(QemuPool { qemu, spec }) = fixture.env.guest.pool.qemu() else {
        return Ok(None);
    };
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::infra("take a profile", "a folder for a socket cannot be made").source(error)
    })?;
    let socket = folder.path().join("monitor");
    let mut spec = spec.clone();
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    spec.extra.extend(["-qmp".into(), monitor.into()]);
    let start = |_: usize, _: MachineSize| {
        QemuMachine::start(qemu, &spec).map(|machine| Box::new(machine) as Box<dyn Machine>)
    };
    let options = Options {
        selection: Selection {
            patterns: names.to_vec(),
            ..Selection::default()
        },
        isolation: Isolation::None,
        ..Options::default()
    };
    let sampler = Sampler::start(&socket);
    let read = |progress: Progress<'_>| {
        if let Progress::Result(line) = progress {
            sampler.read(line);
        }
    };
    let report = run_all(Guests::Boot(&start), &options, &fixture.cx.interrupt, &read);
    let samples = sampler.stop();
    if let Some(error) = report.error {
        return Err(error.into());
    }
    let info = &fixture.env.guest.debug_info;
    let program = Program::open(&info.kernel, &[], info.sources.clone());
    Ok(Some((samples, program)))
}

fn sample(socket: &Path, current: &Mutex<Current>, over: &AtomicBool) -> Pointers {
    let mut samples = Pointers::new();
    let mut connected = None;
    while !over.load(Ordering::Relaxed) && connected.is_none() {
        connected = UnixStream::connect(socket).ok();
        thread::sleep(PERIOD);
    }
    let Some(stream) = connected else {
        return samples;
    };
    let Ok(reading) = stream.try_clone() else {
        return samples;
    };
    let (mut monitor, replies) = qmp::monitor(stream, Start::Halted);
    let listener = thread::spawn(move || {
        // The first monitor reports the events.
        let (events, _inbox) = machine::channel();
        let reported = Arc::new(Mutex::new(Reported::default()));
        qmp::listen(reading, Start::Halted, &reported, &events, &replies);
    });
    while !over.load(Ordering::Relaxed) {
        // The monitor fails when the machine has ended.
        let Ok(registers) = monitor.human("info registers") else {
            break;
        };
        let current = current.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(method), Some(at)) = (current.method, instruction_pointer(&registers)) {
            samples.push(((current.test.clone(), method), at));
        }
        drop(current);
        thread::sleep(PERIOD);
    }
    drop(monitor);
    // The listener ends with the machine, and the caller has waited for that.
    drop(listener);
    samples
}

/// Returns the value of RIP in the monitor's output.
fn instruction_pointer(registers: &str) -> Option<u64> {
    let (_, rest) = registers.split_once("RIP=")?;
    let digits = rest.split_whitespace().next()?;
    u64::from_str_radix(digits, 16).ok()
}

/// Returns the function at an address: that of the machine code, and not one
/// that was inlined into it.
fn function(at: u64, program: &Program) -> String {
    let upper_half = 1 << 63;
    let Some(spot) = program.kernel(at) else {
        let place = if at < upper_half {
            "a program"
        } else {
            "outside the kernel"
        };
        return format!("({place})");
    };
    let places = program.places(spot).unwrap_or_default();
    let name = places.last().and_then(|place| place.function.clone());
    name.unwrap_or_else(|| format!("{at:#x}"))
}

/// Returns the functions with their share of the samples, greatest first.
fn shares(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut counts = BTreeMap::<String, usize>::new();
    let mut all = 0;
    for name in names {
        *counts.entry(name).or_default() += 1;
        all += 1;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts
        .into_iter()
        .take(SHOWN)
        .map(|(name, count)| format!("{:5.1} %  {name}", count as f64 * 100.0 / all as f64))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_read() {
        let text = "CPU#0\nRAX=00 RBX=01\nRIP=ffffffff80b1c2d3 RFL=00000246 [---Z-P-]\n";
        assert_eq!(instruction_pointer(text), Some(0xffff_ffff_80b1_c2d3));
        assert_eq!(instruction_pointer("RIP=zz"), None);
        assert_eq!(instruction_pointer(""), None);
    }

    #[test]
    fn the_functions_that_took_most_come_first() {
        let names = ["b", "a", "b", "c", "b", "a", "b", "b"].map(str::to_owned);
        let reported = shares(names.into_iter());
        assert_eq!(reported, [" 62.5 %  b", " 25.0 %  a", " 12.5 %  c"]);
        let many = (0..40).map(|n| format!("f{n}"));
        assert_eq!(shares(many).len(), SHOWN);
        assert!(shares(std::iter::empty()).is_empty());
    }

    #[test]
    fn results_say_what_is_measured() {
        let sampler = Sampler::start(Path::new("/nonexistent"));
        let now = || {
            let current = sampler.current.lock().unwrap();
            (current.test.clone(), current.method)
        };
        sampler.read("# start bench/x");
        sampler.read("# from: method=sync");
        sampler.read("# something else");
        assert_eq!(now(), ("bench/x".to_owned(), Some(super::super::SYNC)));
        sampler.read("# run: method=sync round=0 bytes=1");
        assert_eq!(now().1, None);
        assert!(sampler.stop().is_empty());
    }
}
