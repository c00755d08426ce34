//! What becomes of a run's events: the terminal, JSON, JUnit, HTML.

pub mod closing;
pub mod files;
pub mod fixtures;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod recorder;
