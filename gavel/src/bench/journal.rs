//! `gavel bench journal`: what durability, a projection, a replay and a start cost, beside what they
//! cannot cost less than.
//!
//! The stores are measured in turns: a slice of single commands, a slice of as many as go in, and the
//! very same bytes committed by themselves. The projection is measured beside a copy of the same
//! rows into the same tables.

mod beside;
mod flow;
mod projection;
mod report;
mod store;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use gavel_sequencer::journal::{JournalPlace, PostgresAddress};
use gavel_sequencer::replay;
use tempfile::TempDir;

use crate::Exit;
use crate::bench::bare::Store;
use crate::bench::journal::beside::Beside;
use crate::bench::journal::flow::Flow;
use crate::bench::journal::private::Database;
use crate::bench::journal::report::{Conditions, Report};
use crate::bench::journal::store::UnderTest;
use crate::bench::mixed::MIX;
use crate::bench::rates::Rates;
use crate::bench::served::Served;
use crate::bench::wire::seconds;
use crate::data_dir::{DataDir, OPERATOR};
use crate::output::Output;

#[path = "../../../tests/src/postgres.rs"]
#[allow(
    clippy::unwrap_used,
    dead_code,
    reason = "the tests' own server, of which this uses a part"
)]
mod private;

/// Turns that each measurement takes.
const TURNS: u32 = 5;

/// Replays and starts, whose median counts.
const RUNS: u32 = 3;

/// Commands after the snapshot that a start has to replay.
const TAIL: u64 = 10_000;

/// Arguments of `gavel bench journal`.
#[derive(Debug, Parser)]
#[command(after_help = "\
Examples:

  gavel bench journal --json | tail -1
  gavel bench journal --commands 10000000 --keep ten-million
  gavel verify --data ten-million")]
pub struct JournalArgs {
    /// How long each measurement of a store takes, in seconds.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// Commands of the journal that is replayed and started from. The first 1.3 million make the
    /// market that the mixed flow continues.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u64).range(20_000..=100_000_000))]
    pub commands: u64,
    /// Commands of the journal that is projected, of a smaller market.
    #[arg(long, default_value_t = 400_000, value_parser = clap::value_parser!(u64).range(20_000..=10_000_000))]
    pub projected: u64,
    /// An empty PostgreSQL database to measure on, as postgres://USER@HOST:PORT/DATABASE [default: a
    /// private server, if PostgreSQL is installed; otherwise it is left out].
    #[arg(long, value_name = "URL")]
    pub postgres: Option<String>,
    /// Where to make what is temporary: on the disk that counts [default: the system's place for
    /// temporary files].
    #[arg(long)]
    pub dir: Option<PathBuf>,
    /// Make the journal that is replayed in this data directory, and leave it for other builds to
    /// verify.
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// The seed of the flow.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Measures.
pub fn run(args: &JournalArgs, output: &Output) -> anyhow::Result<Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report = runtime.context("cannot start the runtime")?.block_on(measure(args, output))?;
    output.summary(&report, &report);
    Ok(Exit::Done)
}

async fn measure(args: &JournalArgs, output: &Output) -> anyhow::Result<Report> {
    let folder = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir),
        None => tempfile::tempdir(),
    };
    let folder = folder.context("cannot make a temporary directory")?;
    let server = Server::find(args)?;
    output.note(format!("measuring the stores, {} s each…", args.seconds));
    let mut stores = vec![sqlite(folder.path()).await?];
    if let Some(server) = &server {
        stores.push(postgres(&server.address).await?);
    }
    let slice = Duration::from_secs_f64(args.seconds) / TURNS;
    for _ in 0..TURNS {
        for store in &mut stores {
            store.take_turn(slice).await?;
        }
    }
    let mut of_stores = Vec::new();
    for store in stores {
        of_stores.push(store.stop().await?);
    }
    let mut of_stores = of_stores.into_iter();
    let (sqlite, postgres) = (of_stores.next().context("SQLite was measured")?, of_stores.next());
    let projection = match &server {
        Some(server) => {
            output.note(format!("projecting {} commands…", args.projected));
            let folder = folder.path().join("projected");
            Some(projection::measure(args, &folder, &server.address).await?)
        }
        None => None,
    };
    output.note(format!("replaying {} commands…", args.commands));
    let replayed = Replayed::measure(args, &folder).await?;
    let conditions = Conditions::here(args, folder.path());
    Ok(Report { conditions, sqlite, postgres, projection, replayed })
}

/// The server that is measured on, which is gone with this value if it is a private one.
struct Server {
    address: PostgresAddress,
    _private: Option<Database>,
}

impl Server {
    fn find(args: &JournalArgs) -> anyhow::Result<Option<Self>> {
        let (url, private) = match &args.postgres {
            Some(url) => (url.clone(), None),
            None if private::is_installed() => {
                let database = Database::shared();
                (database.url(), Some(database))
            }
            None => return Ok(None),
        };
        let address = url.parse().context("--postgres makes no sense")?;
        Ok(Some(Self { address, _private: private }))
    }
}

async fn sqlite(folder: &Path) -> anyhow::Result<UnderTest> {
    let place = JournalPlace::Folder(folder.join("journal"));
    UnderTest::start(place, Store::open(folder).await?).await
}

async fn postgres(address: &PostgresAddress) -> anyhow::Result<UnderTest> {
    let place = JournalPlace::Postgres(address.clone());
    UnderTest::start(place, Store::on_server(address).await?).await
}

/// What a replay and a start came to.
pub struct Replayed {
    commands_per_s: Rates,
    start_ms: Rates,
    beside: Beside,
    /// The condensed state, which every build comes to.
    state_hash: String,
}

impl Replayed {
    async fn measure(args: &JournalArgs, folder: &TempDir) -> anyhow::Result<Self> {
        let data = match &args.keep {
            Some(keep) => DataDir::new(keep),
            None => DataDir::new(&folder.path().join("replayed")),
        };
        data.make()?;
        // Nobody logs on as the operator, but without a key of one nothing is served.
        data.key_or_new(OPERATOR)?;
        let place = JournalPlace::Folder(data.journal());
        let journal = place.open().await?;
        let mut flow = Flow::start(MIX, args.seed, journal)?;
        flow.until(args.commands - TAIL).await?;
        flow.snapshot(&data.snapshots()).await?;
        flow.until(args.commands).await?;
        flow.stop().await?;
        let mut replayed = Self {
            commands_per_s: Rates::default(),
            start_ms: Rates::default(),
            beside: Beside::measure(&place, &data.snapshots_folder()).await?,
            state_hash: String::new(),
        };
        for _ in 0..RUNS {
            let mut journal = place.open().await?;
            let begun = Instant::now();
            let exchange = replay(&mut journal, |_| {}).await?.exchange;
            let took = begun.elapsed().as_secs_f64();
            replayed.commands_per_s.push(exchange.seq() as f64 / took);
            replayed.state_hash = exchange.state_hash().to_string();
        }
        for _ in 0..RUNS {
            let begun = Instant::now();
            let served = Served::start(data.root())?;
            replayed.start_ms.push(1e3 * begun.elapsed().as_secs_f64());
            drop(served);
        }
        Ok(replayed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_store_has_figures_beside_its_limit() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = sqlite(folder.path()).await.unwrap();
        store.take_turn(Duration::from_millis(50)).await.unwrap();
        let figures = serde_json::to_value(store.stop().await.unwrap()).unwrap();
        for key in ["commands_per_s", "commit_p50_ns", "commit_p99_ns"] {
            assert!(figures[key].as_f64() > Some(0.0), "{key}: {figures}");
            assert!(figures[format!("bare_{key}")].as_f64() > Some(0.0), "{key}: {figures}");
        }
    }

    #[tokio::test]
    async fn a_flow_that_was_written_down_is_replayed_from_its_snapshot_too() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        let place = JournalPlace::Folder(data.journal());
        let mut flow = Flow::start(projection::SMALL_MIX, 1, place.open().await.unwrap()).unwrap();
        flow.until(20_000).await.unwrap();
        let seq = flow.snapshot(&data.snapshots()).await.unwrap();
        flow.until(22_000).await.unwrap();
        flow.stop().await.unwrap();
        let replayed = replay(&mut place.open().await.unwrap(), |_| {}).await.unwrap();
        assert!(seq >= 20_000 && replayed.head.seq >= 22_000);
        let (snapshots, edge) = (data.snapshots(), gavel_gateway::FanOut::new());
        let mut journal = place.open().await.unwrap();
        let noted = gavel_sequencer::journal::Head::EMPTY;
        let from =
            gavel_sequencer::recover(&mut journal, noted, Some(&snapshots), &*edge).await.unwrap();
        assert!(from.records < replayed.records);
        assert_eq!(from.exchange.state_hash(), replayed.exchange.state_hash());
    }
}
