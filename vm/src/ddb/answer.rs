//! What ddb's answers say, line by line.

/// A thread to be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// What `bt` takes: its address, its id or its process's.
    pub id: String,
    /// What stands above its frames.
    pub heading: String,
}

impl Thread {
    /// The thread of a line of `ps`, if it is the test's and does not run: a
    /// thread that the module named, or one of a process. The guest's user
    /// space is ours, and ddb writes kernel threads and init in brackets. A
    /// running one is found with its CPU.
    pub fn of_test(line: &str) -> Option<Self> {
        let (id, rest) = line.split_once(' ')?;
        let of_kernel = line.find('[').map(|at| &line[at..]);
        let name = of_kernel.or_else(|| line.split_whitespace().next_back())?;
        let running = rest.contains(" CPU ");
        let tests = match of_kernel {
            Some(name) => name.starts_with("[kdk"),
            None => true,
        };
        let is_thread = id.bytes().all(|b| b.is_ascii_digit()) && !rest.contains("(threaded)");
        (is_thread && tests && !running).then(|| Self {
            id: id.to_owned(),
            heading: format!("thread {} ({id}):", name.trim_matches(['[', ']'])),
        })
    }
}

/// What a CPU runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    number: u32,
    thread: Option<String>,
    name: String,
    idle: Option<String>,
}

impl Cpu {
    /// Whether it has nothing to do.
    pub fn is_idle(&self) -> bool {
        self.thread.is_none() || self.thread == self.idle
    }

    /// What stands above its thread's frames.
    pub fn heading(&self) -> String {
        format!("thread {} on cpu {}:", self.name, self.number)
    }

    /// Its thread.
    pub fn thread(&self) -> Thread {
        Thread {
            id: self.thread.clone().unwrap_or_default(),
            heading: self.heading(),
        }
    }
}

/// The answer to `show allpcpu`.
#[derive(Debug, Default)]
pub struct Cpus {
    current: Option<u32>,
    cpus: Vec<Cpu>,
}

impl Cpus {
    /// Takes a line.
    pub fn line(&mut self, text: &str) {
        if let Some(number) = text.strip_prefix("Current CPU: ") {
            self.current = number.parse().ok();
        }
        let Some((key, value)) = text.split_once("= ") else {
            return;
        };
        let address = || {
            let address = value.split(':').next().unwrap_or_default();
            address.starts_with("0x").then(|| address.to_owned())
        };
        match (key.trim(), self.cpus.last_mut()) {
            ("cpuid", _) => self.cpus.extend(value.parse().ok().map(|number| Cpu {
                number,
                ..Cpu::default()
            })),
            ("curthread", Some(cpu)) => {
                cpu.thread = address();
                cpu.name = value.split('"').nth(1).unwrap_or("unknown").to_owned();
            }
            ("idlethread", Some(cpu)) => cpu.idle = address(),
            _ => {}
        }
    }

    /// The CPU that entered the debugger.
    pub fn current(&self) -> Option<&Cpu> {
        self.cpus
            .iter()
            .find(|cpu| Some(cpu.number) == self.current)
    }

    /// The other ones that run something.
    pub fn busy_elsewhere(&self) -> impl Iterator<Item = &Cpu> {
        let elsewhere = |cpu: &&Cpu| Some(cpu.number) != self.current && !cpu.is_idle();
        self.cpus.iter().filter(elsewhere)
    }
}

/// Whether `text` is a register and its value (and what lies there).
pub fn is_register(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (name, value) = (words.next(), words.next());
    name.is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric()))
        && value.is_some_and(|value| value == "0" || value.starts_with("0x"))
}
