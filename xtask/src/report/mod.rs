//! What becomes of a run's events: the terminal, JSON, JUnit.

pub mod json;
pub mod junit;
pub mod terminal;
