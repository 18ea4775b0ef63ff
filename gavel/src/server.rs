//! The whole exchange in one process: journal, core, gateway.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use gavel_exchange::Exchange;
use gavel_gateway::{FanOut, Gateway, GatewayConfig, Identity, Solvers};
use gavel_protocol::{
    AgentId, Command, Digest, Found, Name, Problem, ProposeAllocation, PublicKey, Request, RfqId,
    Settings,
};
use gavel_sequencer::audit::Notary;
use gavel_sequencer::journal::{Ack, Head, Journal as _, JournalError, JournalPlace};
use gavel_sequencer::projection::{ProjectionPlace, Projector};
use gavel_sequencer::{
    Auditor, Inbox, Layout, Reach, Sequencer, SequencerConfig, SnapshotConfig, Source, Status,
    Submission,
};
use gavel_solver::{PoolHandle, SolverPool};
use object_store::local::LocalFileSystem;

use crate::args::KeepArgs;
use crate::data_dir::{DataDir, OPERATOR, Whereabouts, random_bytes};

/// Where an exchange listens unless it is told otherwise, or somebody else listens there.
const QUIC_PORT: u16 = 7410;
const HTTP_PORT: u16 = 7411;

/// How long the founding may take to become durable.
const FOUNDING_TIMEOUT: Duration = Duration::from_secs(30);

/// What an exchange is started with.
#[derive(Debug)]
pub struct ServerConfig {
    /// Where everything is kept.
    pub data: DataDir,
    /// Where the journal is kept.
    pub journal: JournalPlace,
    /// What it takes for a command to be acknowledged.
    pub ack: Ack,
    /// A database to keep up with what happened.
    pub projection: Option<ProjectionPlace>,
    /// Whether an audit log is kept.
    pub audit: bool,
    /// Where to listen for QUIC; none for the default or, if that is taken, any port.
    pub quic: Option<SocketAddr>,
    /// Where to listen for HTTP; none for the default or, if that is taken, any port.
    pub http: Option<SocketAddr>,
    /// The certificate and key to use instead of the ones that are made.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Where the core runs.
    pub layout: Layout,
    /// Threads that solve the problems of combinatorial RFQs.
    pub solvers: usize,
    /// What is kept of the past; none for the whole journal and no snapshots.
    pub keep: Option<KeepArgs>,
    /// The exchange's name, if it is founded now.
    pub name: Name,
    /// What is charged and asked for, if it is founded now.
    pub settings: Settings,
}

/// A running exchange.
pub struct Server {
    gateway: Gateway,
    pool: SolverPool,
    sequencer: Sequencer,
    projector: Option<Projector>,
    notary: Option<Notary>,
    fan_out: Arc<FanOut>,
    whereabouts: Whereabouts,
    data: DataDir,
    /// How far the projection has everything, if there is one.
    projected: Option<Reach>,
}

impl Server {
    /// Recovers, founds or resumes the exchange, and serves.
    pub async fn start(config: ServerConfig) -> anyhow::Result<Self> {
        let ServerConfig { data, journal: journal_place, projection, quic, http, .. } = config;
        let ServerConfig { ack, audit, certificate, layout, solvers, keep, .. } = config;
        let ServerConfig { name, settings, .. } = config;
        data.make()?;
        check_operator(&data, &journal_place).await?;
        let journal = journal_place.open_acking(ack).await?;
        if journal.head() == Head::EMPTY && data.whereabouts().is_ok() {
            bail!(
                "an exchange has run in {}, but this journal is empty: name its own with --journal, \
                 restore it from a backup, or use another --data directory for a new exchange",
                data.root().display()
            );
        }
        let operator = data.key_or_new(OPERATOR)?;
        let found = Found {
            name,
            id_key: Digest::new(random_bytes()?),
            operator_key: PublicKey::new(operator.verifying_key().to_bytes()),
            settings,
        };
        let audit = audit.then(|| data.audit()).transpose()?;
        let (inbox, fan_out) = (Inbox::new(), FanOut::new());
        let source = |reach| Source {
            journal: journal_place.reader(),
            snapshots: Some(data.snapshots()),
            reach,
        };
        let projected = match &projection {
            Some(place) => {
                Projector::check(&mut source(Reach::default()), place).await?;
                // Until a stop says how far it has come, nothing is known of that.
                data.note_projected(0)?;
                Some(Reach::default())
            }
            None => data.projected()?.map(|seq| kept_for_projection(&data, seq)),
        };
        let audited = audit.is_some().then(Reach::default);
        // A log is made anew from the first command only, and one that is not kept now may be gone on with later.
        let keep_history = data.has_audit() || audit.is_some();
        let snapshots = keep.map(|keep| SnapshotConfig {
            keep_history: keep_history || keep.keep_history,
            followed: projected.iter().chain(&audited).cloned().collect(),
            ..snapshots(&data, keep)
        });
        let (alive, quarantine) = (Some(data.alive()), Some(data.quarantine()));
        let config = SequencerConfig { layout, found, alive, snapshots, quarantine };
        let sequencer = Sequencer::start(config, journal, inbox.clone(), fan_out.clone()).await?;
        until_founded(&fan_out, &sequencer.status()).await?;
        let status = || sequencer.status();
        let projector = projection
            .zip(projected.clone())
            .map(|(at, reach)| Projector::start(source(reach), FanOut::new(), at, status()))
            .transpose()?;
        let notary = audit
            .zip(audited)
            .map(|(audit, reach)| Notary::start(source(reach), audit, status()))
            .transpose()?;
        let pool = start_pool(solvers, inbox.clone(), &fan_out)?;

        let identity = match certificate {
            Some((certificate, key)) => Identity::load(&certificate, &key)?,
            None => Identity::load_or_make(&data.tls()?)?,
        };
        let blobs = LocalFileSystem::new_with_prefix(data.blobs()?)?;
        let config = GatewayConfig {
            quic_addr: quic.unwrap_or_else(default_quic),
            http_addr: http.unwrap_or_else(default_http),
            status: sequencer.status(),
            audit: notary.as_ref().map(Notary::latest_head),
            history: projector.as_ref().map(Projector::history),
            ..GatewayConfig::new(identity)
        };
        let gateway = Gateway::start(config, inbox, fan_out.clone(), Arc::new(blobs)).await?;
        let whereabouts = Whereabouts {
            quic: gateway.quic_addr(),
            http: gateway.http_addr(),
            fingerprint: gateway.fingerprint().into(),
        };
        data.note_whereabouts(&whereabouts)?;
        Ok(Self {
            gateway,
            pool,
            sequencer,
            projected: projected.filter(|_| projector.is_some()),
            projector,
            notary,
            fan_out,
            whereabouts,
            data,
        })
    }

    /// Returns where it can be found.
    pub fn whereabouts(&self) -> &Whereabouts {
        &self.whereabouts
    }

    /// Returns the exchange's name.
    pub fn name(&self) -> Option<Name> {
        self.fan_out.exchange()
    }

    /// Returns what everybody may read of the sequencer.
    pub fn status(&self) -> Arc<Status> {
        self.sequencer.status()
    }

    /// Returns what counts the exchange afresh on demand.
    pub fn auditor(&self) -> Auditor {
        self.sequencer.auditor()
    }

    /// Closes the doors, finishes what is inside, and returns the exchange as it is then.
    pub async fn stop(self) -> anyhow::Result<Exchange> {
        self.gateway.shutdown().await;
        tokio::task::spawn_blocking(|| self.pool.stop()).await.context("a solver is stuck")?;
        let status = self.sequencer.status();
        let exchange = self.sequencer.stop().await;
        if let Some(projector) = self.projector {
            let stopped = tokio::task::spawn_blocking(|| projector.stop()).await;
            stopped.context("the projector is stuck")?;
        }
        if let Some(notary) = self.notary {
            let stopped = tokio::task::spawn_blocking(|| notary.stop()).await;
            stopped.context("the notary is stuck")?;
        }
        if let Some(reach) = self.projected {
            self.data.note_projected(reach.seq())?;
        }
        let exchange = exchange.context("the core has stopped by itself")?;
        if status.has_failed() {
            bail!(
                "the journal has failed; nothing was acknowledged since, and what was acknowledged before is \
                 in it"
            );
        }
        if status.has_diverged() {
            bail!(
                "a replay of the journal comes to something else than what was served; see the log, \
                 and run `gavel verify` before it serves again"
            );
        }
        Ok(exchange)
    }
}

/// Checks that the operator's key is here, unless the exchange is founded now. Nobody else's journal is taken over.
async fn check_operator(data: &DataDir, place: &JournalPlace) -> anyhow::Result<()> {
    if data.has_key(OPERATOR)? {
        return Ok(());
    }
    let journal = match place.open_to_read().await {
        Ok(journal) => journal,
        Err(JournalError::NotThere { .. } | JournalError::NoJournal { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let is_empty = journal.head() == Head::EMPTY;
    journal.close().await?;
    if !is_empty {
        bail!(
            "an exchange has kept this journal, but {} has no key of its operator: use the --data \
             directory that it ran in, or a copy or a restored backup of that",
            data.root().display()
        );
    }
    Ok(())
}

/// Says that what a projection has still to take is kept, and returns what keeps it.
fn kept_for_projection(data: &DataDir, seq: u64) -> Reach {
    tracing::info!(
        seq,
        note = %data.projected_file().display(),
        "a projection was kept here: what came after that command is kept for it, until the note is deleted"
    );
    Reach::at(seq)
}

/// Returns how snapshots are made.
fn snapshots(data: &DataDir, keep: KeepArgs) -> SnapshotConfig {
    SnapshotConfig {
        folder: data.snapshots_folder(),
        every: keep.snapshot_every,
        // So many fit any machine's idea of a number.
        kept: usize::try_from(keep.keep_snapshots).unwrap_or(usize::MAX),
        keep_history: keep.keep_history,
        followed: Vec::new(),
        consumer: || FanOut::new(),
    }
}

/// The exchange's own solvers, as the gateway's fan-out knows them.
struct Pool(PoolHandle);

impl Solvers for Pool {
    fn pose(&self, problem: Problem) {
        self.0.pose(problem);
    }

    fn forget(&self, rfq: RfqId) {
        self.0.forget(rfq);
    }
}

/// Starts the exchange's own solvers. What they propose takes its place in the order like anything
/// else.
fn start_pool(threads: usize, inbox: Inbox, fan_out: &FanOut) -> anyhow::Result<SolverPool> {
    let propose = move |proposal: ProposeAllocation| {
        let command = Command::ProposeAllocation(Box::new(proposal));
        let request = Request { agent: AgentId::EXCHANGE, command };
        let submission = Submission { origin: None, sequenced_answer: false, request };
        // With a full lane the answer is lost, and the best so far stands.
        if inbox.submit(submission).is_ok() {
            inbox.wake();
        }
    };
    let pool = SolverPool::start(threads, propose).context("cannot start a solver")?;
    if threads > 0 {
        fan_out.set_solvers(Box::new(Pool(pool.handle())));
    }
    Ok(pool)
}

async fn until_founded(fan_out: &FanOut, status: &Status) -> anyhow::Result<()> {
    let founded = async {
        while fan_out.exchange().is_none() && !status.has_failed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let in_time = tokio::time::timeout(FOUNDING_TIMEOUT, founded).await.is_ok();
    if !in_time || status.has_failed() {
        bail!("the journal cannot commit; look at the disk that it is kept on");
    }
    Ok(())
}

fn default_quic() -> SocketAddr {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, QUIC_PORT));
    if UdpSocket::bind(addr).is_ok() { addr } else { any_port() }
}

fn default_http() -> SocketAddr {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT));
    if TcpListener::bind(addr).is_ok() { addr } else { any_port() }
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
