//! Faults that the scoreboard reports.

use core::fmt;

/// A counter that both the NIC and the scoreboard have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// The link was down, or the receiver was disabled.
    ReceiveDisabled,
    /// Frames with a receive error.
    Errored,
    /// MAC control frames.
    Control,
    /// Frames that did not pass the filters.
    Filtered,
    /// Frames missed for want of room in the packet buffer.
    Missed,
    /// Frames for a queue that is not enabled.
    QueueDisabled,
    /// Frames that passed: delivered, dropped, flushed, or in the packet buffer.
    Passed,
}

/// A defect in the handling of the frames, which are numbered in the order of
/// the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The stack received a frame that was never on the wire.
    Unknown,
    /// The stack received a frame with different bytes.
    Altered {
        /// The number of the frame.
        frame: u32,
    },
    /// The stack received a frame twice.
    Twice {
        /// The number of the frame.
        frame: u32,
    },
    /// The stack received a frame that the NIC had discarded.
    Discarded {
        /// The number of the frame.
        frame: u32,
    },
    /// The stack received a frame that the NIC had marked as bad.
    Bad {
        /// The number of the frame.
        frame: u32,
    },
    /// The stack received a frame from before the last stop of the interface.
    Late {
        /// The number of the frame.
        frame: u32,
    },
    /// The stack received a later frame of this flow first.
    FlowOrder {
        /// The number of the flow.
        flow: u16,
        /// The number of the frame.
        frame: u32,
        /// The later frame.
        before: u32,
    },
    /// The stack received a later frame of this queue first.
    QueueOrder {
        /// The number of the queue.
        queue: u16,
        /// The number of the frame.
        frame: u32,
        /// The later frame.
        before: u32,
    },
    /// The NIC has written a frame to memory, and the stack did not receive it.
    Lost {
        /// The number of the flow.
        flow: u16,
        /// The number of the queue.
        queue: u16,
        /// The number of the frame.
        frame: u32,
    },
    /// The stack did not receive a frame before a stop, but a later frame of
    /// this queue. A stop may only lose the last frames of a queue.
    Skipped {
        /// The number of the queue.
        queue: u16,
        /// The number of the frame.
        frame: u32,
        /// The last frame that the stack received.
        last: u32,
    },
    /// The number of frames that the stack received does not match the number
    /// that the NIC has written to memory, with those from the packet buffer.
    Unbalanced {
        /// The number of the queue.
        queue: u16,
        /// Frames that the NIC has written to memory, including bad ones.
        written: u64,
        /// Frames that the stack received.
        arrived: u64,
        /// The least number of bad frames.
        bad: u64,
    },
    /// A counter of the NIC differs from what it reported for each frame.
    Count {
        /// The counter that differs.
        count: Count,
        /// The number by its reports.
        reported: u64,
        /// The number by its counter.
        counted: u64,
    },
    /// A frame is for a queue that the NIC should not use.
    Queue {
        /// The number of the queue.
        queue: u16,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => write!(out, "the stack received a frame that was never on the wire"),
            Self::Altered { frame } => write!(out, "the bytes of frame {frame} changed"),
            Self::Twice { frame } => write!(out, "the stack received frame {frame} twice"),
            Self::Discarded { frame } => {
                write!(
                    out,
                    "the stack received frame {frame}, which the NIC discarded"
                )
            }
            Self::Bad { frame } => {
                write!(
                    out,
                    "the stack received frame {frame}, which the NIC marked as bad"
                )
            }
            Self::Late { frame } => write!(
                out,
                "the stack received frame {frame} after the interface was stopped"
            ),
            Self::FlowOrder {
                flow,
                frame,
                before,
            } => write!(
                out,
                "flow {flow}: the stack received frame {before} before frame {frame}"
            ),
            Self::QueueOrder {
                queue,
                frame,
                before,
            } => write!(
                out,
                "queue {queue}: the stack received frame {before} before frame {frame}"
            ),
            Self::Lost { flow, queue, frame } => write!(
                out,
                "frame {frame} of flow {flow} is lost: the NIC wrote it to memory for queue {queue}"
            ),
            Self::Skipped { queue, frame, last } => write!(
                out,
                "queue {queue}: frame {frame} is lost, but the stack received frame {last}"
            ),
            Self::Unbalanced {
                queue,
                written,
                arrived,
                bad,
            } => write!(
                out,
                "queue {queue}: the NIC wrote {written} frames to memory, {bad} or more of them bad, and the stack \
                 received {arrived}"
            ),
            Self::Count {
                count,
                reported,
                counted,
            } => write!(
                out,
                "{count:?}: the NIC reported {reported} frames and counts {counted}"
            ),
            Self::Queue { queue } => write!(out, "a frame for queue {queue}"),
        }
    }
}

impl core::error::Error for Fault {}
