//! Defines the macro that registers tests.

/// Registers a test in the linker set `set_kdk_tests` (named and laid out as
/// FreeBSD's `<sys/linker_set.h>` does: pointers to the entries), with options
/// named after the fields of [`Test`](crate::Test).
///
/// ```
/// use kdk_harness::{Expect, TestResult, kdk_test};
///
/// fn excludes() -> TestResult {
///     Ok(())
/// }
/// kdk_test!("kpi/mutex-excludes", excludes);
/// kdk_test!(
///     "kpi/mutex-fair",
///     || Err(kdk_harness::Stop::Fail("it starves")),
///     limit_ms = 2000,
///     cpus = &[1, 4],
///     mem_mib = 1024,
///     expect = Expect::Fail("mutexes are not fair"),
///     default = false,
///     leak_types = &["temp"],
/// );
/// ```
///
/// A name that is not `suite/case`, an unknown option and a wrong type are
/// compile errors:
///
/// ```compile_fail,E0080
/// kdk_harness::kdk_test!("Not A Name", || Ok(()));
/// ```
/// ```compile_fail,E0080
/// kdk_harness::kdk_test!("a/b", || Ok(()), limit_ms = 0);
/// ```
/// ```compile_fail,E0080
/// kdk_harness::kdk_test!("a/b", || Ok(()), cpus = &[4, 1]);
/// ```
/// ```compile_fail,E0609
/// kdk_harness::kdk_test!("a/b", || Ok(()), limit_s = 2);
/// ```
#[macro_export]
macro_rules! kdk_test {
    ($name:expr, $run:expr $(, $option:ident = $value:expr)* $(,)?) => {
        const _: () = {
            static TEST: $crate::Test = {
                #[allow(unused_mut)]
                let mut test = $crate::Test::new($name, $run);
                $(test.$option = $value;)*
                test.checked()
            };
            // Mach-O hosts have no such section names, and do not use the set.
            #[allow(unsafe_code)]
            #[used]
            #[cfg_attr(
                not(target_vendor = "apple"),
                // SAFETY: the section contains only these pointers.
                unsafe(link_section = "set_kdk_tests")
            )]
            static ENTRY: &$crate::Test = &TEST;
        };
    };
}
