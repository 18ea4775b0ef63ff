//! `gavel demo`: a whole market in one process, in a temporary directory.
//!
//! The exchange runs on a thread of its own; the synthetic agents trade with it over real QUIC
//! connections. At the end the journal is replayed, and must hold everything that was acknowledged.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use gavel_protocol::Settings;
use gavel_sequencer::journal::{Ack, JournalPlace, SqliteJournal};
use gavel_sequencer::{Audit, Auditor, Layout, Status, replay};
use gavel_simulator::load::{AckSink, Load, LoadConfig, Report, Sinks};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::Exit;
use crate::args::DemoArgs;
use crate::commands::sim::PROGRESS_EVERY;
use crate::commands::{asked_to_end, block_on};
use crate::data_dir::{DataDir, OPERATOR, Whereabouts};
use crate::kept::Kept;
use crate::output::Output;
use crate::server::{Server, ServerConfig};

/// The fee of the demo's exchange.
const FEE_PPM: u32 = 10_000;

/// Runs the demo.
pub fn run(args: DemoArgs, output: &Output) -> anyhow::Result<Exit> {
    let folder = tempfile::tempdir().context("cannot make a temporary directory")?;
    block_on(demo(args, folder.path(), output))
}

/// What the demo came to.
#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    report: Report,
    trial_balance: i64,
    lost_acknowledged: usize,
    seq: u64,
    state_hash: String,
    replayed_state_hash: String,
}

async fn demo(args: DemoArgs, folder: &Path, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(folder);
    let exchange = Running::start(data.clone()).await?;
    let Whereabouts { quic, http, .. } = &exchange.whereabouts;
    output.line(format!("the exchange serves QUIC on {quic} and HTTP on {http}"));

    let (address, trust) = data.address()?;
    let config = LoadConfig {
        seed: args.seed,
        duration: args.seconds.map(Duration::from_secs),
        buyers: args.buyers,
        providers: args.providers,
        blobs: true,
        ..LoadConfig::new(address, trust, data.key(OPERATOR)?)
    };
    let (buyers, providers) = (config.buyers, config.providers);
    let acks = AckSink::memory();
    let sinks = Sinks { acks: Some(acks.clone()) };
    let mut load = Load::start(config, sinks).await.context("cannot start the agents")?;
    output.line(format!("{buyers} buyers and {providers} providers trade; Ctrl-C ends it"));
    watch(&mut load, &exchange, output).await?;

    let report = load.stop().await;
    let audit = exchange.stop().await?;
    let mut kept = Kept::default();
    let mut journal = SqliteJournal::open(&data.journal()).await?;
    let replayed = replay(&mut journal, |batch| kept.add(batch)).await?;
    let lost_acknowledged = acks.drain_collected().iter().filter(|ack| !kept.has(ack)).count();
    let summary = Summary {
        report,
        trial_balance: i64::try_from(audit.trial_balance).unwrap_or(i64::MAX),
        lost_acknowledged,
        seq: audit.seq,
        state_hash: audit.state_hash.to_string(),
        replayed_state_hash: replayed.exchange.state_hash().to_string(),
    };
    output.summary(text(&summary), &summary);
    let sound = lost_acknowledged == 0
        && audit.trial_balance == 0
        && summary.state_hash == summary.replayed_state_hash;
    Ok(if sound { Exit::Done } else { Exit::NotVerified })
}

/// Says what is going on until the load ends or somebody asks to end.
async fn watch(load: &mut Load, exchange: &Running, output: &Output) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(PROGRESS_EVERY);
    every.tick().await;
    // Asked for now, so that there is one to show at the first line.
    exchange.auditor.audit();
    loop {
        tokio::select! {
            _ = every.tick() => {
                let balance = exchange.auditor.audit().map_or(0, |audit| audit.trial_balance);
                let lag = exchange.status.journal_lag();
                output.line(format!(
                    "{} | trial balance {balance} | journal lag {lag:.1?}",
                    load.progress()
                ));
            }
            () = load.ended() => return Ok(()),
            ended = asked_to_end() => return ended,
        }
    }
}

fn text(summary: &Summary) -> String {
    format!(
        "{}\ntrial balance {}, acknowledged and lost {}\n\
         state {} after {} commands, {} when replayed",
        summary.report,
        summary.trial_balance,
        summary.lost_acknowledged,
        summary.state_hash,
        summary.seq,
        summary.replayed_state_hash
    )
}

/// The exchange on its own thread.
struct Running {
    whereabouts: Whereabouts,
    status: Arc<Status>,
    auditor: Auditor,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<anyhow::Result<Audit>>,
}

impl Running {
    async fn start(data: DataDir) -> anyhow::Result<Self> {
        let (started_in, started) = oneshot::channel();
        let (stop, stopped) = oneshot::channel();
        let serve = move || {
            block_on(async {
                let journal = JournalPlace::Folder(data.journal());
                let server = Server::start(ServerConfig {
                    data,
                    journal,
                    ack: Ack::default(),
                    projection: None,
                    audit: false,
                    quic: None,
                    http: None,
                    certificate: None,
                    layout: Layout::Inline,
                    solvers: 1,
                    // Its end is checked against the whole journal.
                    keep: None,
                    name: "demo".parse()?,
                    settings: Settings::fee(FEE_PPM),
                })
                .await?;
                let handles = (server.whereabouts().clone(), server.status(), server.auditor());
                if started_in.send(handles).is_err() {
                    bail!("nobody waits for the exchange");
                }
                // Whoever is gone wants it to stop, too.
                drop(stopped.await);
                Ok(Audit::of(&server.stop().await?))
            })
        };
        let thread = std::thread::Builder::new().name("exchange".into()).spawn(serve)?;
        match started.await {
            Ok((whereabouts, status, auditor)) => {
                Ok(Self { whereabouts, status, auditor, stop, thread })
            }
            Err(_) => Err(join(thread).await.err().context("the exchange did not start")?),
        }
    }

    async fn stop(self) -> anyhow::Result<Audit> {
        drop(self.stop);
        join(self.thread).await
    }
}

async fn join(thread: JoinHandle<anyhow::Result<Audit>>) -> anyhow::Result<Audit> {
    let joined = tokio::task::spawn_blocking(move || thread.join()).await?;
    joined.map_err(|_| anyhow!("the exchange has panicked"))?
}
