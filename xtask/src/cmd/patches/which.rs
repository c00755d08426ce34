//! Which series is meant.

use kdk_core::context::Context;
use kdk_core::failure::Failure;
use kdk_series::base::record;
use kdk_series::journal;
use kdk_series::load::{self, Loaded};
use kdk_series::operation::{self, Operation};

/// Which series is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The series [default: the only one, or that of the base added last]
    #[arg(long, value_name = "NAME")]
    pub series: Option<String>,
}

impl Which {
    /// The name of the series, once what a killed run was writing of it is
    /// there.
    pub fn name(&self, cx: &Context) -> Result<String, Failure> {
        let name = self.chosen(cx)?;
        journal::recover(&cx.home, &name, &|text| cx.terminal.line(&text))?;
        Ok(name)
    }

    fn chosen(&self, cx: &Context) -> Result<String, Failure> {
        if let Some(name) = &self.series {
            return Ok(name.clone());
        }
        let names = load::names()?;
        let bases = record::all(&cx.home)?;
        let of_base = bases.iter().find(|base| names.contains(&base.name));
        match (names.as_slice(), of_base) {
            ([only], _) => Ok(only.clone()),
            (_, Some(base)) => Ok(base.name.clone()),
            ([], None) => Err(Failure::usage(
                "find a series",
                format!("there is none in {}", load::folder().display()),
            )
            .help("begin one with `cargo xtask patches new ID --series BASE`")),
            (many, None) => Err(Failure::usage(
                "choose a series",
                format!("there are several: {}", many.join(", ")),
            )
            .help("name one with --series")),
        }
    }

    /// The series itself.
    pub fn load(&self, cx: &Context) -> Result<Loaded, Failure> {
        load::must(&self.name(cx)?)
    }

    /// The name of the series, which has a change on the way: the only one
    /// with such a change, if none is named.
    pub fn name_for(
        &self,
        cx: &Context,
        is: impl Fn(&Operation) -> bool,
    ) -> Result<String, Failure> {
        let mut open = operation::all(&cx.home)?;
        open.retain(is);
        match (&self.series, open.as_slice()) {
            (None, [only]) => Ok(only.series.clone()),
            _ => self.chosen(cx),
        }
    }
}
