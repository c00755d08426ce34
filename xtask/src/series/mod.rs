//! The patch series: files a reviewer can read and git can apply, with a
//! manifest that says what proves each patch.

pub mod manifest;
