//! Reads an answer with a buffer of any size.

use crate::{Answer, MAX_CHUNK, Platform, Text};

/// Returns an [`Answer`] in pieces of any size, as read(2) on a device does. A
/// test runs only when everything before it was read.
#[derive(Debug)]
pub struct Reader<'a> {
    answer: Answer<'a>,
    chunk: Text<MAX_CHUNK>,
    taken: usize,
}

impl<'a> Reader<'a> {
    /// Returns a reader of `answer`.
    #[must_use]
    pub const fn new(answer: Answer<'a>) -> Self {
        Self {
            answer,
            chunk: Text::new(),
            taken: 0,
        }
    }

    /// Copies the next bytes into `buffer` and returns their number. 0 means
    /// the end (or an empty `buffer`).
    pub fn read(&mut self, platform: &mut dyn Platform, buffer: &mut [u8]) -> usize {
        if buffer.is_empty() {
            return 0;
        }
        if self.rest().is_empty() {
            self.chunk.clear();
            self.taken = 0;
            // A chunk always fits (`MAX_CHUNK`), so writing cannot fail.
            if !matches!(self.answer.next_chunk(platform, &mut self.chunk), Ok(true)) {
                return 0;
            }
        }
        let rest = self.rest();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        self.taken += count;
        count
    }

    fn rest(&self) -> &[u8] {
        self.chunk
            .as_str()
            .as_bytes()
            .get(self.taken..)
            .unwrap_or_default()
    }
}
