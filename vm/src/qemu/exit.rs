//! How a QEMU machine ended. Pure.

use crate::exit::{Ending, Exit};

/// Returns how a machine ended.
pub(crate) fn classify(ending: Ending) -> Exit {
    ending.classify(by_code)
}

/// isa-debug-exit turns the value `v` into the exit status `(v << 1) | 1`, so
/// status 1 is value 0 or a failure of QEMU itself. Such a failure comes before
/// the guest runs.
fn by_code(ending: Ending, code: i32) -> Exit {
    match (code, ending.shutdown.as_deref()) {
        _ if !ending.ran => ending.refused(),
        (_, Some("host-signal" | "host-qmp-quit" | "host-ui")) => Exit::Host(ending.vmm),
        // Newer QEMUs announce a debug exit as a shutdown; older ones just exit.
        (1..=255, None | Some("guest-shutdown")) if code & 1 == 1 => {
            match u8::try_from(code >> 1) {
                // An error while running also ends with 1, but with a message.
                Ok(0) if ending.shutdown.is_none() && ending.stderr.contains("error") => {
                    ending.broken()
                }
                Ok(value) => Exit::Debug(value),
                Err(_) => ending.broken(),
            }
        }
        (0, Some("guest-reset")) => Exit::Reset,
        (0, Some("guest-shutdown")) => Exit::PowerOff,
        (_, Some("guest-panic")) => Exit::GuestPanic,
        _ => ending.broken(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Status;
    use crate::qemu::VMM;

    fn ending(status: Status, shutdown: Option<&str>) -> Ending {
        Ending {
            vmm: VMM,
            status,
            ran: true,
            shutdown: shutdown.map(str::to_owned),
            killed: false,
            stderr: String::new(),
        }
    }

    #[test]
    fn a_debug_exit_of_zero_is_not_qemus_own_failure() {
        let mut end = ending(Status::Code(1), None);
        assert_eq!(classify(end.clone()), Exit::Debug(0));
        end.ran = false;
        end.stderr = "qemu-system-x86_64: -accel hvf: invalid accelerator hvf\n".into();
        let refused = Exit::Refused {
            vmm: VMM,
            status: Status::Code(1),
            stderr: "-accel hvf: invalid accelerator hvf".into(),
        };
        assert_eq!(classify(end.clone()), refused);
        assert!(refused.infra().is_some());
    }

    #[test]
    fn every_end_has_its_class() {
        for (status, shutdown, want) in [
            (Status::Code(35), None, Exit::Debug(17)),
            (Status::Code(255), None, Exit::Debug(127)),
            (Status::Code(35), Some("guest-shutdown"), Exit::Debug(17)),
            (Status::Code(0), Some("guest-reset"), Exit::Reset),
            (Status::Code(0), Some("guest-shutdown"), Exit::PowerOff),
            (Status::Code(0), Some("guest-panic"), Exit::GuestPanic),
            (Status::Code(0), Some("host-signal"), Exit::Host(VMM)),
            (Status::Code(0), Some("host-qmp-quit"), Exit::Host(VMM)),
            (
                Status::Code(2),
                None,
                Exit::Broken {
                    vmm: VMM,
                    status: Status::Code(2),
                    stderr: String::new(),
                },
            ),
            (
                Status::Signal(6),
                None,
                Exit::Signal {
                    vmm: VMM,
                    signal: 6,
                    stderr: String::new(),
                },
            ),
        ] {
            assert_eq!(classify(ending(status, shutdown)), want, "{status:?}");
        }
    }

    #[test]
    fn being_killed_by_us_is_nobodys_fault() {
        let mut end = ending(Status::Signal(9), None);
        assert!(classify(end.clone()).infra().is_some());
        end.killed = true;
        assert_eq!(classify(end.clone()), Exit::Killed);
        assert!(classify(end.clone()).infra().is_none());
    }

    #[test]
    fn an_error_while_running_is_not_a_clean_end() {
        let mut end = ending(Status::Code(1), None);
        end.stderr = "qemu-system-x86_64: error: failed to set MSR 0x10a to 0x69\n".into();
        assert!(matches!(classify(end), Exit::Broken { .. }));
    }
}
