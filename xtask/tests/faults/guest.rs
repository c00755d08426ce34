//! The guest's faults, through the whole command line.

use kdk_vm::verdict::Verdict;

use crate::fault::{Fault, ends, on_demand};
use crate::guest_faults::{AT_BOOT, IN_TESTS};

/// Returns all of them.
pub fn faults() -> Vec<Fault> {
    let in_tests = IN_TESTS.iter().map(|fault| {
        let name = format!("fault/{}", fault.name);
        let code = i32::from(!fault.verdict.is_as_expected());
        let want = ends(code, fault.detail)
            .and_says(fault.frame)
            .with(&[(&name, fault.verdict)]);
        on_demand(name.clone(), want, move |place| {
            let mut command = place.vm_test(&[&name]);
            command.args(["--timeout", "2"]);
            place.play(command)
        })
    });
    let at_boot = AT_BOOT.iter().map(|fault| {
        let name = format!("guest: {}", fault.name);
        let want = ends(4, fault.says).and_says(format!("(in phase: {})", fault.phase));
        on_demand(name, want, |place| {
            place.guest_options(&format!("fault={}", fault.name))?;
            place.play(place.vm_test(&[]))
        })
    });
    let detail = "after it had reported PASS: panic: demo: cannot unload the module";
    let test = "harness/panics-nest";
    let want = ends(1, detail).with(&[(test, Verdict::Crash)]);
    let at_end = on_demand("guest: end-panic", want, move |place| {
        place.guest_options("fault=end-panic")?;
        place.play(place.vm_test(&[test]))
    });
    in_tests.chain(at_boot).chain([at_end]).collect()
}
