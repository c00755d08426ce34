//! Ways to send.

/// A way to send what is in a program's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// sendfile(2) with SF_KQUEUE: the event says that the buffer is free.
    Kqueue,
    /// sendfile(2) with SF_SYNC: it is free when the call returns.
    Sync,
    /// write(2) copies: it is free when all of it was taken.
    Write,
}

impl Method {
    /// All of them, in the order in which a round measures them.
    pub const ALL: [Self; 3] = [Self::Kqueue, Self::Sync, Self::Write];

    /// For the host.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kqueue => "kqueue",
            Self::Sync => "sync",
            Self::Write => "write",
        }
    }
}
