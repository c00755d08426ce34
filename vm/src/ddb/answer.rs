//! What ddb's answers say, line by line.

/// A thread, as `ps` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// What `bt` takes: its id, or its process's where that has one thread
    /// only. (`bt` cuts an address to 32 bits.)
    pub id: String,
    name: String,
    /// Whether its process has a user space of its own and is not init.
    of_user: bool,
    /// The CPU that it runs on.
    pub cpu: Option<u32>,
}

impl Thread {
    /// The thread of a line of `ps`, if it holds one: the id first, the name
    /// last, in brackets for those of the kernel and for init.
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

    /// Whether it is what a CPU runs that has nothing to do.
    pub fn is_idle(&self) -> bool {
        !self.of_user && (self.name == "idle" || self.name.starts_with("idle: "))
    }

    /// Whether it is a test's: one that the module named, or any of user
    /// space, which is the kit's own.
    pub fn is_of_test(&self) -> bool {
        self.of_user || self.name.starts_with("kdk ")
    }

    /// What stands above its frames.
    pub fn heading(&self) -> String {
        match self.cpu {
            Some(cpu) => format!("thread {} ({}) on cpu {cpu}:", self.name, self.id),
            None => format!("thread {} ({}):", self.name, self.id),
        }
    }
}

/// `CPU 1` in the column of what is waited for.
fn cpu(rest: &str) -> Option<u32> {
    let (_, after) = rest.split_once(" CPU ")?;
    after.split(' ').next()?.parse().ok()
}

/// The CPU that entered the debugger, from a line of `show allpcpu`.
pub fn current_cpu(text: &str) -> Option<u32> {
    text.strip_prefix("Current CPU: ")?.parse().ok()
}

/// Whether `text` is a register and its value (and what lies there).
pub fn is_register(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (name, value) = (words.next(), words.next());
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()))
        && value.is_some_and(|value| value == "0" || value.starts_with("0x"))
}
