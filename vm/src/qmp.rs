//! Talks to QEMU's monitor (QMP): commands to it, events from it.

use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::Serialize;
use serde_json::{Value, json};

use crate::clock::Instant;
use crate::machine::{Event, Notice};

/// The time limit for QEMU's answer to a command.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the monitor has reported about the machine's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reported {
    /// Whether the machine was started. QEMU has checked and loaded everything
    /// by then; its greeting comes before that.
    pub ran: bool,
    /// The reason in its SHUTDOWN event.
    pub shutdown: Option<String>,
}

/// A message of QMP.
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

/// Parses one line of QMP. A reason is kept as text, because a newer QEMU has
/// other reasons.
fn parse(line: &[u8]) -> Message {
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

/// How a machine starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The machine runs as soon as the monitor is ready.
    Running,
    /// The machine is stopped until a debugger continues it.
    Halted,
}

impl Start {
    /// Returns the id of the command that ends the greeting.
    fn last_id(self) -> u64 {
        match self {
            Self::Running => BEGUN,
            Self::Halted => CAPABILITIES,
        }
    }
}

/// Reads the monitor until its end. It starts the machine as `start` says after
/// the greeting, sends notices to `events`, and replies to `replies`.
pub fn listen(
    stream: UnixStream,
    start: Start,
    reported: &Arc<Mutex<Reported>>,
    events: &SyncSender<Event>,
    replies: &SyncSender<Value>,
) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    for message in BufReader::new(stream).split(b'\n') {
        let Ok(message) = message else { return };
        let lock = || reported.lock().unwrap_or_else(PoisonError::into_inner);
        match parse(&message) {
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
            // A reply that no one waits for may be lost.
            Message::Reply(value) => drop(replies.try_send(value)),
            Message::Other => {}
        }
    }
}

/// The key of a migration's status among the replies.
const MIGRATION: &str = "migration";

/// The bandwidth limit of a migration, in bytes a second, faster than any
/// memory. QEMU's default is for a network.
const UNLIMITED: u64 = 1 << 40;

/// The time limit for writing a machine's state.
const SAVED: Duration = Duration::from_secs(120);

/// The id of the command that ends the negotiation.
const CAPABILITIES: u64 = 0;
/// The id of the command that starts the machine.
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

/// The side of the monitor that sends commands.
#[derive(Debug)]
pub struct Monitor {
    writer: UnixStream,
    replies: Receiver<Value>,
    start: Start,
    /// The id of the last command, or 0 during the greeting.
    last: u64,
}

/// Returns a monitor's command side, and the sender that [`listen`] needs for
/// replies.
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
    /// Runs a command and returns its result.
    ///
    /// # Errors
    /// Fails with QEMU's error, or when QEMU does not answer within ten
    /// seconds.
    pub fn execute(&mut self, command: &str, arguments: Value) -> std::io::Result<Value> {
        self.begin()?;
        self.writer
            .write_all(&line(command, arguments, self.last)?)?;
        self.answer(command)
    }

    /// Runs a command with a file descriptor, which is sent with its text
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

    /// Writes the machine's state to `file`. The machine is stopped from then
    /// on.
    ///
    /// # Errors
    /// Fails as [`Self::execute`] does, and with QEMU's reason when it cannot
    /// write the state.
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
            let status = self.reply(deadline, "the migration")?;
            match status.get(MIGRATION).and_then(Value::as_str) {
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

    /// Saves the machine inside its disk image, as `tag`.
    ///
    /// # Errors
    /// Fails as [`Self::execute`] does, and with QEMU's output if there is any.
    pub fn save_inside(&mut self, tag: &str) -> std::io::Result<()> {
        match self.human(&format!("savevm {tag}"))?.trim() {
            "" => Ok(()),
            said => Err(std::io::Error::other(said.to_owned())),
        }
    }

    /// Runs a command of the human monitor and returns its output.
    ///
    /// # Errors
    /// Fails as [`Self::execute`] does.
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
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.replies.recv_timeout(left) {
                Ok(reply) => return Ok(reply),
                // The wait may end early for this clock.
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                Err(_) => {
                    return Err(std::io::Error::other(format!("QEMU did not answer {what}")));
                }
            }
        }
    }

    /// Returns whether the machine runs.
    ///
    /// # Errors
    /// Fails as [`Self::execute`] does.
    pub fn is_running(&mut self) -> std::io::Result<bool> {
        Ok(self.execute("query-status", json!({}))?["running"] == true)
    }

    /// Stops the machine.
    ///
    /// # Errors
    /// Fails as [`Self::execute`] does.
    pub fn pause(&mut self) -> std::io::Result<()> {
        self.execute("stop", json!({})).map(drop)
    }

    /// Continues the machine.
    ///
    /// # Errors
    /// Fails as [`Self::execute`] does.
    pub fn resume(&mut self) -> std::io::Result<()> {
        self.execute("cont", json!({})).map(drop)
    }

    /// Sends a non-maskable interrupt. A FreeBSD kernel that hangs with
    /// interrupts disabled enters its debugger.
    ///
    /// # Errors
    /// Fails as [`Self::execute`] does.
    pub fn nmi(&mut self) -> std::io::Result<()> {
        self.execute("inject-nmi", json!({})).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_distinguished_even_those_of_later_qemus() {
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
            assert_eq!(parse(line.as_bytes()), want, "{line}");
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
