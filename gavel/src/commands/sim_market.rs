//! `gavel sim market`: populations with costs and values of their own, in virtual time.

use std::fs;

use anyhow::Context as _;
use gavel_simulator::economy::{self, MarketReport, Population};
use serde::Serialize;

use crate::Exit;
use crate::args::SimMarketArgs;
use crate::output::Output;

/// What several populations came to.
#[derive(Debug, Serialize)]
struct Summary {
    markets: Vec<MarketReport>,
}

/// Lets the populations trade.
pub fn run(args: &SimMarketArgs, output: &Output) -> anyhow::Result<Exit> {
    let populations =
        args.population.iter().map(|path| Population::read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut markets = Vec::new();
    for population in &populations {
        let mut report = economy::run(population, args.seed)
            .with_context(|| format!("the population {} did not trade", population.name))?;
        if args.plots.is_some() {
            report.by_window = economy::sweep(population, args.seed)?;
        }
        markets.push(report);
    }
    if let Some(directory) = &args.plots {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the directory {}", directory.display()))?;
        for plot in economy::plots(&markets) {
            let path = directory.join(plot.file);
            fs::write(&path, plot.svg)
                .with_context(|| format!("cannot write {}", path.display()))?;
            output.line(format_args!("wrote {}", path.display()));
        }
    }
    let text: String = markets.iter().map(ToString::to_string).collect();
    output.summary(text.trim_end(), &Summary { markets });
    Ok(Exit::Done)
}
