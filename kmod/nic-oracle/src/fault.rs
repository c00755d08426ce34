//! What can be wrong.

use core::fmt;

/// What the card counts and the scoreboard does, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// Nobody listened.
    ReceiveDisabled,
    /// Bad on the wire.
    Errored,
    /// MAC control frames.
    Control,
    /// Not for this card.
    Filtered,
    /// No room in the packet buffer.
    Missed,
    /// For a queue that is not enabled.
    QueueDisabled,
    /// All that passed: in memory, dropped, flushed, or held still.
    Passed,
}

/// What is wrong with what became of the frames. Frames are numbered in the
/// order of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The stack got what was never on the wire.
    Unknown,
    /// The stack got a frame with other bytes.
    Altered {
        /// The frame.
        frame: u32,
    },
    /// The stack got a frame twice.
    Twice {
        /// The frame.
        frame: u32,
    },
    /// The stack got a frame that the card had discarded.
    Discarded {
        /// The frame.
        frame: u32,
    },
    /// The stack got a frame that the card had marked as bad.
    Bad {
        /// The frame.
        frame: u32,
    },
    /// The stack got a frame of before the interface was last stopped.
    Late {
        /// The frame.
        frame: u32,
    },
    /// The stack got a later frame of this flow first.
    FlowOrder {
        /// The flow.
        flow: u16,
        /// The frame.
        frame: u32,
        /// The later one.
        before: u32,
    },
    /// The stack got a later frame of this queue first.
    QueueOrder {
        /// The queue.
        queue: u16,
        /// The frame.
        frame: u32,
        /// The later one.
        before: u32,
    },
    /// The card has written a frame to memory, and the stack never got it.
    Lost {
        /// The flow.
        flow: u16,
        /// The queue.
        queue: u16,
        /// The frame.
        frame: u32,
    },
    /// A stop may cost what the driver has not looked at. But it got a later
    /// frame of this queue.
    Skipped {
        /// The queue.
        queue: u16,
        /// The frame.
        frame: u32,
        /// The last one that it got.
        last: u32,
    },
    /// Of the frames that were held back, the card has written some to memory
    /// that the stack never got, or the stack got more than that.
    Unbalanced {
        /// The queue.
        queue: u16,
        /// Frames that the card has written to memory, bad ones included.
        written: u64,
        /// Frames that the stack got.
        arrived: u64,
        /// Bad ones, at least.
        bad: u64,
    },
    /// The card counts otherwise than it said of each frame.
    Count {
        /// What.
        count: Count,
        /// By what it reported.
        reported: u64,
        /// By its counters.
        counted: u64,
    },
    /// A frame for a queue that should not exist.
    Queue {
        /// The queue.
        queue: u16,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(out, "the stack got a frame that was never on the wire"),
            Self::Altered { frame } => write!(out, "the bytes of frame {frame} changed"),
            Self::Twice { frame } => write!(out, "the stack got frame {frame} twice"),
            Self::Discarded { frame } => {
                write!(out, "the stack got frame {frame}, which the card discarded")
            }
            Self::Bad { frame } => {
                write!(
                    out,
                    "the stack got frame {frame}, which the card said is bad"
                )
            }
            Self::Late { frame } => write!(
                out,
                "the stack got frame {frame} after the interface was stopped"
            ),
            Self::FlowOrder {
                flow,
                frame,
                before,
            } => write!(
                out,
                "flow {flow}: the stack got frame {before} before frame {frame}"
            ),
            Self::QueueOrder {
                queue,
                frame,
                before,
            } => write!(
                out,
                "queue {queue}: the stack got frame {before} before frame {frame}"
            ),
            Self::Lost { flow, queue, frame } => write!(
                out,
                "frame {frame} of flow {flow} is lost: the card wrote it to memory for queue {queue}"
            ),
            Self::Skipped { queue, frame, last } => write!(
                out,
                "queue {queue}: frame {frame} is lost, but the stack got frame {last}"
            ),
            Self::Unbalanced {
                queue,
                written,
                arrived,
                bad,
            } => write!(
                out,
                "queue {queue}: the card wrote {written} frames to memory, {bad} or more of them bad, and the stack \
                 got {arrived}"
            ),
            Self::Count {
                count,
                reported,
                counted,
            } => write!(
                out,
                "{count:?}: the card reported {reported} frames and counts {counted}"
            ),
            Self::Queue { queue } => write!(out, "a frame for queue {queue}"),
        }
    }
}

impl core::error::Error for Fault {}
