//! What the caches of a pipeline depend on, read from this host.

use std::collections::BTreeMap;

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;
use kdk_doctor::tools;
use kdk_prove::guest_sources;
use kdk_series::base::{lock_name, record, resolve};

use crate::cache_key::CacheInputs;

/// Returns what the builds for the bases `names` depend on: their commits, the
/// compilers of this host, and the kernel configurations.
///
/// # Errors
/// A base has not been added, or a file cannot be read.
pub fn cache_inputs(cx: &Context, names: &[String]) -> Result<CacheInputs, Failure> {
    let mut inputs = CacheInputs::default();
    for name in names {
        let record = record::find(&cx.cache, name)?;
        let definition = record.definition()?;
        let mut say = |text: String| cx.terminal.line(&text);
        let _lock = cx.cache.lock(&lock_name(name), &say)?;
        let base = resolve::resolve(&cx.cache, &record, &definition, &mut say)?;
        inputs.bases.insert(name.clone(), base.commit);
        let bench = definition.kernel.bench.iter();
        for config in std::iter::once(&definition.kernel.config).chain(bench) {
            let digest = guest_sources::kernel_config(workspace(), config)?;
            inputs.configs.insert(config.clone(), digest);
        }
    }
    let [rustc, clang] = tools::compiler_versions();
    inputs.toolchain = BTreeMap::from([("rustc".to_owned(), rustc), ("clang".to_owned(), clang)]);
    Ok(inputs)
}
