//! Diagnostics of tests that are not part of the verdict.

use super::kthread::{Thread, current_group};
use super::locked::Locked;
use arrayvec::ArrayVec;
use core::fmt::{self, Display};
use kdk_harness::{Text, write_diagnostic};

/// The most notes of a test.
const CAPACITY: usize = 12;
/// The longest text of a note, in bytes.
const LONGEST: usize = 120;

#[derive(Clone, Copy)]
struct Note {
    label: &'static str,
    text: Text<LONGEST>,
}

struct Notes {
    /// The group of the test that runs.
    group: u32,
    notes: ArrayVec<Note, CAPACITY>,
    /// Notes were lost.
    full: bool,
}

static NOTES: Locked<Notes> = Locked::new(Notes {
    group: 0,
    notes: ArrayVec::new_const(),
    full: false,
});

impl Notes {
    fn begin(&mut self, group: u32) {
        // The test may have written a note before `begin` is called for it.
        if self.group < group {
            self.group = group;
            self.notes.clear();
            self.full = false;
        }
    }
}

/// Adds a diagnostic to the detail of the current test, as `LABEL: TEXT`. The
/// first 12 are kept. A test that has timed out cannot add any.
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

/// Starts the notes of a test.
pub fn begin(test: &Thread) {
    NOTES.with(|notes| notes.begin(test.group()));
}

/// Writes the notes of the last test.
///
/// # Errors
/// Fails if `out` fails.
pub fn write(out: &mut dyn fmt::Write) -> fmt::Result {
    for nth in 0..CAPACITY {
        let Some(note) = NOTES.with(|notes| notes.notes.get(nth).copied()) else {
            break;
        };
        write_diagnostic(out, note.label, &note.text)?;
    }
    if NOTES.with(|notes| notes.full) {
        write_diagnostic(out, "notes", &"more than 12 notes; the others are lost")?;
    }
    Ok(())
}
