//! QEMU's monitor: commands to it, events from it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use qapi::qmp::{QmpCommand, cont, inject_nmi, qmp_capabilities, query_status, stop};
use serde::Deserialize;
use serde_json::Value;

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

/// Reads the monitor until its end: lets the machine run once it has greeted,
/// passes notices on to `events` and replies to the returned receiver's side.
pub fn listen(
    stream: UnixStream,
    told: &Arc<Mutex<Told>>,
    events: &SyncSender<Event>,
    replies: &SyncSender<Value>,
) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    for line in BufReader::new(stream).split(b'\n') {
        let Ok(line) = line else { return };
        let lock = || told.lock().unwrap_or_else(PoisonError::into_inner);
        match sort(&line) {
            Message::Greeting => {
                let begun = write(&mut writer, &qmp_capabilities { enable: None }, 0)
                    .and_then(|()| write(&mut writer, &cont {}, BEGUN));
                if begun.is_err() {
                    return;
                }
            }
            Message::Running => lock().ran = true,
            Message::Shutdown(reason) => lock().shutdown = Some(reason),
            Message::Notice(notice) => {
                if events.send(Event::Notice(notice)).is_err() {
                    return;
                }
            }
            // A reply that nobody waits for may be lost.
            Message::Reply(value) => drop(replies.try_send(value)),
            Message::Other => {}
        }
    }
}

/// The id of the command that lets the machine run, which ends the greeting.
const BEGUN: u64 = 1;

fn write<C: QmpCommand>(writer: &mut impl Write, command: &C, id: u64) -> std::io::Result<()> {
    let execute = qapi::Execute::with_id(command, id);
    let mut line = serde_json::to_vec(&execute)?;
    line.push(b'\n');
    writer.write_all(&line)
}

/// The commanding side of the monitor.
#[derive(Debug)]
pub struct Monitor {
    writer: UnixStream,
    replies: Receiver<Value>,
    /// The id of the last command; 0 while the greeting is not over.
    last: u64,
}

/// A monitor's commanding side, and where [`listen`] puts replies.
pub fn monitor(writer: UnixStream) -> (Monitor, SyncSender<Value>) {
    let (tx, replies) = sync_channel(16);
    let monitor = Monitor {
        writer,
        replies,
        last: 0,
    };
    (monitor, tx)
}

impl Monitor {
    /// Runs any command of the schema.
    ///
    /// # Errors
    /// QEMU's own, or that it did not answer for ten seconds.
    pub fn execute<C: QmpCommand>(&mut self, command: &C) -> std::io::Result<C::Ok> {
        if self.last == 0 {
            self.reply_to(BEGUN, "the greeting")?;
            self.last = BEGUN;
        }
        self.last += 1;
        write(&mut self.writer, command, self.last)?;
        let reply = self.reply_to(self.last, C::NAME)?;
        serde_json::from_value::<Reply<C::Ok>>(reply)?.into_result()
    }

    fn reply_to(&self, id: u64, what: &str) -> std::io::Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.replies.recv_timeout(left) {
                Ok(reply) if reply.get("id").and_then(Value::as_u64) == Some(id) => {
                    return Ok(reply);
                }
                Ok(_) => {}
                Err(_) => return Err(std::io::Error::other(format!("QEMU did not answer {what}"))),
            }
        }
    }

    /// Whether the machine runs.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn is_running(&mut self) -> std::io::Result<bool> {
        Ok(self.execute(&query_status {})?.running)
    }

    /// Makes the machine stand still.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn pause(&mut self) -> std::io::Result<()> {
        self.execute(&stop {}).map(drop)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn resume(&mut self) -> std::io::Result<()> {
        self.execute(&cont {}).map(drop)
    }

    /// Sends a non-maskable interrupt: a FreeBSD kernel that hangs with
    /// interrupts off enters its debugger.
    ///
    /// # Errors
    /// See [`Self::execute`].
    pub fn nmi(&mut self) -> std::io::Result<()> {
        self.execute(&inject_nmi {}).map(drop)
    }
}

/// A reply, by its two shapes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Reply<T> {
    Error { error: Refusal },
    Return { r#return: T },
}

#[derive(Deserialize)]
struct Refusal {
    desc: String,
}

impl<T> Reply<T> {
    fn into_result(self) -> std::io::Result<T> {
        match self {
            Self::Return { r#return } => Ok(r#return),
            Self::Error { error } => Err(std::io::Error::other(error.desc)),
        }
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
        let (mut monitor, replies) = monitor(ours);
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
