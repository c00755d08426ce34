//! What tests tell the host that is no verdict.

use super::kthread::{Thread, current_group};
use super::locked::Locked;
use arrayvec::ArrayVec;
use core::fmt::{self, Display};
use kdk_harness::{Text, write_diagnostic};

/// Notes of a test.
const CAPACITY: usize = 12;
/// Longest text of a note, bytes.
const LONGEST: usize = 120;

#[derive(Clone, Copy)]
struct Note {
    label: &'static str,
    text: Text<LONGEST>,
}

struct Notes {
    /// The threads of the test that is running.
    group: u32,
    notes: ArrayVec<Note, CAPACITY>,
    /// There were more.
    full: bool,
}

static NOTES: Locked<Notes> = Locked::new(Notes {
    group: 0,
    notes: ArrayVec::new_const(),
    full: false,
});

impl Notes {
    fn begin(&mut self, group: u32) {
        // The test may have been faster than who listens to it.
        if self.group < group {
            self.group = group;
            self.notes.clear();
            self.full = false;
        }
    }
}

/// Tells the host something; it is in the test's detail, as `LABEL: TEXT`.
/// Only what a dozen lines hold is kept. From a test that was given up nothing
/// is heard.
pub fn note(label: &'static str, text: &dyn Display) {
    let group = current_group();
    let text = Text::of(text);
    NOTES.with(|notes| {
        notes.begin(group);
        if notes.group == group {
            notes.full |= notes.notes.try_push(Note { label, text }).is_err();
        }
    });
}

/// From now on this test's notes count.
pub fn begin(test: &Thread) {
    NOTES.with(|notes| notes.begin(test.group()));
}

/// Writes what the last test has noted.
///
/// # Errors
/// `out` does not take it.
pub fn write(out: &mut dyn fmt::Write) -> fmt::Result {
    for nth in 0..CAPACITY {
        let Some(note) = NOTES.with(|notes| notes.notes.get(nth).copied()) else {
            break;
        };
        write_diagnostic(out, note.label, &note.text)?;
    }
    if NOTES.with(|notes| notes.full) {
        write_diagnostic(out, "notes", &"there were more than can be kept")?;
    }
    Ok(())
}
