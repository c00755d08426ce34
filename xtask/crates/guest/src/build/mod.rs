//! Builds: kernels of both generations, the loader, the guests' crates. Each
//! build collects its inputs, looks up the store, and works only if the store
//! has no result.

pub mod compiled;
pub mod demo;
pub mod diagnose;
pub mod digest;
pub mod guest;
pub mod image;
pub mod job;
pub mod kernel;
pub mod kmod;
pub mod known_inputs;
pub mod legacy;
pub mod loader;
pub mod make_py;
pub mod sandbox;
pub mod state;
pub mod userland;

use std::path::{Path, PathBuf};

use kdk_vm::interrupt::Interrupt;

use self::sandbox::{Confinement, Sandbox};
use kdk_core::cache_dir::CacheDir;
use kdk_core::context::Context;
use kdk_core::event::{Event, Phase, Sink};
use kdk_core::failure::Failure;
use kdk_core::store::{Entry, Inputs, Lookup, Pending, Store};

/// A result in the store, and whether it was built now.
#[derive(Debug)]
pub struct Built {
    /// The entry in the store.
    pub entry: Entry,
    /// Whether it existed before.
    pub cached: bool,
    /// The reason why it was built, or `unchanged`.
    pub why: String,
}

/// What every build needs.
pub struct Builder<'a> {
    /// The cache folder of this user.
    pub cache: &'a CacheDir,
    /// The artefact store in the cache folder.
    pub store: &'a Store,
    /// The receiver of events.
    pub sink: &'a dyn Sink,
    /// The flag that stops builds.
    pub interrupt: &'a Interrupt,
    /// The folder of the logs of this run.
    pub logs: &'a Path,
    /// The number of compilers that run side by side.
    pub jobs: usize,
    /// What confines the programs that run the tree's makefiles, or read its
    /// sources; none if they are not confined.
    pub sandbox: Option<Sandbox>,
}

impl<'a> Builder<'a> {
    /// Returns a builder that uses all processors of the host. `logs` is the
    /// folder of the logs of this run.
    pub fn new(cx: &'a Context, sink: &'a dyn Sink, logs: &'a Path) -> Self {
        Self {
            cache: &cx.cache,
            store: &cx.store,
            sink,
            interrupt: &cx.interrupt,
            logs,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            sandbox: None,
        }
    }

    /// Returns the same builder, whose builds are confined if `is_confined`.
    ///
    /// # Errors
    /// This host cannot confine them.
    pub fn confined(mut self, is_confined: bool) -> Result<Self, Failure> {
        if is_confined {
            self.sandbox = Some(Sandbox::find()?);
        }
        Ok(self)
    }

    /// Returns the folder of the object directories.
    pub fn obj(&self) -> PathBuf {
        match self.sandbox {
            Some(_) => self.cache.confined_obj(),
            None => self.cache.obj(),
        }
    }

    /// Returns the cache folder of ccache(1).
    pub fn ccache(&self) -> PathBuf {
        match self.sandbox {
            Some(_) => self.cache.confined().join("ccache"),
            None => self.cache.ccache(),
        }
    }

    /// Returns `inputs` as inputs of this builder. What a confined build makes
    /// may be of other content than its inputs say, and is never used by builds
    /// that are not confined.
    fn own(&self, inputs: &Inputs) -> Inputs {
        let mut own = inputs.clone();
        if self.sandbox.is_some() {
            own.bytes("confinement", "bubblewrap");
        }
        own
    }

    /// Returns the confinement of a job, if builds are confined.
    pub fn confine(&self, readable: Vec<PathBuf>, writable: Vec<PathBuf>) -> Option<Confinement> {
        let sandbox = self.sandbox.as_ref()?;
        Some(sandbox.confine(readable, writable))
    }

    /// Emits a message of the phase `phase`.
    pub fn say(&self, phase: Phase, text: impl Into<String>) {
        self.sink.emit(Event::Line {
            phase,
            text: text.into(),
        });
    }

    /// Returns the result of `inputs` in the store. If there is none, `make`
    /// builds it in a folder. `what` is printed with the reason; `detail` is
    /// [`Store::lookup`]'s.
    pub fn obtain(
        &self,
        phase: Phase,
        what: &str,
        inputs: &Inputs,
        detail: &dyn Fn(&str, &str, &str) -> Vec<String>,
        make: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<Built, Failure> {
        let say = |why: &str| self.say(phase, format!("{what}: {why}"));
        let inputs = &self.own(inputs);
        self.answer(
            self.store.lookup(inputs, detail)?,
            inputs,
            &say,
            |pending| make(pending.path()),
        )
    }

    /// Returns the result of `inputs` and of files that only `make` knows: it
    /// returns the names of those that it read. `digest` is
    /// [`Store::with_dependencies`]'s. `begin` gets the reason before a build.
    ///
    /// # Errors
    /// The build fails, or a file that it read has no digest: a later change
    /// of that file would go unnoticed.
    pub fn obtain_tracked(
        &self,
        inputs: &Inputs,
        digest: &dyn Fn(&str) -> Option<String>,
        begin: &dyn Fn(&str),
        make: impl FnOnce(&Path) -> Result<Vec<String>, Failure>,
    ) -> Result<Built, Failure> {
        let inputs = &self.own(inputs);
        let all = self.store.with_dependencies(inputs, digest);
        let found = self.store.lookup(&all, &|_, _, _| Vec::new())?;
        let what = &inputs.kind;
        self.answer(found, inputs, begin, |pending| {
            let mut read = inputs.clone();
            for name in make(pending.path())? {
                if inputs.digests.contains_key(&name) {
                    continue;
                }
                let digest = digest(&name).ok_or_else(|| {
                    Failure::infra(
                        format!("store {what}"),
                        format!("cannot read {name}, which it depends on"),
                    )
                    .help("do not change files during a build; run the command again")
                })?;
                read.digest(name, digest);
            }
            pending.depends_on(read);
            Ok(())
        })
    }

    fn answer(
        &self,
        found: Lookup,
        inputs: &Inputs,
        begin: &dyn Fn(&str),
        make: impl FnOnce(&mut Pending) -> Result<(), Failure>,
    ) -> Result<Built, Failure> {
        let why = match found {
            Lookup::Hit(entry) => match entry.damage() {
                None => {
                    return Ok(Built {
                        entry,
                        cached: true,
                        why: "unchanged".into(),
                    });
                }
                Some(what) => {
                    self.store.discard(entry)?;
                    self.damaged(inputs, &what)?
                }
            },
            Lookup::Miss { why } => why,
        };
        begin(&why);
        let mut pending = self.store.begin(inputs)?;
        make(&mut pending)?;
        Ok(Built {
            entry: pending.publish()?,
            cached: false,
            why,
        })
    }

    /// Returns why a damaged result, which was removed, is made anew.
    ///
    /// # Errors
    /// Fails for a kernel or a module: an earlier run may have blamed its
    /// damage on the tree.
    fn damaged(&self, inputs: &Inputs, what: &str) -> Result<String, Failure> {
        let name = match inputs.kind.as_str() {
            "kernel" => "the kernel",
            "kmod" => "kdk.ko",
            "demo" => "the demo guest",
            "state" => "the saved machine",
            kind => kind,
        };
        let what = format!("{name} is damaged: {what}");
        if matches!(name, "the kernel" | "kdk.ko" | "the demo guest") {
            return Err(Failure::build(format!("use {name} in the store"), what)
                .help("the damaged one was removed: run the command again to build it anew"));
        }
        Ok(what)
    }

    /// Returns the path of the log `name` of this run.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Silent;

    impl Sink for Silent {
        fn emit(&self, _: Event) {}
    }

    fn builder<'a>(
        store: &'a Store,
        cache: &'a CacheDir,
        interrupt: &'a Interrupt,
        sandbox: Option<Sandbox>,
    ) -> Builder<'a> {
        Builder {
            cache,
            store,
            sink: &Silent,
            interrupt,
            logs: Path::new("/nonexistent"),
            jobs: 1,
            sandbox,
        }
    }

    #[test]
    fn a_dependency_without_a_digest_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        let cache = CacheDir::at(dir.path().join("home"), &interrupt).unwrap();
        let store = Store::new(&cache);
        let builder = builder(&store, &cache, &interrupt, None);
        let mut inputs = Inputs::new("object", "main");
        inputs.bytes("flags", "-O2");
        let digest = |name: &str| (name == "a.h").then(|| "1".to_owned());
        let obtain = |read: &[&str]| {
            let read = read.iter().map(|&name| name.to_owned()).collect();
            builder.obtain_tracked(&inputs, &digest, &|_| {}, |_| Ok(read))
        };
        let failure = obtain(&["a.h", "gone.h"]).unwrap_err();
        assert!(failure.in_one_line().contains("gone.h"), "{failure}");
        let read = |built: Built| built.entry.inputs().unwrap().digests.into_keys();
        let names: Vec<String> = read(obtain(&["a.h", "flags"]).unwrap()).collect();
        assert_eq!(names, ["a.h", "flags"]);
    }

    #[test]
    fn a_confined_build_leaves_nothing_for_other_builds() {
        let dir = tempfile::tempdir().unwrap();
        let interrupt = Interrupt::new();
        let cache = CacheDir::at(dir.path().join("home"), &interrupt).unwrap();
        let store = Store::new(&cache);
        let builder = |sandbox| builder(&store, &cache, &interrupt, sandbox);
        let (confined, plain) = (builder(Some(Sandbox::fake())), builder(None));
        for (own, other) in [
            (confined.obj(), plain.obj()),
            (confined.ccache(), plain.ccache()),
        ] {
            assert!(!own.starts_with(&other) && !other.starts_with(&own));
        }
        let mut inputs = Inputs::new("object", "main");
        inputs.bytes("flags", "-O2");
        let is_cached = |builder: &Builder<'_>| {
            let unknown = |_: &str, _: &str, _: &str| Vec::new();
            let built = builder.obtain(Phase::Kernel, "build", &inputs, &unknown, |_| Ok(()));
            built.unwrap().cached
        };
        let runs = [&confined, &plain, &confined, &plain].map(is_cached);
        assert_eq!(runs, [false, false, true, true]);
        inputs.bytes("flags", "-O1");
        let digest = |_: &str| Some("1".to_owned());
        let is_cached = |builder: &Builder<'_>| {
            let read = vec!["a.h".to_owned()];
            let built = builder.obtain_tracked(&inputs, &digest, &|_| {}, |_| Ok(read));
            built.unwrap().cached
        };
        let runs = [&confined, &plain, &confined, &plain].map(is_cached);
        assert_eq!(runs, [false, false, true, true]);
    }
}
