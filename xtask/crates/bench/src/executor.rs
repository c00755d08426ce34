//! `cargo xtask bench executor`: what an executor gains by running tasks side by
//! side, and what a task costs beyond its work. The work is simulated: a task
//! waits.

use std::path::Path;
use std::time::{Duration, Instant};

use kdk_core::cache_dir::write_atomically;
use kdk_core::context::Context;
use kdk_core::event::milliseconds;
use kdk_core::failure::Failure;
use kdk_core::terminal::seconds;
use kdk_executor::{Executor, ExecutorChoice, Task};

use crate::goal::{Bound, Goal};
use crate::ratio;

const TRIED: &str = "measure an executor";

/// The part of the ideal speed-up that is wanted.
const WANTED: f64 = 0.5;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct ExecutorRequest {
    /// The executor to compare with one process at a time.
    pub executor: ExecutorChoice,
    /// The number of tasks.
    pub tasks: u16,
    /// The number of tasks that run side by side.
    pub width: u16,
    /// The work of each task, in milliseconds.
    pub ms: u64,
}

/// The words of this program's command that runs the work of one task:
/// milliseconds and the result's file follow.
pub const WORK: [&str; 2] = ["bench", "simulated-work"];

/// Does the work of one task, and publishes its result.
///
/// # Errors
/// The disk's.
pub fn work(ms: u64, result: &Path) -> Result<(), Failure> {
    std::thread::sleep(Duration::from_millis(ms));
    write_atomically(result, b"done\n").map_err(|error| Failure::io(TRIED, result, error))
}

/// Measures an executor, and prints the results.
///
/// # Errors
/// A task or the executor failed.
pub fn run(cx: &Context, request: &ExecutorRequest) -> Result<(), Failure> {
    let one_by_one = Executor::open(cx, ExecutorChoice::Local, 1)?;
    let executor = Executor::open(cx, request.executor, request.width.into())?;
    let serial = measure(cx, &one_by_one, request, request.ms)?;
    let parallel = measure(cx, &executor, request, request.ms)?;
    let idle = measure(cx, &executor, request, 0)?;
    cx.terminal.print(text(request, serial, parallel, idle));
    Ok(())
}

/// Returns the results as text, from the times in milliseconds: one by one, by
/// the executor, and by the executor without work.
fn text(request: &ExecutorRequest, serial: u64, parallel: u64, idle: u64) -> String {
    let &ExecutorRequest {
        executor,
        tasks,
        width,
        ms,
    } = request;
    let speed_up = Goal {
        what: format!("speed-up, {width} side by side"),
        measured: ratio(serial as f64, parallel as f64),
        bound: Bound::AtLeast(f64::from(width.min(tasks)) * WANTED),
        test: String::new(),
    };
    format!(
        "{tasks} tasks of {} of simulated work\n\
         one by one on this host: {}\n\
         {}: {}\n\
         {speed_up}\n\
         per task without work: {}",
        seconds(ms),
        seconds(serial),
        executor.name(),
        seconds(parallel),
        seconds(idle / u64::from(tasks.max(1))),
    )
}

/// Returns how long the tasks take, in milliseconds.
fn measure(
    cx: &Context,
    executor: &Executor<'_>,
    request: &ExecutorRequest,
    ms: u64,
) -> Result<u64, Failure> {
    let parent = cx.cache.tasks();
    cx.cache.create(&parent)?;
    let dir = tempfile::tempdir_in(&parent).map_err(|error| Failure::io(TRIED, &parent, error))?;
    let task = |number: u16| {
        let result = dir.path().join(format!("{number}"));
        let mut args: Vec<std::ffi::OsString> = WORK.map(Into::into).to_vec();
        args.extend([ms.to_string().into(), result.clone().into()]);
        Task::of_this_program(cx, format!("simulated/{number}"), args, result)
    };
    let tasks = (0..request.tasks)
        .map(task)
        .collect::<Result<Vec<Task>, Failure>>()?;
    let began = Instant::now();
    executor.run(&tasks, &mut |_, result| result)?;
    Ok(milliseconds(began.elapsed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_as_text() {
        let request = ExecutorRequest {
            executor: ExecutorChoice::Slurm,
            tasks: 8,
            width: 4,
            ms: 3000,
        };
        assert_eq!(
            text(&request, 24_400, 8_000, 1_600),
            "8 tasks of 3.000 s of simulated work\n\
             one by one on this host: 24.400 s\n\
             slurm: 8.000 s\n\
             speed-up, 4 side by side: 3.050 (goal at least 2: reached)\n\
             per task without work: 0.200 s"
        );
    }
}
