//! Writes standard error on a thread of its own: a terminal that is stopped, or
//! a pager that does not read, must not stop a run.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Stderr, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use indicatif::ProgressBar;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The most bytes that wait for a slow reader. Then the oldest are left out.
const MOST_WAITING: usize = 16 << 20;

/// Something to print.
enum Job {
    /// Lines of text.
    Text(String),
    /// A change of the progress bar.
    Bar(BarChange),
}

/// A change of a progress bar.
pub type BarChange = Box<dyn FnOnce(&ProgressBar) + Send>;

/// The printing thread, and what waits for it. Dropping it waits until all is
/// printed.
pub struct Printer {
    shared: Arc<Shared>,
    /// Whether the thread runs. Where no thread may start, callers print.
    threaded: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    bar: ProgressBar,
    live: bool,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    bytes: usize,
    left_out: usize,
    /// Whether the thread is printing a job.
    printing: bool,
    /// Whether nothing more is to be printed: an error, or the end.
    closed: bool,
}

impl Printer {
    /// Starts the thread. `live` means that standard error is a terminal, on
    /// which `bar` is shown below the text.
    pub fn new(bar: ProgressBar, live: bool) -> Self {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
            bar,
            live,
        });
        let printing = shared.clone();
        let started = thread::Builder::new()
            .name("printer".into())
            .spawn(move || while printing.print_next() {});
        Self {
            shared,
            threaded: started.is_ok(),
        }
    }

    /// Prints `text` and a newline.
    pub fn text(&self, text: String) {
        self.push(Job::Text(text));
    }

    /// Changes the progress bar, if there is one.
    pub fn bar(&self, change: BarChange) {
        if self.shared.live {
            self.push(Job::Bar(change));
        }
    }

    /// Waits until all is printed.
    pub fn flush(&self) {
        let mut queue = self.shared.lock();
        while self.threaded && !queue.closed && (queue.printing || !queue.jobs.is_empty()) {
            queue = self
                .shared
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn push(&self, job: Job) {
        self.shared.lock().push(job);
        if self.threaded {
            self.shared.changed.notify_all();
        } else {
            self.shared.print_next();
        }
    }
}

/// A job that is being printed.
struct Printing<'a> {
    shared: &'a Shared,
    is_printed: bool,
}

impl Drop for Printing<'_> {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.printing = false;
        // A reader that is gone must not end the run, and does not come back.
        // Nor does this thread after a panic.
        queue.closed |= !self.is_printed;
        self.shared.changed.notify_all();
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.flush();
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Queue {
    /// Adds a job. Leaves out the oldest text where too much waits.
    fn push(&mut self, job: Job) {
        if self.closed {
            return;
        }
        self.bytes += job.size();
        self.jobs.push_back(job);
        while self.bytes > MOST_WAITING && self.jobs.len() > 1 {
            let oldest = self.jobs.pop_front();
            self.bytes -= oldest.as_ref().map_or(0, Job::size);
            self.left_out += usize::from(matches!(oldest, Some(Job::Text(_))));
        }
    }

    /// Returns the next job, and the number of texts that were left out before
    /// it.
    fn pop(&mut self) -> Option<(Job, usize)> {
        let job = self.jobs.pop_front()?;
        self.bytes -= job.size();
        Some((job, std::mem::take(&mut self.left_out)))
    }
}

impl Job {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len() + size_of::<Self>(),
            Self::Bar(_) => size_of::<Self>(),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a job and prints it. Returns false at the end.
    fn print_next(&self) -> bool {
        let mut queue = self.lock();
        let (job, left_out) = loop {
            if queue.closed {
                return false;
            }
            if let Some(next) = queue.pop() {
                break next;
            }
            queue = self
                .changed
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        };
        queue.printing = true;
        drop(queue);
        let mut printing = Printing {
            shared: self,
            is_printed: false,
        };
        printing.is_printed = self.print(job, left_out).is_ok();
        drop(printing);
        !self.lock().closed
    }

    fn print(&self, job: Job, left_out: usize) -> io::Result<()> {
        if left_out > 0 {
            self.print_text(&format!(
                "[{left_out} lines were left out: the output was not read]"
            ))?;
        }
        match job {
            Job::Text(text) => self.print_text(&text),
            Job::Bar(change) => {
                change(&self.bar);
                Ok(())
            }
        }
    }

    fn print_text(&self, text: &str) -> io::Result<()> {
        if self.live {
            self.bar.println(text);
            return Ok(());
        }
        write_all(&mut io::stderr(), format!("{text}\n").as_bytes())
    }
}

/// Writes `bytes`, also to a pipe that another program made non-blocking.
fn write_all(stderr: &mut Stderr, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stderr.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(
                    std::os::fd::AsFd::as_fd(stderr),
                    PollFlags::POLLOUT,
                )];
                poll(&mut fds, PollTimeout::NONE)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_are_left_out_and_counted() {
        let mut queue = Queue::default();
        let line = "x".repeat(MOST_WAITING / 4);
        for n in 0..6 {
            queue.push(Job::Text(format!("{n}{line}")));
        }
        let mut first = Vec::new();
        while let Some((Job::Text(text), left_out)) = queue.pop() {
            first.push((text.chars().next(), left_out));
        }
        assert_eq!(first, [(Some('3'), 3), (Some('4'), 0), (Some('5'), 0)]);
        assert_eq!(queue.bytes, 0);
        queue.push(Job::Text("x".repeat(2 * MOST_WAITING)));
        assert_eq!(queue.jobs.len(), 1);
        queue.closed = true;
        queue.push(Job::Text("more".into()));
        assert_eq!(queue.jobs.len(), 1);
    }

    #[test]
    fn no_one_waits_for_a_thread_that_panicked() {
        let printer = Printer {
            shared: Arc::new(Shared {
                queue: Mutex::default(),
                changed: Condvar::new(),
                bar: ProgressBar::hidden(),
                live: true,
            }),
            threaded: true,
        };
        printer.bar(Box::new(|_| panic!("a test of a panic while printing")));
        printer.text("more".into());
        let shared = printer.shared.clone();
        let thread = thread::spawn(move || shared.print_next());
        assert!(thread.join().is_err());
        let mut queue = printer.shared.lock();
        let (printing, closed) = (queue.printing, queue.closed);
        // Or else dropping the printer would wait for ever.
        queue.closed = true;
        drop(queue);
        assert!(!printing && closed);
    }
}
