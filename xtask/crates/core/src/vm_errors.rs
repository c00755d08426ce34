//! The vm crate's errors as failures of the command line.

use kdk_vm::error::{InfraError, RunError};
use miette::Diagnostic;

use crate::failure::{Class, Failure};

impl From<InfraError> for Failure {
    fn from(error: InfraError) -> Self {
        convert(Class::Infra, error)
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let class = match &error {
            RunError::Infra(_) => Class::Infra,
            RunError::Boot(_) => Class::Boot,
            RunError::Select(_) => Class::Usage,
        };
        convert(class, error)
    }
}

impl From<kdk_vm::elf::ElfError> for Failure {
    fn from(error: kdk_vm::elf::ElfError) -> Self {
        convert(Class::Build, error)
    }
}

fn convert(class: Class, error: impl Diagnostic + Send + Sync + 'static) -> Failure {
    let help = error.help().map(|help| help.to_string());
    let failure = Failure::plain(class, error.to_string());
    match help {
        Some(help) => failure.help(help),
        None => failure,
    }
}
