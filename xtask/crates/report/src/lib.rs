//! Reports of a run: the terminal summary, JSON, JUnit, HTML, and the history.

pub mod files;
pub mod fixtures;
pub mod history;
pub mod html;
pub mod json;
pub mod junit;
pub mod recorder;
pub mod summary;
