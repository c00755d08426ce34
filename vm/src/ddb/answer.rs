//! Parses the lines of ddb's answers.

/// A thread, as `ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// The argument of `bt`: the thread's id, or its process's if that has only
    /// one thread. (`bt` cuts an address to 32 bits.)
    pub id: String,
    name: String,
    /// Whether its process has a user space of its own and is not init.
    of_user: bool,
    /// The CPU that it runs on.
    pub cpu: Option<u32>,
}

impl Thread {
    /// Returns the thread in a line of `ps`, if there is one: the id is first
    /// and the name last, in brackets for kernel threads and for init.
    pub fn parse(line: &str) -> Option<Self> {
        let (id, rest) = line.split_once(' ')?;
        if !id.bytes().all(|b| b.is_ascii_digit()) || rest.contains("(threaded)") {
            return None;
        }
        let bracketed = rest.split_once('[').map(|(_, name)| name.trim_matches(']'));
        let name = bracketed.or_else(|| rest.split_whitespace().next_back())?;
        Some(Self {
            id: id.to_owned(),
            name: name.to_owned(),
            of_user: bracketed.is_none(),
            cpu: cpu(rest),
        })
    }

    /// Returns whether it is the idle thread of a CPU.
    pub fn is_idle(&self) -> bool {
        !self.of_user && (self.name == "idle" || self.name.starts_with("idle: "))
    }

    /// Returns whether it belongs to a test: the module named it, or it runs in
    /// user space, which has only kdk's programs.
    pub fn is_of_test(&self) -> bool {
        self.of_user || self.name.starts_with("kdk ")
    }

    /// Returns the heading of its backtrace.
    pub fn heading(&self) -> String {
        match self.cpu {
            Some(cpu) => format!("thread {} ({}) on cpu {cpu}:", self.name, self.id),
            None => format!("thread {} ({}):", self.name, self.id),
        }
    }
}

/// Returns the CPU from `CPU 1` in the wait-message column.
fn cpu(rest: &str) -> Option<u32> {
    let (_, after) = rest.split_once(" CPU ")?;
    after.split(' ').next()?.parse().ok()
}

/// Returns the CPU that entered the debugger, from a line of `show allpcpu`.
pub fn current_cpu(text: &str) -> Option<u32> {
    text.strip_prefix("Current CPU: ")?.parse().ok()
}

/// Returns whether `text` is a register with its value (and the symbol there).
pub fn is_register(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (name, value) = (words.next(), words.next());
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()))
        && value.is_some_and(|value| value == "0" || value.starts_with("0x"))
}
