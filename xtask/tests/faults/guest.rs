//! Faults of the guest, through the real command line.

use kdk_vm::verdict::Verdict;

use crate::fault::{Fault, ends, on_demand};
use crate::guest_faults::{AT_BOOT, IN_TESTS};

/// Returns all faults of the guest.
pub fn faults() -> Vec<Fault> {
    let in_tests = IN_TESTS.iter().map(|fault| {
        let name = format!("fault/{}", fault.name);
        let code = i32::from(!fault.verdict.is_as_expected());
        let want = ends(code, fault.detail)
            .and_says(fault.frame)
            .with(&[(&name, fault.verdict)]);
        on_demand(name.clone(), want, move |sandbox| {
            let mut command = sandbox.vm_test(&[&name]);
            command.args(["--timeout", "2"]);
            sandbox.inject(command)
        })
    });
    let at_boot = AT_BOOT.iter().map(|fault| {
        let name = format!("guest: {}", fault.name);
        let want = ends(4, fault.says).and_says(format!("(in phase: {})", fault.phase));
        on_demand(name, want, |sandbox| {
            sandbox.guest_options(&format!("fault={}", fault.name))?;
            sandbox.inject(sandbox.vm_test(&[]))
        })
    });
    let detail = "after it had reported PASS: panic: demo: cannot unload the module";
    let test = "harness/panics-nest";
    let want = ends(1, detail).with(&[(test, Verdict::Crash)]);
    let at_end = on_demand("guest: end-panic", want, move |sandbox| {
        sandbox.guest_options("fault=end-panic")?;
        sandbox.inject(sandbox.vm_test(&[test]))
    });
    in_tests.chain(at_boot).chain([at_end]).collect()
}
