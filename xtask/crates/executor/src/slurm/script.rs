//! The batch script of a job array, and how its tasks report their exit.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use kdk_core::failure::Failure;

use crate::task::Task;

/// The first lines of the script.
const HEAD: &str = "#!/bin/sh
# A job array of kdk: each task runs one command, which creates one file.
";

/// What follows the name of the folder. A task that is started again (its node
/// was lost, or the job was requeued) begins anew, unless it is done.
const BEGIN: &str = r#"
index=$SLURM_ARRAY_TASK_ID
rm -f "$state/$index.exit"
ended() {
    found=no
    [ -e "$result" ] && found=yes
    echo "$1 $found $SLURMD_NODENAME" >"$state/$index.exit.$SLURM_JOB_ID" &&
        mv "$state/$index.exit.$SLURM_JOB_ID" "$state/$index.exit"
    exit "$1"
}
case $index in
"#;

/// The end of the script.
const TAIL: &str = r#"*)
    echo "kdk: there is no task $index" >&2
    exit 2
    ;;
esac
[ -e "$result" ] && ended 0
cd "$dir" || ended 5
"$@"
ended $?
"#;

/// How a command ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// The exit code.
    pub code: i32,
    /// Whether the result existed on the node.
    pub has_result: bool,
    /// The node that it ran on.
    pub node: String,
}

/// Returns the batch script of `tasks`, which write how they end into `state`.
///
/// # Errors
/// A word has the byte 0, which no command line can have.
pub fn text(tasks: &[&Task], state: &Path) -> Result<Vec<u8>, Failure> {
    let mut text = HEAD.as_bytes().to_vec();
    assign(&mut text, "state", state.as_os_str())?;
    text.extend_from_slice(BEGIN.as_bytes());
    for (index, task) in tasks.iter().enumerate() {
        text.extend_from_slice(format!("{index})\n    # {}\n    ", task.name).as_bytes());
        assign(&mut text, "result", task.result.as_os_str())?;
        text.extend_from_slice(b"\n    ");
        assign(&mut text, "dir", task.dir.as_os_str())?;
        for (name, value) in &task.env {
            text.extend_from_slice(b"\n    export ");
            assign(&mut text, name, value)?;
        }
        text.extend_from_slice(b"\n    set --");
        for word in &task.argv {
            text.push(b' ');
            text.extend_from_slice(&quoted(word)?);
        }
        text.extend_from_slice(b"\n    ;;\n");
    }
    text.extend_from_slice(TAIL.as_bytes());
    Ok(text)
}

fn assign(text: &mut Vec<u8>, name: &str, value: &OsStr) -> Result<(), Failure> {
    text.extend_from_slice(name.as_bytes());
    text.push(b'=');
    text.extend_from_slice(&quoted(value)?);
    Ok(())
}

fn quoted(word: &OsStr) -> Result<Vec<u8>, Failure> {
    shlex::bytes::try_quote(word.as_bytes())
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| {
            let what = format!("{} has the byte 0", word.display());
            Failure::infra("submit tasks to Slurm", what)
        })
}

/// Returns the file in which the task `index` writes how it ended.
pub fn exit_path(state: &Path, index: usize) -> PathBuf {
    state.join(format!("{index}.exit"))
}

/// Reads how the task `index` ended; none if it did not end by itself.
pub fn exit(state: &Path, index: usize) -> Option<Exit> {
    let text = fs::read_to_string(exit_path(state, index)).ok()?;
    let mut words = text.split_whitespace();
    Some(Exit {
        code: words.next()?.parse().ok()?,
        has_result: words.next()? == "yes",
        node: words.next().unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;
    use std::process::Command;

    use super::*;

    fn task(dir: &Path, name: &str, argv: &[&str]) -> Task {
        Task {
            name: name.into(),
            argv: argv.iter().map(Into::into).collect(),
            dir: dir.to_path_buf(),
            env: vec![("KDK_HOME".into(), "/c a/$x".into())],
            result: dir.join(format!("{name} result")),
        }
    }

    #[test]
    fn the_script_of_two_tasks() {
        let dir = Path::new("/cache/it's");
        let (one, two) = (
            task(dir, "a/one", &["/bin/kdk", "prove", "--base", "x y"]),
            task(dir, "two", &["/bin/kdk", "$(reboot)", ""]),
        );
        let script = text(&[&one, &two], Path::new("/cache/executor/1")).unwrap();
        insta::assert_snapshot!(String::from_utf8(script).unwrap());
    }

    /// Runs the script as Slurm does, and returns the exit code.
    fn run(script: &[u8], dir: &Path, index: usize) -> i32 {
        let path = dir.join("script");
        fs::write(&path, script).unwrap();
        let status = Command::new("/bin/sh")
            .arg(path)
            .env("SLURM_ARRAY_TASK_ID", index.to_string())
            .env("SLURM_JOB_ID", "7")
            .env("SLURMD_NODENAME", "n1")
            .status()
            .unwrap();
        status.code().unwrap()
    }

    #[test]
    fn every_word_arrives_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut words = [
            "a b",
            "",
            "'",
            "\"$HOME\"",
            "`id`",
            "*",
            "-n",
            "x\ny",
            "\\",
            "é",
        ]
        .map(std::ffi::OsString::from)
        .to_vec();
        words.push(std::ffi::OsString::from_vec(vec![0xff, b'\'', 0xfe]));
        let mut task = task(
            dir.path(),
            "words",
            &[
                "/bin/sh",
                "-c",
                "printf '%s\\0' \"$@\" \"$KDK_HOME\" \"$PWD\" >\"$0\"",
            ],
        );
        task.argv.push(task.result.clone().into());
        task.argv.extend(words.iter().cloned());
        let script = text(&[&task], dir.path()).unwrap();
        assert_eq!(run(&script, dir.path(), 0), 0);
        let written = fs::read(&task.result).unwrap();
        let mut want: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        want.extend([&b"/c a/$x"[..], dir.path().as_os_str().as_bytes(), b""]);
        assert_eq!(written.split(|byte| *byte == 0).collect::<Vec<_>>(), want);
    }

    #[test]
    fn the_script_writes_how_a_command_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        let fails = task(path, "fails", &["/bin/sh", "-c", "exit 3"]);
        let mut works = task(path, "works", &["/bin/sh", "-c", ": >\"$0\""]);
        works.argv.push(works.result.clone().into());
        // It is done already, and its command would fail.
        let done = task(path, "done", &["/bin/sh", "-c", "exit 3"]);
        fs::write(&done.result, "").unwrap();
        let lost = Task {
            dir: path.join("absent"),
            ..task(path, "lost", &["true"])
        };
        let killed = task(path, "killed", &["/bin/sh", "-c", "kill -9 $PPID"]);
        let tasks = [&fails, &works, &done, &lost, &killed];
        let script = text(&tasks, path).unwrap();
        for (index, code, has_result) in [(0, 3, false), (1, 0, true), (2, 0, true), (3, 5, false)]
        {
            assert_eq!(run(&script, path, index), code, "{index}");
            let want = Exit {
                code,
                has_result,
                node: "n1".into(),
            };
            assert_eq!(exit(path, index), Some(want), "{index}");
        }
        // What an earlier start wrote is gone when the task is killed.
        fs::write(exit_path(path, 4), "0 no n1").unwrap();
        let path_of_script = path.join("script");
        fs::write(&path_of_script, &script).unwrap();
        let status = Command::new("/bin/sh")
            .arg(path_of_script)
            .env("SLURM_ARRAY_TASK_ID", "4")
            .status()
            .unwrap();
        assert_eq!(status.code(), None);
        assert_eq!(exit(path, 4), None);
        assert_eq!(run(&script, path, 5), 2);
    }

    #[test]
    fn a_word_with_the_byte_0_is_refused() {
        let bad = task(Path::new("/x"), "bad", &["a\0b"]);
        let failure = text(&[&bad], Path::new("/x")).unwrap_err();
        assert_eq!(
            failure.in_one_line(),
            "could not submit tasks to Slurm: a\0b has the byte 0"
        );
    }
}
