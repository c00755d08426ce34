//! A suite: a program whose tests run in processes of their own.

mod child;
mod forked;
mod settling;

pub use child::{must, note};
pub use forked::Forked;
pub use settling::settles;

use crate::{Descriptor, STDOUT};
use alloc::string::String;
use kdk_harness::{Answer, Registry, Test, Where};

/// What a suite exits with when it was called in another way than with `-l`
/// or `-r NAME`, or could not answer.
pub const USAGE: i32 = 64;
const UNHEARD: i32 = 74;

/// Makes this program a suite of all tests that [`kdk_harness::kdk_test!`]
/// registers in it.
#[macro_export]
macro_rules! suite_main {
    () => {
        const _: () = {
            fn main(arguments: &[$crate::start::Argument]) -> i32 {
                $crate::suite::run(linker_set(), arguments)
            }
            $crate::main!(main);

            #[allow(unsafe_code)]
            fn linker_set() -> &'static [&'static kdk_harness::Test] {
                unsafe extern "C" {
                    #[link_name = "__start_set_kdk_tests"]
                    static START: [&'static kdk_harness::Test; 0];
                    #[link_name = "__stop_set_kdk_tests"]
                    static STOP: [&'static kdk_harness::Test; 0];
                }
                // SAFETY: the linker puts these names around the section that
                // holds nothing but such references.
                unsafe {
                    let start = (&raw const START).cast::<&kdk_harness::Test>();
                    let stop = (&raw const STOP).cast::<&kdk_harness::Test>();
                    core::slice::from_raw_parts(start, stop.offset_from_unsigned(start))
                }
            }
        };
    };
}

/// Answers as init asks: `-l` for the list, `-r NAME` to run; the exit value.
pub fn run(tests: &[&'static Test], arguments: &[String]) -> i32 {
    let mut command = String::new();
    match arguments.get(1..).unwrap_or_default() {
        [list] if list == "-l" => command.push_str("list"),
        [run, name] if run == "-r" => {
            command.push_str("run ");
            command.push_str(name);
        }
        _ => {
            crate::complain!("usage: a suite takes -l, or -r and the name of a test");
            return USAGE;
        }
    }
    let registry = Registry::new(tests);
    let mut answer = Answer::to(&registry, Where::Userland, &command);
    let mut platform = Forked::new();
    let mut chunk = String::new();
    while let Ok(true) = answer.next_chunk(&mut platform, &mut chunk) {
        if let Err(errno) = STDOUT.write_all(chunk.as_bytes()) {
            crate::complain!("cannot write the results: {errno}");
            return UNHEARD;
        }
        chunk.clear();
    }
    0
}
