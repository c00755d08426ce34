//! Where the processor was while a goal was missed: QEMU's monitor is asked for
//! the instruction pointer again and again, and the guest's notes say which
//! method was being measured.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use kdk_vm::machine::{self, Machine};
use kdk_vm::plan::{Isolation, Selection};
use kdk_vm::progress::Progress;
use kdk_vm::qemu::{QemuMachine, QemuPool};
use kdk_vm::qmp::{self, Reported, Start};
use kdk_vm::run::{Guests, Options, run_all};
use kdk_vm::symbolize::{Program, Symbols};

use super::notes::Method;
use crate::cmd::bench::bed::Bed;
use kdk_core::failure::Failure;

/// How far apart samples are.
const PERIOD: Duration = Duration::from_millis(4);
/// Functions that are shown.
const SHOWN: usize = 10;

/// What is measured: the test, and the method.
pub type What = (String, Method);

/// Instruction pointers, and what was measured when they were read.
pub type Samples = Vec<(What, u64)>;

/// What the guest has said last.
#[derive(Debug, Default)]
struct Heard {
    test: String,
    method: Option<Method>,
}

/// Asks a machine until it is reported to stop.
pub struct Sampler {
    heard: Arc<Mutex<Heard>>,
    over: Arc<AtomicBool>,
    thread: JoinHandle<Samples>,
}

impl Sampler {
    /// Asks the machine whose second monitor is at `socket`, once it is there.
    pub fn start(socket: &Path) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let over = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let (socket, heard, over) = (socket.to_owned(), heard.clone(), over.clone());
            move || sample(&socket, &heard, &over)
        });
        Self {
            heard,
            over,
            thread,
        }
    }

    /// Hears a line of the guest's results.
    pub fn hear(&self, line: &str) {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match line.strip_prefix("# ") {
            Some(note) if note.starts_with("from: ") => heard.method = Method::of_note(note),
            Some(note) if note.starts_with("run: ") => heard.method = None,
            Some(note) => {
                if let Some(test) = note.strip_prefix("start ") {
                    heard.test = test.to_owned();
                }
            }
            None => {}
        }
    }

    /// Ends it; what it has found.
    pub fn stop(self) -> Samples {
        self.over.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// Where the processor is while tests run, and what knows the functions
/// there; none if nobody can ask the machine.
pub fn take(bed: &Bed<'_>, names: &[String]) -> Result<Option<(Samples, Program)>, Failure> {
    let Some(QemuPool { qemu, spec }) = bed.env.guest.pool.qemu() else {
        return Ok(None);
    };
    let folder = tempfile::tempdir().map_err(|error| {
        Failure::infra("take a profile", "no folder for a socket").source(error)
    })?;
    let socket = folder.path().join("monitor");
    let mut spec = spec.clone();
    let monitor = format!("unix:{},server=on,wait=off", socket.display());
    spec.extra.extend(["-qmp".into(), monitor.into()]);
    let start = |_: usize| {
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
    let hear = |progress: Progress<'_>| {
        if let Progress::Result(line) = progress {
            sampler.hear(line);
        }
    };
    let report = run_all(Guests::Boot(&start), &options, &bed.cx.interrupt, &hear);
    let samples = sampler.stop();
    if let Some(error) = report.error {
        return Err(error.into());
    }
    let info = &bed.env.guest.debug_info;
    let program = Program::open(&info.kernel, &[], info.sources.clone());
    Ok(Some((samples, program)))
}

fn sample(socket: &Path, heard: &Mutex<Heard>, over: &AtomicBool) -> Samples {
    let mut samples = Samples::new();
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
        // Its events are the first monitor's to tell.
        let (events, _inbox) = machine::channel();
        let reported = Arc::new(Mutex::new(Reported::default()));
        qmp::listen(reading, Start::Halted, &reported, &events, &replies);
    });
    while !over.load(Ordering::Relaxed) {
        // The machine is gone.
        let Ok(registers) = monitor.human("info registers") else {
            break;
        };
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(method), Some(at)) = (heard.method, instruction_pointer(&registers)) {
            samples.push(((heard.test.clone(), method), at));
        }
        drop(heard);
        thread::sleep(PERIOD);
    }
    drop(monitor);
    // The machine's end ends it, which the caller has waited for.
    drop(listener);
    samples
}

/// The value of RIP in what the monitor shows.
fn instruction_pointer(registers: &str) -> Option<u64> {
    let (_, rest) = registers.split_once("RIP=")?;
    let digits = rest.split_whitespace().next()?;
    u64::from_str_radix(digits, 16).ok()
}

/// What there are samples of.
pub fn kinds(samples: &Samples) -> Vec<What> {
    let kinds: BTreeSet<&What> = samples.iter().map(|(what, _)| what).collect();
    kinds.into_iter().cloned().collect()
}

/// What of the time was spent where, the most first: a line each.
pub fn lines(samples: &Samples, what: &What, program: &Program) -> Vec<String> {
    let places = samples
        .iter()
        .filter(|(of, _)| of == what)
        .map(|(_, at)| function(*at, program));
    shares(places)
}

/// The function at an address: that of the machine code, not what was inlined
/// into it.
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
    fn notes_say_what_is_measured() {
        let sampler = Sampler::start(Path::new("/nonexistent"));
        let now = || {
            let heard = sampler.heard.lock().unwrap();
            (heard.test.clone(), heard.method)
        };
        sampler.hear("# start bench/x");
        sampler.hear("# from: method=sync");
        sampler.hear("# something else");
        assert_eq!(now(), ("bench/x".to_owned(), Some(Method::Sync)));
        sampler.hear("# run: method=sync round=0 bytes=1");
        assert_eq!(now().1, None);
        assert!(sampler.stop().is_empty());
    }
}
