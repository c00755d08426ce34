//! The option that selects a series.

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::base::record;
use kdk_series::journal;
use kdk_series::load::{self, Loaded};
use kdk_series::operation::{self, Operation};

/// The option that selects a series.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The series [default: the only one, or that of the base that was added
    /// last]
    #[arg(long, value_name = "NAME")]
    pub(crate) series: Option<String>,
}

impl Which {
    /// Returns the name of the series. Recovers the transaction of a killed run
    /// first.
    pub fn name(&self, cx: &Context) -> Result<String, Failure> {
        let name = self.chosen(cx)?;
        journal::recover(&cx.cache, &name, &|text| cx.terminal.line(&text))?;
        Ok(name)
    }

    fn chosen(&self, cx: &Context) -> Result<String, Failure> {
        if let Some(name) = &self.series {
            return Ok(name.clone());
        }
        let names = load::names()?;
        let bases = record::all(&cx.cache)?;
        let of_base = bases.iter().find(|base| names.contains(&base.name));
        match (names.as_slice(), of_base) {
            ([only], _) => Ok(only.clone()),
            (_, Some(base)) => Ok(base.name.clone()),
            ([], None) => Err(Failure::usage(
                "find a series",
                format!("{} contains none", load::folder().display()),
            )
            .help("begin one with `cargo xtask patches new ID --series BASE`")),
            (many, None) => Err(Failure::usage(
                "choose a series",
                format!("there are several: {}", many.join(", ")),
            )
            .help("choose one with --series")),
        }
    }

    /// Reads the series.
    pub fn load(&self, cx: &Context) -> Result<Loaded, Failure> {
        load::must(&self.name(cx)?)
    }

    /// Returns the name of the series with an operation in progress: the only
    /// one with such an operation, if none is named.
    pub fn name_for(
        &self,
        cx: &Context,
        is: impl Fn(&Operation) -> bool,
    ) -> Result<String, Failure> {
        let mut open = operation::all(&cx.cache)?;
        open.retain(is);
        match (&self.series, open.as_slice()) {
            (None, [only]) => Ok(only.series.clone()),
            _ => self.chosen(cx),
        }
    }
}
