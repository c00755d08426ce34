//! Runs tasks whose results are files: side by side as processes of this host,
//! or as job arrays of Slurm.
//!
//! A caller that needs several machines prepares [`Task`]s whose results are
//! files in the shared cache folder, runs them by an [`Executor`], and reads
//! the files.

#[cfg(test)]
mod fixtures;
mod local;
mod log;
mod shared;
mod slurm;
mod task;

use std::str::FromStr;

use kdk_core::context::Context;
use kdk_core::failure::Failure;

pub use task::Task;

/// Where tasks run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ExecutorChoice {
    /// On this host, as processes side by side.
    #[default]
    Local,
    /// On the nodes of a cluster, as job arrays of Slurm.
    Slurm,
}

impl ExecutorChoice {
    /// The names that the command line accepts.
    pub const NAMES: [&str; 2] = ["local", "slurm"];

    /// Returns the name of this executor.
    pub fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Slurm => "slurm",
        }
    }
}

impl FromStr for ExecutorChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "slurm" => Ok(Self::Slurm),
            _ => Err(format!("{text:?} is none of {}", Self::NAMES.join(", "))),
        }
    }
}

/// Receives how each task ended, as soon as it has: its result exists, or there
/// is a reason why it does not. An error ends the run.
pub type Done<'a> = dyn FnMut(&Task, Result<(), Failure>) -> Result<(), Failure> + 'a;

/// Runs tasks on this host or on a cluster.
pub struct Executor<'a> {
    cx: &'a Context,
    engine: Engine,
}

enum Engine {
    Local { jobs: usize },
    Slurm(slurm::Slurm),
}

impl<'a> Executor<'a> {
    /// Returns the executor that `choice` names. `jobs` is the number of
    /// processes that run side by side on this host.
    ///
    /// # Errors
    /// The engine is not installed or does not answer, or its nodes cannot
    /// share the cache folder.
    pub fn open(cx: &'a Context, choice: ExecutorChoice, jobs: usize) -> Result<Self, Failure> {
        let engine = match choice {
            ExecutorChoice::Local => Engine::Local { jobs: jobs.max(1) },
            ExecutorChoice::Slurm => {
                shared::check(cx.cache.root())?;
                Engine::Slurm(slurm::Slurm::open()?)
            }
        };
        Ok(Self { cx, engine })
    }

    /// Runs `tasks` until each has ended, and reports each to `done`. A task
    /// whose result exists does not run.
    ///
    /// # Errors
    /// The tasks contradict each other, the engine failed, the user pressed ^C,
    /// or `done` failed. A task that fails is no error.
    pub fn run(&self, tasks: &[Task], done: &mut Done<'_>) -> Result<(), Failure> {
        task::check(tasks)?;
        let (ready, open): (Vec<&Task>, Vec<&Task>) = tasks.iter().partition(|task| task.is_done());
        for task in ready {
            done(task, Ok(()))?;
        }
        if open.is_empty() {
            return Ok(());
        }
        match &self.engine {
            Engine::Local { jobs } => local::run(self.cx, *jobs, &open, done),
            Engine::Slurm(slurm) => slurm.run(self.cx, &open, done),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_executors() {
        for name in ExecutorChoice::NAMES {
            assert!(name.parse::<ExecutorChoice>().is_ok(), "{name}");
        }
        assert!("pbs".parse::<ExecutorChoice>().is_err());
    }
}
