//! Which series is meant.

use crate::base::record;
use crate::context::Context;
use crate::failure::Failure;
use crate::series::load::{self, Loaded};

/// Which series is meant.
#[derive(Debug, Clone, clap::Args)]
pub struct Which {
    /// The series [default: the only one, or that of the base added last]
    #[arg(long, value_name = "NAME")]
    pub series: Option<String>,
}

impl Which {
    /// The name of the series.
    pub fn name(&self, cx: &Context) -> Result<String, Failure> {
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
}
