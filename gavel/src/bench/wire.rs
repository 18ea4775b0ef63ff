//! `gavel bench wire`: what a round trip costs, beside what it cannot cost less than.
//!
//! Everything is measured in one run, in turns: a slice of the bare echo, a slice of the bare commit,
//! a slice of the exchange, and again. What else the machine does meanwhile then hits all of them.

mod echo;
mod idle;
mod market;
mod paced;
mod report;
mod signed;
mod threads;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use gavel_sequencer::Layout;

use crate::Exit;
use crate::args::LayoutArg;
use crate::bench::bare::Store;
use crate::bench::rates::Rates;
use crate::bench::wire::echo::Echo;
use crate::bench::wire::market::Market;
use crate::bench::wire::report::{LayoutFigures, Report, Signed};
use crate::output::Output;

/// Turns that each measurement takes.
const TURNS: u32 = 5;

/// Connections of the throughput measurements.
const CONNECTIONS: usize = 64;

/// Requests without an answer per connection, in the throughput measurements.
const IN_FLIGHT: usize = 32;

/// What a bare commit inserts: about as many bytes as the record of one command has.
const ROW: [u8; 200] = [7; 200];

/// Arguments of `gavel bench wire`.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:

  gavel bench wire --json | tail -1
  gavel bench wire --only updates --only raw-throughput --layout inline --seconds 10")]
pub struct WireArgs {
    /// How long each measurement takes, in seconds.
    #[arg(long, default_value_t = 3.0, value_parser = seconds)]
    pub seconds: f64,
    /// Measure only this; may be repeated.
    #[arg(long)]
    pub only: Vec<Measurement>,
    /// Measure only this layout.
    #[arg(long)]
    pub layout: Option<LayoutArg>,
    /// Where to make the temporary journals: on the disk that counts [default: the system's place
    /// for temporary files].
    #[arg(long)]
    pub dir: Option<PathBuf>,
}

/// Something to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Measurement {
    /// A bare QUIC echo.
    RawEcho,
    /// One bare durable commit of the same store.
    BareCommit,
    /// Command sent to `Sequenced` received.
    Sequenced,
    /// Command sent to `Accepted` received, durable.
    Durable,
    /// RFQ sent to `Awarded` received, durable, against standing quotes.
    Window0Award,
    /// Bare QUIC echoes per second.
    RawThroughput,
    /// Durable standing-quote updates per second.
    Updates,
    /// Durable standing-quote updates at a part of the maximum, open loop.
    Rates,
    /// Signed sealed quotes per second, beside bare checks of signatures.
    Signed,
    /// What an idle exchange costs.
    Idle,
}

/// Measures.
pub fn wire(args: &WireArgs, output: &Output) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.context("cannot start the runtime")?.block_on(measure(args, output))?;
    output.summary(report.table(), &report);
    Ok(Exit::Done)
}

/// Reads a number of seconds.
pub fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=3_600.0).contains(&seconds) => Ok(seconds),
        Ok(_) | Err(_) => Err("expected a number of seconds between 0.01 and 3600".into()),
    }
}

async fn measure(args: &WireArgs, output: &Output) -> anyhow::Result<Report> {
    let folder = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let folder = folder.context("cannot make a temporary directory")?;
    let mut report = Report::new(folder.path(), args.seconds);
    let mut bench = Bench::start(args, folder.path()).await?;
    output.line(format!("measuring, {} s each…", args.seconds));
    for _ in 0..TURNS {
        bench.take_turn(&mut report).await?;
    }
    if args.measures(Measurement::Rates) {
        bench.offer_rates(&mut report).await?;
    }
    bench.stop().await?;
    report.compare();
    if args.measures(Measurement::Idle) {
        report.idle = Some(idle::measure(folder.path(), Duration::from_secs_f64(args.seconds))?);
    }
    Ok(report)
}

impl WireArgs {
    fn measures(&self, measurement: Measurement) -> bool {
        self.only.is_empty() || self.only.contains(&measurement)
    }

    /// Returns the exchanges that are needed.
    fn layouts(&self) -> Vec<Layout> {
        let needed = [
            Measurement::Sequenced,
            Measurement::Durable,
            Measurement::Window0Award,
            Measurement::Updates,
            Measurement::Rates,
            Measurement::Signed,
        ];
        match (needed.iter().any(|&needed| self.measures(needed)), self.layout) {
            (false, _) => Vec::new(),
            (true, Some(layout)) => vec![layout.into()],
            (true, None) => vec![Layout::Inline, Layout::Thread],
        }
    }
}

/// Everything that is measured, running.
struct Bench<'a> {
    args: &'a WireArgs,
    /// How long one measurement's part of one turn takes.
    slice: Duration,
    echo: Echo,
    store: Store,
    markets: Vec<Market>,
}

impl<'a> Bench<'a> {
    async fn start(args: &'a WireArgs, folder: &std::path::Path) -> anyhow::Result<Self> {
        let slice = Duration::from_secs_f64(args.seconds) / TURNS;
        let (echo, store) = (Echo::start().await?, Store::open(folder).await?);
        let mut markets = Vec::new();
        for layout in args.layouts() {
            let market = Market::start(folder, layout).await;
            markets.push(market.context("cannot start the exchange under test")?);
        }
        Ok(Self { args, slice, echo, store, markets })
    }

    async fn take_turn(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let Self { args, slice, echo, store, markets } = self;
        let slice = *slice;
        if args.measures(Measurement::RawEcho) {
            let raw = report.raw_echo.get_or_insert_default();
            raw.of_a_slice(slice, async || echo.round_trip().await).await?;
        }
        if args.measures(Measurement::BareCommit) {
            let bare = report.bare_commit.get_or_insert_default();
            bare.of_a_slice(slice, async || store.commit(&ROW).await).await?;
        }
        for market in markets.iter_mut() {
            let figures = report.of(market.layout());
            take_turn_of_market(args, slice, market, figures).await?;
        }
        if args.measures(Measurement::RawThroughput) {
            let rate = echo.throughput(CONNECTIONS, IN_FLIGHT, slice).await?;
            report.raw_echo_throughput_per_s.get_or_insert_default().push(rate);
        }
        // Rates are parts of the maximum.
        let updates = args.measures(Measurement::Updates) || args.measures(Measurement::Rates);
        for market in markets.iter_mut().filter(|_| updates) {
            let rate = market.updates(CONNECTIONS, IN_FLIGHT, slice).await?;
            let figures = report.of(market.layout());
            figures.durable_updates_per_s.get_or_insert_default().push(rate);
        }
        if args.measures(Measurement::Signed) {
            self.take_turn_of_signed(report).await?;
        }
        Ok(())
    }

    async fn take_turn_of_signed(&mut self, report: &mut Report) -> anyhow::Result<()> {
        let (bare, cores) = signed::bare_checks(self.slice)?;
        let signed = report.signed.get_or_insert_with(|| Signed::on(cores));
        signed.bare_checks_per_s.push(bare);
        for market in &mut self.markets {
            let rate = market.signed_quotes(bare, self.slice).await?;
            signed.of(market.layout()).push(rate);
        }
        Ok(())
    }

    /// Offers each exchange parts of the maximum that it has been measured with, in turns.
    async fn offer_rates(&mut self, report: &mut Report) -> anyhow::Result<()> {
        for _ in 0..TURNS {
            for market in &mut self.markets {
                let layout = market.layout();
                let maximum = report.of(layout).durable_updates_per_s.as_ref();
                let maximum = maximum.map_or(0.0, Rates::median);
                for paced in report.rates.get_or_insert_default().of(layout) {
                    paced.offer(market, maximum, self.slice).await?;
                }
            }
        }
        Ok(())
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.echo.stop().await?;
        for market in self.markets {
            market.stop().await?;
        }
        Ok(())
    }
}

async fn take_turn_of_market(
    args: &WireArgs,
    slice: Duration,
    market: &mut Market,
    figures: &mut LayoutFigures,
) -> anyhow::Result<()> {
    let LayoutFigures { sequenced, durable, window0_award, .. } = figures;
    if args.measures(Measurement::Sequenced) {
        let latencies = sequenced.get_or_insert_default();
        latencies.of_a_slice(slice, async || market.sequenced().await).await?;
        market.settle().await?;
    }
    if args.measures(Measurement::Durable) {
        let latencies = durable.get_or_insert_default();
        latencies.of_a_slice(slice, async || market.durable().await).await?;
    }
    if args.measures(Measurement::Window0Award) {
        let latencies = window0_award.get_or_insert_default();
        latencies.of_a_slice(slice, async || market.award().await).await?;
        market.fulfil().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_measurement_gives_figures_and_a_ratio() {
        let folder = tempfile::tempdir().unwrap();
        let all = Measurement::value_variants().iter().copied();
        let args = WireArgs {
            seconds: 0.05,
            only: all.filter(|measurement| *measurement != Measurement::Idle).collect(),
            layout: None,
            dir: Some(folder.path().into()),
        };
        let report = measure(&args, &Output::new(true)).await.unwrap();
        let json = serde_json::to_value(&report).unwrap();
        for layout in ["inline", "thread"] {
            for figure in ["sequenced", "durable", "window0_award"] {
                assert!(json[layout][figure]["p50_ns"].as_u64() > Some(0), "{layout} {figure}");
                assert!(json["ratios"][layout][figure].as_f64() > Some(0.0), "{layout} {figure}");
            }
            assert!(json["ratios"][layout]["updates"].is_number(), "{layout}");
            for share in json["rates"][layout].as_array().unwrap() {
                assert!(share["accepted_per_s"].as_f64() > Some(0.0), "{layout} {share}");
                assert!(share["p999_ns"].as_u64() > Some(0), "{layout} {share}");
            }
            assert_eq!(json["rates"][layout].as_array().unwrap().len(), 3);
            assert!(json["signed"][layout]["quotes_per_s"].as_f64() > Some(0.0), "{layout}");
            assert!(json["signed"][layout]["ratio"].as_f64() > Some(0.0), "{layout}");
        }
        assert!(report.table().contains("inline: durable updates"));
    }
}
