//! Ends a session.

use super::link::Tick;
use super::{Death, Session};
use crate::error::InfraError;
use crate::exit::Exit;
use crate::protocol::Line;
use crate::verdict::Verdict;

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// The guest ended the machine.
    Clean,
    /// The session ended in another way without harm, with the reason.
    Odd(String),
    /// The kernel died while the guest was ending.
    Died(Death),
}

impl Session<'_> {
    /// Sends `end` to the guest, and kills the machine after the time limit.
    ///
    /// # Errors
    /// Fails when the host is at fault, or on an interruption.
    pub fn end(&mut self) -> Result<Goodbye, InfraError> {
        self.link.send("end");
        let deadline = self.link.now() + self.limits.end;
        let mut bye = false;
        loop {
            match self.link.tick(deadline)? {
                Tick::Line(line) => bye |= Line::parse(&line.text()) == Line::Bye,
                Tick::Heard | Tick::Deadline => {}
                Tick::Died => {
                    let death = self.link.bury(
                        &self.limits,
                        Verdict::Crash,
                        "the kernel died",
                        &mut |_| {},
                    );
                    return Ok(Goodbye::Died(death));
                }
                Tick::Ended => {
                    return Ok(match self.link.exit() {
                        Some(Exit::Debug(0) | Exit::PowerOff) if bye => Goodbye::Clean,
                        Some(exit) => Goodbye::Odd(exit.to_string()),
                        None => Goodbye::Odd("the machine is gone".into()),
                    });
                }
            }
            if self.link.now() >= deadline {
                self.link.machine.kill();
                let secs = self.limits.end.as_secs_f64();
                let said = if bye { "said goodbye but " } else { "" };
                return Ok(Goodbye::Odd(format!(
                    "the guest {said}did not end the machine within {secs:.1} s"
                )));
            }
        }
    }
}
