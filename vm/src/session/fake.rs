//! A machine whose guest is a closure of a test.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::exit::{Ending, Status};
use crate::machine::{self, Event, Inbox, Machine, Notice, Port};
use crate::qemu::{VMM, exit::classify};
use crate::session::{Limits, Waits};

/// Short, but long enough for a host that is busy with other things.
pub fn limits() -> Limits {
    Limits {
        boot: Duration::from_millis(2500),
        silence: Duration::from_millis(1000),
        load: Duration::from_millis(1000),
        answer: Duration::from_millis(1000),
        grace: Duration::from_millis(500),
        test: None,
        quiet: Duration::from_millis(150),
        last_words: Duration::from_millis(1500),
        debugger: Duration::from_millis(500),
        end: Duration::from_millis(1000),
    }
}

/// What a guest gets for a command when it is sent an NMI.
pub const NMI: &str = "(nmi)";

/// The random number of the next guest that resumes.
static RANDOM: AtomicU64 = AtomicU64::new(1 << 32);

/// The guest's side of a [`Fake`].
pub struct Guest {
    events: SyncSender<Event>,
    commands: Receiver<String>,
}

impl Guest {
    /// Writes on the console.
    pub fn console(&self, text: &str) {
        self.output(Port::Console, text.as_bytes());
    }

    /// Writes on the result channel.
    pub fn result(&self, text: &str) {
        self.output(Port::Result, text.as_bytes());
    }

    pub fn output(&self, port: Port, bytes: &[u8]) {
        for chunk in bytes.chunks(machine::CHUNK) {
            let _ = self.events.send(Event::Output(port, chunk.to_vec()));
        }
    }

    pub fn event(&self, event: Event) {
        let _ = self.events.send(event);
    }

    /// Returns the host's next command; none when the machine was killed. Answers
    /// `resume` itself.
    pub fn command(&self) -> Option<String> {
        loop {
            let line = self.raw_command()?;
            let Ok(kdk_harness::Command::Resume(resume)) = kdk_harness::parse(&line) else {
                return Some(line);
            };
            let (seconds, nanoseconds) = (resume.seconds, resume.nanoseconds);
            self.result(&format!(
                "# resumed time={seconds}.{nanoseconds:09} random={:016x}\n",
                RANDOM.fetch_add(1, Ordering::Relaxed)
            ));
        }
    }

    /// Returns the host's next command, whatever it is.
    pub fn raw_command(&self) -> Option<String> {
        self.commands.recv().ok()
    }

    pub fn hello(&self) {
        self.result("# kdk-hello protocol=2 guest=demo kmod=0.1.0 uname=fake\n");
    }

    /// Answers `list` with these tests.
    pub fn tests(&self, names: &[&str]) {
        assert_eq!(self.command().as_deref(), Some("list"));
        for name in names {
            self.result(&format!(
                "# test {name} where=kernel limit_ms=300 expect=pass default=yes\n"
            ));
        }
        self.result(&format!("# end list {}\n", names.len()));
    }

    /// Waits for a test to be asked for and starts it.
    pub fn starts(&self, name: &str) {
        assert_eq!(self.command(), Some(format!("run {name}")));
        self.result(&format!("# start {name}\n"));
    }

    /// Waits for a test to be asked for and passes it.
    pub fn passes(&self, name: &str) {
        self.starts(name);
        self.result(&format!("KTAP version 1\n1..1\nok 1 {name}\n# done 1\n"));
    }

    pub fn ends(self, status: Status, shutdown: Option<&str>) {
        self.event(Event::Ended(classify(Ending {
            vmm: VMM,
            status,
            ran: true,
            shutdown: shutdown.map(str::to_owned),
            killed: false,
            stderr: String::new(),
        })));
    }

    /// Waits for `end` and obeys.
    pub fn says_bye(self) {
        assert_eq!(self.command().as_deref(), Some("end"));
        self.result("# bye\n");
        self.ends(Status::Code(1), None);
    }

    /// Waits until it is killed.
    pub fn hangs(self) {
        while self.command().is_some() {}
        self.event(Event::Ended(classify(Ending {
            vmm: VMM,
            status: Status::Signal(9),
            ran: true,
            shutdown: None,
            killed: true,
            stderr: String::new(),
        })));
    }
}

/// A machine whose guest is a closure on a thread.
pub struct Fake {
    inbox: Inbox,
    commands: Option<Sender<String>>,
    takes_nmi: bool,
    began: Instant,
    /// The share of the time in which the host does not run it, in percent.
    hindered: u32,
    guest: Option<JoinHandle<()>>,
}

impl Fake {
    pub fn machine(guest: impl FnOnce(Guest) + Send + 'static) -> Box<dyn Machine> {
        Box::new(Self::new(guest, true))
    }

    /// Returns a machine that the host does not run for this share of the time,
    /// in percent.
    pub fn hindered(percent: u32, guest: impl FnOnce(Guest) + Send + 'static) -> Box<dyn Machine> {
        let mut machine = Self::new(guest, true);
        machine.hindered = percent;
        Box::new(machine)
    }

    /// Returns a machine of a kind that cannot be sent an NMI.
    pub fn without_nmi(guest: impl FnOnce(Guest) + Send + 'static) -> Box<dyn Machine> {
        Box::new(Self::new(guest, false))
    }

    fn new(guest: impl FnOnce(Guest) + Send + 'static, takes_nmi: bool) -> Self {
        let (events, inbox) = machine::channel();
        let (tx, commands) = channel();
        let _ = events.send(Event::Notice(Notice::Running));
        let guest = thread::spawn(move || guest(Guest { events, commands }));
        Self {
            inbox,
            commands: Some(tx),
            takes_nmi,
            began: Instant::now(),
            hindered: 0,
            guest: Some(guest),
        }
    }
}

impl Machine for Fake {
    fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    fn send(&mut self, _: Port, bytes: &[u8]) -> std::io::Result<()> {
        let line = String::from_utf8_lossy(bytes).trim_end().to_owned();
        let sent = self.commands.as_ref().map(|tx| tx.send(line));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn nmi(&mut self) -> std::io::Result<()> {
        if self.takes_nmi {
            self.send(Port::Console, NMI.as_bytes())
        } else {
            Err(std::io::ErrorKind::Unsupported.into())
        }
    }

    fn waits(&self) -> Waits {
        Waits::from([(1, self.began.elapsed() * self.hindered / 100)])
    }

    fn kill(&mut self) {
        self.commands = None;
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.commands = None;
        self.inbox.close();
        if let Some(guest) = self.guest.take()
            && guest.join().is_err()
            && !thread::panicking()
        {
            panic!("the fake guest met something unexpected");
        }
    }
}
