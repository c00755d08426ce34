//! How a bhyve machine ended. Pure.

use crate::exit::{Ending, Exit};

/// Returns how a machine ended.
pub(crate) fn classify(ending: Ending) -> Exit {
    ending.classify(by_code)
}

/// Returns the codes are those of bhyve(8), "EXIT STATUS". A failure of bhyve
/// itself at the start also ends with 1, but with a message, and before the
/// guest's first byte.
fn by_code(ending: Ending, code: i32) -> Exit {
    match code {
        0 => Exit::Reset,
        1 if ending.ran || ending.stderr.is_empty() => Exit::PowerOff,
        2 => Exit::Halted,
        3 => Exit::TripleFault,
        _ if ending.ran => ending.broken(),
        _ => ending.refused(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bhyve::VMM;
    use crate::exit::Status;

    fn ending(status: Status) -> Ending {
        Ending {
            vmm: VMM,
            status,
            ran: true,
            shutdown: None,
            killed: false,
            stderr: String::new(),
        }
    }

    /// bhyve's end with `code`; it wrote something on standard error, as it
    /// does for every register it does not know.
    fn bhyve(code: i32, ran: bool) -> Exit {
        classify(Ending {
            ran,
            stderr: "bhyve: noise\n".into(),
            ..ending(Status::Code(code))
        })
    }

    #[test]
    fn bhyves_exit_codes() {
        for (code, want) in [
            (0, Exit::Reset),
            (1, Exit::PowerOff),
            (2, Exit::Halted),
            (3, Exit::TripleFault),
        ] {
            assert_eq!(bhyve(code, true), want, "{code}");
            assert!(want.infra().is_none(), "{code}");
        }
        for code in [4, 5, 64, 71, 100] {
            assert!(matches!(bhyve(code, true), Exit::Broken { .. }), "{code}");
            assert!(bhyve(code, true).infra().is_some(), "{code}");
        }
    }

    #[test]
    fn bhyve_that_refuses_is_distinguished_from_a_guest_that_powers_off() {
        for code in [1, 4, 64, 71] {
            let exit = bhyve(code, false);
            assert!(matches!(exit, Exit::Refused { .. }), "{code}: {exit}");
        }
        // A guest without a word that ends in order.
        let quiet = Ending {
            ran: false,
            ..ending(Status::Code(1))
        };
        assert_eq!(classify(quiet), Exit::PowerOff);
        let error = bhyve(4, false).infra().unwrap();
        assert_eq!(
            error.to_string(),
            "bhyve did not start the machine (exit status 4): bhyve: noise"
        );
        let killed = ending(Status::Signal(9));
        assert_eq!(
            classify(killed).infra().unwrap().to_string(),
            "bhyve died of signal 9"
        );
    }
}
