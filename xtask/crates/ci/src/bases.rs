//! What the caches of a pipeline depend on, read from this host.

use std::collections::BTreeMap;

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_core::workspace::workspace;
use kdk_doctor::tools;
use kdk_prove::guest_sources;
use kdk_series::applied::lock_base;

use crate::cache_key::CacheInputs;

/// Returns what the builds for the bases `names` depend on: their commits, the
/// compilers of this host, and the kernel configurations.
///
/// # Errors
/// A base has not been added, or a file cannot be read.
pub fn cache_inputs(cx: &Context, names: &[String]) -> Result<CacheInputs, Failure> {
    let mut inputs = CacheInputs::default();
    for name in names {
        let base = lock_base(&cx.cache, name, &|text| cx.terminal.line(&text))?;
        let kernel = &base.definition.kernel;
        for config in std::iter::once(&kernel.config).chain(&kernel.bench) {
            let digest = guest_sources::kernel_config(workspace(), config)?;
            inputs.configs.insert(config.clone(), digest);
        }
        inputs.bases.insert(name.clone(), base.resolved.commit);
    }
    let [rustc, clang] = tools::compiler_versions();
    inputs.toolchain = BTreeMap::from([("rustc".to_owned(), rustc), ("clang".to_owned(), clang)]);
    Ok(inputs)
}
