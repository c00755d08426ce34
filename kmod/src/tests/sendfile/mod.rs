//! Suite `sendfile-kernel`: SF_KQUEUE inside the kernel. The suite `sendfile`
//! tests the system call. These tests remove the mbufs of requests from sockets,
//! count them, and free them one by one, under kernel locks.

#[cfg(sendfile_kqueue)]
mod blocked;
#[cfg(sendfile_kqueue)]
mod failures;
#[cfg(sendfile_kqueue)]
mod in_flight;
#[cfg(sendfile_kqueue)]
mod live;
#[cfg(sendfile_kqueue)]
mod locks;
#[cfg(sendfile_kqueue)]
mod races;
#[cfg(sendfile_kqueue)]
mod reading;

use kdk_harness::kdk_test;

/// Registers tests for one and for several CPUs: other threads take part in each,
/// those of the test, of TCP's input, or of a callout. Without SF_KQUEUE each
/// test is skipped with a reason.
macro_rules! suite {
    ($($name:literal => $run:expr,)*) => {$(
        #[cfg(sendfile_kqueue)]
        kdk_test!(
            $name,
            $run,
            limit_ms = 30_000,
            leak_types = &[in_flight::MALLOC_TYPE, "kqueue"],
            cpus = &[1, 4]
        );
        #[cfg(not(sendfile_kqueue))]
        kdk_test!($name, absent);
    )*};
}

suite! {
    "sendfile-kernel/counts-tcp" => || live::counts(in_flight::Link::Tcp),
    "sendfile-kernel/counts-unix" => || live::counts(in_flight::Link::Unix),
    "sendfile-kernel/deleted-in-flight" => live::deleted_in_flight,
    "sendfile-kernel/deleted-pending" => live::deleted_pending,
    "sendfile-kernel/queue-closed-in-flight" => live::closed_in_flight,
    "sendfile-kernel/queue-closed-pending" => live::closed_pending,
    "sendfile-kernel/many-requests" => live::many,
    "sendfile-kernel/shared-tcp" => || live::shared(in_flight::Link::Tcp),
    "sendfile-kernel/shared-unix" => || live::shared(in_flight::Link::Unix),
    "sendfile-kernel/freed-under-mutex" => locks::mutex,
    "sendfile-kernel/freed-under-rwlock" => locks::rwlock,
    "sendfile-kernel/freed-under-rmlock" => locks::rmlock,
    "sendfile-kernel/freed-under-sx" => locks::sx,
    "sendfile-kernel/freed-under-epoch" => locks::epoch,
    "sendfile-kernel/freed-under-send-buffer" => locks::send_buffer,
    "sendfile-kernel/freed-under-receive-buffer" => locks::receive_buffer,
    "sendfile-kernel/freed-under-own-buffers" => locks::own_buffers,
    "sendfile-kernel/freed-under-inpcb" => locks::inpcb,
    "sendfile-kernel/freed-under-unpcb" => locks::unpcb,
    "sendfile-kernel/fails-to-register" => failures::registration,
    "sendfile-kernel/fails-to-lock" => failures::socket_lock,
    "sendfile-kernel/fails-to-wait" => failures::wait,
    "sendfile-kernel/fails-to-wait-later" => failures::wait_later,
    "sendfile-kernel/fails-to-send" => failures::send,
    "sendfile-kernel/fails-to-send-later" => failures::send_later,
    "sendfile-kernel/fails-to-send-trailer" => failures::trailer,
    "sendfile-kernel/read-wakes-unix" => reading::wakes,
    "sendfile-kernel/receiver-ends-while-reading" => reading::receiver_ends,
    "sendfile-kernel/sender-ends-while-reading" => reading::sender_ends,
    "sendfile-kernel/refused-while-reading" => || reading::refused_later(Ok(())),
    "sendfile-kernel/refused-and-read-fails" => || reading::refused_later(Err(reading::FAILURE)),
    "sendfile-kernel/refused-with-header" => reading::refused_with_header,
    "sendfile-kernel/shut-before-append" => reading::shut_before_append,
    "sendfile-kernel/shut-before-append-ready" => reading::shut_before_append_ready,
    "sendfile-kernel/reconnects-while-reading" => || reading::reconnects(Ok(())),
    "sendfile-kernel/reconnects-and-read-fails" => || reading::reconnects(Err(reading::FAILURE)),
    "sendfile-kernel/reconnects-and-reads-first" => reading::reconnects_first,
    "sendfile-kernel/reconnects-after-failure" => || reading::reconnects_after_failure(Ok(())),
    "sendfile-kernel/reconnects-after-failures" => || reading::reconnects_after_failure(Err(reading::FAILURE)),
    "sendfile-kernel/reconnects-after-refusal" => reading::reconnects_after_refusal,
    "sendfile-kernel/freed-by-callout" => locks::callout,
    "sendfile-kernel/freed-by-task" => locks::task,
    "sendfile-kernel/read-at-last-tcp" => || reading::at_last(in_flight::Link::Tcp),
    "sendfile-kernel/read-at-last-unix" => || reading::at_last(in_flight::Link::Unix),
    "sendfile-kernel/read-fails-tcp" => || reading::fails(in_flight::Link::Tcp),
    "sendfile-kernel/read-fails-unix" => || reading::fails(in_flight::Link::Unix),
    "sendfile-kernel/read-fails-before-tcp" => || reading::fails_before(in_flight::Link::Tcp, Ok(())),
    "sendfile-kernel/read-fails-before-unix" => || reading::fails_before(in_flight::Link::Unix, Ok(())),
    "sendfile-kernel/reads-fail-tcp" => || reading::fails_before(in_flight::Link::Tcp, Err(reading::FAILURE)),
    "sendfile-kernel/reads-fail-unix" => || reading::fails_before(in_flight::Link::Unix, Err(reading::FAILURE)),
    "sendfile-kernel/one-read-of-three-fails-tcp" => || reading::one_fails(in_flight::Link::Tcp),
    "sendfile-kernel/one-read-of-three-fails-unix" => || reading::one_fails(in_flight::Link::Unix),
    "sendfile-kernel/read-fails-before-descriptor" => reading::fails_before_descriptor,
    "sendfile-kernel/read-fails-between" => reading::fails_between,
    "sendfile-kernel/read-fails-plain-tcp" => || reading::fails_plain(in_flight::Link::Tcp),
    "sendfile-kernel/read-fails-plain-unix" => || reading::fails_plain(in_flight::Link::Unix),
    "sendfile-kernel/output-blocked" => blocked::first,
    "sendfile-kernel/output-blocked-later" => blocked::one_page,
    "sendfile-kernel/races-with-close" => races::close,
    "sendfile-kernel/races-with-delete" => races::delete,
}

#[cfg(not(sendfile_kqueue))]
fn absent() -> kdk_harness::TestResult {
    Err(kdk_harness::Stop::Skip(
        "the tree does not have SF_KQUEUE (patch sendfile-kqueue-core)",
    ))
}
