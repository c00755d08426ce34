//! An answer for readers with buffers of any size.

use crate::{Answer, MAX_CHUNK, Platform, Text};

/// Hands out an [`Answer`] in pieces as small as the reader asks for, as
/// read(2) on a device does. A test runs only when everything written before
/// it was taken.
#[derive(Debug)]
pub struct Reader<'a> {
    answer: Answer<'a>,
    chunk: Text<MAX_CHUNK>,
    taken: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `answer`.
    #[must_use]
    pub const fn new(answer: Answer<'a>) -> Self {
        Self {
            answer,
            chunk: Text::new(),
            taken: 0,
        }
    }

    /// Copies the next bytes into `buffer` and returns how many; 0 is the end
    /// (or an empty `buffer`).
    pub fn read(&mut self, platform: &mut dyn Platform, buffer: &mut [u8]) -> usize {
        if buffer.is_empty() {
            return 0;
        }
        if self.rest().is_empty() {
            self.chunk.clear();
            self.taken = 0;
            // A chunk always fits (`MAX_CHUNK`) and Text takes all there is.
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
