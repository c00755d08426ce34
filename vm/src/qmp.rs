//! QEMU's monitor: commands to it, events from it.

use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::Serialize;
use serde_json::{Value, json};

use crate::machine::{Event, Notice};

/// How long QEMU may take to answer a command.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the monitor has told so far about the machine's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether the machine was let run: QEMU has checked and loaded all it
    /// needs by then, but greets before.
    pub ran: bool,
    /// The reason of its SHUTDOWN event.
    pub shutdown: Option<String>,
}

/// A message of QMP, as far as it matters here.
#[derive(Debug, PartialEq)]
enum Message {
    Greeting,
    Running,
    Shutdown(String),
    Notice(Notice),
    Migration(String),
    Reply(Value),
    Other,
}

/// Sorts one line of QMP. Events are read field by field, not through the
/// schema's enums: a newer QEMU has reasons that the schema does not know.
fn sort(line: &[u8]) -> Message {
    let Ok(value) = serde_json::from_slice::<Value>(line) else {
        return Message::Other;
    };
    if value.get("QMP").is_some() {
        return Message::Greeting;
    }
    if value.get("return").is_some() || value.get("error").is_some() {
        return Message::Reply(value);
    }
    let data = |key: &str| {
        let text = value.get("data").and_then(|data| data.get(key));
        text.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    match value.get("event").and_then(Value::as_str) {
        Some("SHUTDOWN") => Message::Shutdown(data("reason")),
        Some("RESUME") => Message::Running,
        Some("RESET") => Message::Notice(Notice::Reset),
        Some("GUEST_PANICKED") => Message::Notice(Notice::GuestPanicked),
        Some("MIGRATION") => Message::Migration(data("status")),
        Some("STOP") => Message::Notice(Notice::Stopped),
        Some("BLOCK_IO_ERROR") => Message::Notice(Notice::DiskError(format!(
            "{} of {}: {}",
            data("operation"),
            data("device"),
            data("reason")
        ))),
        _ => Message::Other,
    }
}

/// How a machine begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It runs as soon as the monitor is ready.
    Running,
    /// It stands still until somebody lets it go on.
    Halted,
}

impl Start {
    /// The id of the command that ends the greeting.
    fn last_id(self) -> u64 {
        match self {
            Self::Running => BEGUN,
            Self::Halted => CAPABILITIES,
        }
    }
}

/// Reads the monitor until its end: lets the machine `start` once it has
/// greeted, passes notices on to `events` and replies to the returned receiver's side.
pub fn listen(
    stream: UnixStream,
    start: Start,
    told: &Arc<Mutex<Told>>,
    events: &SyncSender<Event>,
    replies: &SyncSender<Value>,
) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    for told_line in BufReader::new(stream).split(b'\n') {
        let Ok(told_line) = told_line else { return };
        let lock = || told.lock().unwrap_or_else(PoisonError::into_inner);
        match sort(&told_line) {
            Message::Greeting => {
                let ready = line("qmp_capabilities", json!({}), CAPABILITIES)
                    .and_then(|line| writer.write_all(&line));
                let begin = ready.and_then(|()| match start {
                    Start::Running => writer.write_all(&line("cont", json!({}), BEGUN)?),
                    Start::Halted => Ok(()),
                });
                if begin.is_err() {
                    return;
                }
            }
            Message::Running => {
                lock().ran = true;
                if events.send(Event::Notice(Notice::Running)).is_err() {
                    return;
                }
            }
            Message::Shutdown(reason) => lock().shutdown = Some(reason),
            Message::Notice(notice) => {
                if events.send(Event::Notice(notice)).is_err() {
                    return;
                }
            }
            Message::Migration(status) => {
                drop(replies.try_send(serde_json::json!({ MIGRATION: status })));
            }
            // A reply that nobody waits for may be lost.
            Message::Reply(value) => drop(replies.try_send(value)),
            Message::Other => {}
        }
    }
}

/// The key under which the status of a migration stands among the replies.
const MIGRATION: &str = "migration";

/// Faster than any memory, bytes a second: QEMU's own limit is a network's.
const UNLIMITED: u64 = 1 << 40;

/// How long a machine's state may take to be written.
const SAVED: Duration = Duration::from_secs(120);

/// The id of the command that makes the monitor take others.
const CAPABILITIES: u64 = 0;
/// The id of the command that lets the machine run.
const BEGUN: u64 = 1;

/// A command as QEMU reads it.
#[derive(Serialize)]
struct Command<'a> {
    execute: &'a str,
    arguments: Value,
    id: u64,
}

fn line(execute: &str, arguments: Value, id: u64) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(&Command {
        execute,
        arguments,
        id,
    })?;
    line.push(b'\n');
    Ok(line)
}

/// The commanding side of the monitor.
#[derive(Debug)]
pub struct Monitor {
    writer: UnixStream,
    replies: Receiver<Value>,
    start: Start,
    /// The id of the last command; 0 while the greeting is not over.
    last: u64,
}

/// A monitor's commanding side, and where [`listen`] puts replies.
pub fn monitor(writer: UnixStream, start: Start) -> (Monitor, SyncSender<Value>) {
    let (tx, replies) = sync_channel(16);
    let monitor = Monitor {
        writer,
        replies,
        start,
        last: 0,
    };
    (monitor, tx)
}

impl Monitor {
    /// Runs any command of the schema.
    ///
    /// # Errors
    /// QEMU's own, or that it did not answer for ten seconds.
    pub fn execute(&mut self, command: &str, arguments: Value) -> std::io::Result<Value> {
        self.begin()?;
        self.writer
            .write_all(&line(command, arguments, self.last)?)?;
        self.answer(command)
    }

    /// Runs a command that takes a descriptor, which goes with its text
    /// (unix(4), `SCM_RIGHTS`).
    fn lend(&mut self, command: &str, arguments: Value, file: &File) -> std::io::Result<Value> {
        self.begin()?;
        let text = line(command, arguments, self.last)?;
        let sent = sendmsg::<()>(
            self.writer.as_raw_fd(),
            &[IoSlice::new(&text)],
            &[ControlMessage::ScmRights(&[file.as_raw_fd()])],
            MsgFlags::empty(),
            None,
        )?;
        self.writer
            .write_all(text.get(sent..).unwrap_or_default())?;
        self.answer(command)
    }

    fn begin(&mut self) -> std::io::Result<()> {
        if self.last == 0 {
            self.reply_to(self.start.last_id(), "the greeting")?;
            self.last = BEGUN;
        }
        self.last += 1;
        Ok(())
    }

    fn answer(&self, command: &str) -> std::io::Result<Value> {
        let mut reply = self.reply_to(self.last, command)?;
        match reply.pointer("/error/desc").and_then(Value::as_str) {
            Some(why) => Err(std::io::Error::other(why.to_owned())),
            None => Ok(reply["return"].take()),
        }
    }

    /// Writes the machine's state to `file`; it stands still from then on.
    ///
    /// # Errors
    /// See [`Self::execute`]; QEMU's reason when it could not write it.
    pub fn migrate(&mut self, file: &File) -> std::io::Result<()> {
        let name = "state";
        self.lend("getfd", json!({ "fdname": name }), file)?;
        let events = json!([{ "capability": "events", "state": true }]);
        self.execute(
            "migrate-set-capabilities",
            json!({ "capabilities": events }),
        )?;
        self.execute(
            "migrate-set-parameters",
            json!({ "max-bandwidth": UNLIMITED }),
        )?;
        self.execute("migrate", json!({ "uri": format!("fd:{name}") }))?;
        let deadline = Instant::now() + SAVED;
        loop {
            let told = self.reply(deadline, "the migration")?;
            match told.get(MIGRATION).and_then(Value::as_str) {
                Some("completed") => return Ok(()),
                Some("failed" | "cancelled") => break,
                _ => {}
            }
        }
        let info = self.execute("query-migrate", json!({}))?;
        let why = info.get("error-desc").and_then(Value::as_str);
        Err(std::io::Error::other(
            why.unwrap_or("QEMU gives no reason").to_owned(),
        ))
    }

    /// Has QEMU save the machine inside its disk image, as `tag`.
    ///
    /// # Errors
    /// See [`Self::execute`]; what QEMU printed, if it printed anything.
    pub fn save_inside(&mut self, tag: &str) -> std::io::Result<()> {
        match self.human(&format!("savevm {tag}"))?.trim() {
            "" => Ok(()),
            said => Err(std::io::Error::other(said.to_owned())),
        }
    }

    /// Runs a command of the monitor for people, and returns what it prints.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn human(&mut self, command: &str) -> std::io::Result<String> {
        let arguments = json!({ "command-line": command });
        let printed = self.execute("human-monitor-command", arguments)?;
        Ok(printed.as_str().unwrap_or_default().to_owned())
    }

    fn reply_to(&self, id: u64, what: &str) -> std::io::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.reply(deadline, what)?;
            if reply.get("id").and_then(Value::as_u64) == Some(id) {
                return Ok(reply);
            }
        }
    }

    fn reply(&self, deadline: Instant, what: &str) -> std::io::Result<Value> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.replies
            .recv_timeout(left)
            .map_err(|_| std::io::Error::other(format!("QEMU did not answer {what}")))
    }

    /// Whether the machine runs.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn is_running(&mut self) -> std::io::Result<bool> {
        Ok(self.execute("query-status", json!({}))?["running"] == true)
    }

    /// Makes the machine stand still.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn pause(&mut self) -> std::io::Result<()> {
        self.execute("stop", json!({})).map(drop)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn resume(&mut self) -> std::io::Result<()> {
        self.execute("cont", json!({})).map(drop)
    }

    /// Sends a non-maskable interrupt: a FreeBSD kernel that hangs with
    /// interrupts off enters its debugger.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn nmi(&mut self) -> std::io::Result<()> {
        self.execute("inject-nmi", json!({})).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart_even_those_of_later_qemus() {
        for (line, want) in [
            (
                r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#,
                Message::Greeting,
            ),
            (
                r#"{"timestamp": {}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#,
                Message::Shutdown("guest-reset".into()),
            ),
            (
                r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "of-2040"}}"#,
                Message::Shutdown("of-2040".into()),
            ),
            (
                r#"{"event": "BLOCK_IO_ERROR", "data": {"device": "disk0", "nospace": true, "operation": "write", "reason": "No space left on device", "action": "stop"}}"#,
                Message::Notice(Notice::DiskError(
                    "write of disk0: No space left on device".into(),
                )),
            ),
            (r#"{"event": "RESUME"}"#, Message::Running),
            (r#"{"event": "RESET"}"#, Message::Notice(Notice::Reset)),
            (
                r#"{"event": "MIGRATION", "data": {"status": "completed"}}"#,
                Message::Migration("completed".into()),
            ),
            (r#"{"event": "STOP"}"#, Message::Notice(Notice::Stopped)),
            (r#"{"event": "NEWS_OF_2040"}"#, Message::Other),
            ("half a line {", Message::Other),
            ("", Message::Other),
        ] {
            assert_eq!(sort(line.as_bytes()), want, "{line}");
        }
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (mut monitor, replies) = monitor(ours, Start::Running);
        let qemu = std::thread::spawn(move || {
            replies
                .send(serde_json::json!({"return": {}, "id": 0}))
                .unwrap();
            replies
                .send(serde_json::json!({"return": {}, "id": 1}))
                .unwrap();
            let mut lines = BufReader::new(theirs).lines();
            let command = lines.next().unwrap().unwrap();
            assert_eq!(command, r#"{"execute":"stop","arguments":{},"id":2}"#);
            let error = serde_json::json!({"class": "GenericError", "desc": "no"});
            replies
                .send(serde_json::json!({"error": error, "id": 2}))
                .unwrap();
        });
        assert_eq!(monitor.pause().unwrap_err().to_string(), "no");
        qemu.join().unwrap();
    }
}
