//! The pipelines that `ci plan` writes, as snapshots, and checked by the
//! engines' own checkers. A checker that this host lacks is skipped, and the end
//! says so. Each checker must also find a mistake that is injected.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::sync::{Arc, Mutex, PoisonError};

use kdk_ci::cache_key::{CacheInputs, key};
use kdk_ci::pipeline::{Engine, Format, Pipeline, text};
use kdk_core::failure::rendered;
use kdk_doctor::checks::find;
use kdk_doctor::pipelines::{ACTIONLINT, CHECK_JSONSCHEMA, Checker, NPM_GROOVY_LINT, SHELLCHECK};
use libtest_mimic::{Arguments, Completion, Failed, Trial as Test};

/// A run of a checker on the file of one engine.
struct Check {
    /// The name of the test.
    name: &'static str,
    /// The program.
    checker: Checker,
    /// Its arguments before the file.
    args: &'static [&'static str],
    /// The engine.
    engine: Engine,
    /// The name of the file.
    file: &'static str,
    /// A text of the file, and what it is replaced by as a mistake.
    mistake: (&'static str, &'static str),
}

const CHECKS: [Check; 5] = [
    Check {
        name: "actionlint_accepts_the_workflow",
        checker: ACTIONLINT,
        args: &["-no-color"],
        engine: Engine::Github,
        file: ".github/workflows/kdk.yml",
        mistake: ("${{ matrix.shard }}/3", "${{ matrix.shrd }}/3"),
    },
    Check {
        name: "the_schema_of_github_accepts_the_workflow",
        checker: CHECK_JSONSCHEMA,
        args: &["--builtin-schema", "vendor.github-workflows"],
        engine: Engine::Github,
        file: "kdk.yml",
        mistake: ("cancel-in-progress:", "cancel-in-progess:"),
    },
    Check {
        name: "the_schema_of_gitlab_accepts_the_pipeline",
        checker: CHECK_JSONSCHEMA,
        args: &[
            "--builtin-schema",
            "vendor.gitlab-ci",
            "--data-transform",
            "gitlab-ci",
        ],
        engine: Engine::Gitlab,
        file: ".gitlab-ci.yml",
        mistake: ("interruptible: true", "interruptable: true"),
    },
    Check {
        name: "groovy_parses_the_jenkinsfile",
        checker: NPM_GROOVY_LINT,
        args: &["--noserver", "--failon", "error"],
        engine: Engine::Jenkins,
        file: "Jenkinsfile",
        mistake: ("stages {", "stages {{"),
    },
    Check {
        name: "shellcheck_accepts_the_script_for_slurm",
        checker: SHELLCHECK,
        args: &[],
        engine: Engine::Slurm,
        file: "kdk-ci.sh",
        mistake: ("\"$0\"", "$0"),
    },
];

/// The checks that were skipped, with the reasons.
type Skipped = Arc<Mutex<Vec<String>>>;

fn main() -> ExitCode {
    let skipped = Skipped::default();
    let mut tests: Vec<Test> = CHECKS
        .into_iter()
        .map(|check| test_of(check, skipped.clone()))
        .collect();
    let own: [(&str, fn()); 4] = [
        ("each_engine_has_its_file", each_engine_has_its_file),
        (
            "a_name_that_is_no_plain_word_is_refused",
            a_name_that_is_no_plain_word_is_refused,
        ),
        (
            "a_runner_is_named_where_the_engine_wants_it",
            a_runner_is_named_where_the_engine_wants_it,
        ),
        (
            "the_plan_of_each_engine_confines_the_builds_of_its_shards",
            the_plan_of_each_engine_confines_the_builds_of_its_shards,
        ),
    ];
    for (name, run) in own {
        tests.push(Test::test(name, move || {
            run();
            Ok(())
        }));
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), tests);
    // `cargo xtask test` counts these lines.
    for line in skipped
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
    {
        println!("skipped: {line}");
    }
    conclusion.exit_code()
}

fn test_of(check: Check, skipped: Skipped) -> Test {
    Test::ignorable_test(check.name, move || {
        let Checker { program, install } = check.checker;
        if find(program).is_none() {
            let why = format!("{program} is not installed (`{install}`)");
            let line = format!("{}: {why}", check.name);
            skipped
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
            return Ok(Completion::ignored_with(why));
        }
        check
            .run()
            .map(|()| Completion::Completed)
            .map_err(Failed::from)
    })
}

impl Check {
    fn run(&self) -> Result<(), String> {
        let good = text(self.engine, &pipeline()).unwrap();
        let output = self.check(&good);
        if !output.status.success() {
            return Err(format!(
                "{} refuses the file:\n{}",
                self.checker.program,
                said(&output)
            ));
        }
        let (right, wrong) = self.mistake;
        assert!(good.contains(right), "{right}");
        let output = self.check(&good.replace(right, wrong));
        match output.status.success() {
            true => Err(format!("{} misses {wrong:?}", self.checker.program)),
            false => Ok(()),
        }
    }

    /// Runs the checker on `text`, in a folder of its own.
    fn check(&self, text: &str) -> Output {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(self.file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        Command::new(self.checker.program)
            .args(self.args)
            .arg(Path::new(self.file))
            .current_dir(dir.path())
            .output()
            .unwrap()
    }
}

fn said(output: &Output) -> String {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{out}{err}")
}

fn pipeline() -> Pipeline {
    let map = |list: &[(&str, &str)]| -> BTreeMap<String, String> {
        let own = list
            .iter()
            .map(|&(name, value)| (name.into(), value.into()));
        own.collect()
    };
    let bases = map(&[
        ("head-2014", "0011223344556677889900112233445566778899"),
        ("releng-15.1", "9988776655443322110099887766554433221100"),
    ]);
    Pipeline {
        shards: NonZeroUsize::new(3).unwrap(),
        cache: key(&CacheInputs {
            bases: bases.clone(),
            toolchain: map(&[
                ("clang", "clang version 19.1.7"),
                ("rustc", "rustc 1.95.0 (59807616e 2026-04-14)"),
            ]),
            configs: map(&[("KDK", "c0ffee"), ("KDK-LEGACY", "deadbeef")]),
        }),
        bases,
        runner: None,
        sandbox: false,
    }
}

fn each_engine_has_its_file() {
    for name in Format::NAMES {
        let Format::Pipeline(engine) = name.parse().unwrap() else {
            assert_eq!(name, "json");
            continue;
        };
        let text = text(engine, &pipeline()).unwrap();
        // No placeholder is left.
        let mut parts = text.split('@').skip(1).step_by(2);
        let left = parts.find(|part| !part.is_empty() && part.chars().all(is_of_placeholder));
        assert_eq!(left, None, "{name}");
        insta::assert_snapshot!(name, text);
    }
}

fn is_of_placeholder(c: char) -> bool {
    c.is_ascii_uppercase() || c == '_'
}

fn a_name_that_is_no_plain_word_is_refused() {
    let with = |runner: &str| Pipeline {
        runner: Some(runner.into()),
        ..pipeline()
    };
    for runner in ["a b", "", "x'", "x\ny", "$(x)"] {
        let failure = text(Engine::Github, &with(runner)).unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
    let failure = text(Engine::Gitlab, &with("$(x)")).unwrap_err();
    insta::assert_snapshot!("a_runner_that_is_no_plain_word", rendered(&failure));
}

fn a_runner_is_named_where_the_engine_wants_it() {
    let with = Pipeline {
        runner: Some("big-host".into()),
        ..pipeline()
    };
    for (engine, want, count) in [
        (Engine::Github, "runs-on: big-host\n", 3),
        (Engine::Gitlab, "  tags: [big-host]\n", 1),
        (Engine::Jenkins, "'big-host'", 3),
        (Engine::Slurm, "big-host", 0),
    ] {
        let text = text(engine, &with).unwrap();
        assert_eq!(text.matches(want).count(), count, "{engine:?}");
    }
}

fn the_plan_of_each_engine_confines_the_builds_of_its_shards() {
    for sandbox in [false, true] {
        let with = Pipeline {
            sandbox,
            ..pipeline()
        };
        let engines = [
            Engine::Github,
            Engine::Gitlab,
            Engine::Jenkins,
            Engine::Slurm,
        ];
        for engine in engines {
            let text = text(engine, &with).unwrap();
            let plans = text
                .lines()
                .filter(|line| line.contains("ci plan --format"));
            let confined = plans.filter(|line| line.contains(" --sandbox ")).count();
            assert_eq!(confined, usize::from(sandbox), "{engine:?}");
        }
    }
}
