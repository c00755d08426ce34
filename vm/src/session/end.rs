//! The goodbye.

use std::time::Instant;

use super::link::Tick;
use super::{Death, Session};
use crate::error::InfraError;
use crate::exit::Exit;
use crate::protocol::Line;
use crate::verdict::Verdict;

/// How a session ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Goodbye {
    /// As agreed.
    Clean,
    /// Without harm, but not as agreed; why, for people.
    Odd(String),
    /// The kernel died while the guest was ending.
    Died(Death),
}

impl Session<'_> {
    /// Has the guest end the machine; after a while the machine is killed.
    ///
    /// # Errors
    /// The host's, or an interruption.
    pub fn end(&mut self) -> Result<Goodbye, InfraError> {
        self.link.send("end");
        let deadline = Instant::now() + self.limits.end;
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
            if Instant::now() >= deadline {
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
