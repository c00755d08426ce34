//! Injects faults of the protocol into answers.

use kdk_harness::{Command, parse};

/// The fault that is injected into an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// The answer is unchanged.
    None,
    /// The plan is left out.
    NoPlan,
    /// The result has another name.
    WrongName,
    /// The result is sent twice.
    DuplicateResult,
    /// More lines follow the end.
    AfterDone,
}

impl Injection {
    /// Returns the fault for the answer to `line`, by the name of its test.
    pub fn for_line(line: &str) -> Self {
        match parse(line) {
            Ok(Command::Run("fault/no-plan")) => Self::NoPlan,
            Ok(Command::Run("fault/wrong-name")) => Self::WrongName,
            Ok(Command::Run("fault/duplicate-result")) => Self::DuplicateResult,
            Ok(Command::Run("fault/after-done")) => Self::AfterDone,
            _ => Self::None,
        }
    }

    /// Sends `text`, complete lines of an answer, with the fault.
    pub fn send(self, text: &str, send: &mut dyn FnMut(&str)) {
        for line in text.split_inclusive('\n') {
            let is_result = line.starts_with("ok ") || line.starts_with("not ok ");
            match self {
                Self::NoPlan if line.starts_with("1..") => {}
                Self::WrongName if is_result => send("ok 1 fault/somebody-else\n"),
                Self::DuplicateResult if is_result => {
                    send(line);
                    send(line);
                }
                Self::AfterDone if line.starts_with("# done") => {
                    send(line);
                    send("not ok 2 fault/after-done\nand more after the end\n");
                }
                _ => send(line),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_injected_by_name() {
        for (name, faulty) in [
            ("no-plan", "# start a/b\nok 1 a/b\n# done 1\n"),
            (
                "wrong-name",
                "# start a/b\n1..1\nok 1 fault/somebody-else\n# done 1\n",
            ),
            (
                "duplicate-result",
                "# start a/b\n1..1\nok 1 a/b\nok 1 a/b\n# done 1\n",
            ),
            (
                "after-done",
                "# start a/b\n1..1\nok 1 a/b\n# done 1\nnot ok 2 fault/after-done\nand more after the end\n",
            ),
            ("panic", "# start a/b\n1..1\nok 1 a/b\n# done 1\n"),
        ] {
            let injection = Injection::for_line(&format!("run fault/{name}\n"));
            let mut sent = String::new();
            for chunk in ["# start a/b\n1..1\n", "ok 1 a/b\n# done 1\n"] {
                injection.send(chunk, &mut |text| sent.push_str(text));
            }
            assert_eq!(sent, faulty, "{name}");
        }
        assert_eq!(Injection::for_line("list"), Injection::None);
    }
}
