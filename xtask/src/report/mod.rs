//! What becomes of a run's events: the terminal, JSON, JUnit, HTML.

pub mod closing;
pub mod columns;
pub mod files;
pub mod html;
pub mod json;
pub mod junit;
pub mod terminal;

#[cfg(test)]
pub mod testing;
