//! Tests across the crates; see `tests/tests` and the scenarios in `tests/scenarios`.
//!
//! The library is what they share: a whole exchange in process, on loopback and any port, a client that
//! speaks bytes instead of messages, and the fuzz targets.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

pub mod fuzz;
pub mod market;
pub mod postgres;
mod raw;
pub mod story;

use std::sync::Arc;

use gavel_client::{Client, Config, EventStream, SigningKey, StreamEvent, StreamItem, Trust};
use gavel_exchange::Exchange;
use gavel_gateway::{FanOut, Gateway, GatewayConfig, Identity};
use gavel_protocol::limits::CLEARING_MAX;
use gavel_protocol::{
    AccountId, AgentId, Attributes, Bundle, BundleGroup, BundleTerms, CapabilityId, Codec,
    Currency, Digest, DurationNs, Format, Found, GroupRule, Item, Micros, NewGroup, PaymentRule,
    PrivateEvent, PublicEvent, PublicKey, RfqTerms, Roles, SetStandingQuote, Settings, TimestampNs,
    Topic,
};
use gavel_sequencer::journal::JournalPlace;
use gavel_sequencer::limits::{SNAPSHOT_EVERY, SNAPSHOTS_KEPT};
use gavel_sequencer::projection::{ProjectionPlace, Projector};
use gavel_sequencer::{
    Inbox, Layout, Reach, Sequencer, SequencerConfig, SnapshotConfig, Snapshots, Source,
};
use object_store::memory::InMemory;
use tempfile::TempDir;

pub use raw::{Raw, closed_with};

/// The name of the exchange under test.
pub const NAME: &str = "test";

/// A whole exchange in process.
pub struct World {
    gateway: Gateway,
    sequencer: Sequencer,
    folder: TempDir,
    agents: u8,
    operator: Option<Client>,
    codec: Codec,
    projection: Option<ProjectionPlace>,
    projector: Option<Projector>,
}

/// An agent that is logged on and hears what happens to it.
pub struct Trader {
    /// Its key.
    pub key: SigningKey,
    /// Its id.
    pub id: AgentId,
    /// Its client.
    pub client: Client,
    /// Its private stream.
    pub events: EventStream,
}

impl World {
    /// Starts an exchange whose clients speak `codec`.
    pub async fn start(codec: Codec) -> Self {
        Self::start_with(codec, Settings::fee(10_000)).await
    }

    /// Starts an exchange with settings of its own.
    pub async fn start_with(codec: Codec, settings: Settings) -> Self {
        Self::start_projected(codec, settings, None).await
    }

    /// Starts an exchange that may keep up a projection.
    pub async fn start_projected(
        codec: Codec,
        settings: Settings,
        projection: Option<ProjectionPlace>,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = serve(&folder, Vec::new(), settings, projection.clone()).await;
        let (gateway, sequencer, projector) = served;
        let (agents, operator) = (0, None);
        let mut world =
            Self { gateway, sequencer, folder, agents, operator, codec, projection, projector };
        world.operator = Some(world.connect(&operator_key()).await);
        world
    }

    /// Stops the exchange and starts it again from its journal, on the same port.
    pub async fn restart(self) -> Self {
        let addr = self.gateway.quic_addr();
        let (agents, operator, codec) = (self.agents, self.operator.clone(), self.codec);
        let projection = self.projection.clone();
        let (_, folder) = self.close().await;
        // What it was founded with is in the journal.
        let served = serve(&folder, vec![addr], Settings::fee(0), projection.clone()).await;
        let (gateway, sequencer, projector) = served;
        Self { gateway, sequencer, folder, agents, operator, codec, projection, projector }
    }

    /// Returns the operator's client.
    pub fn operator(&self) -> &Client {
        self.operator.as_ref().unwrap()
    }

    /// Returns the address for QUIC, and the certificate's fingerprint.
    pub fn address(&self) -> (std::net::SocketAddr, String) {
        (self.gateway.quic_addr(), self.gateway.fingerprint().into())
    }

    /// Returns the body of a page over HTTP.
    pub fn http_addr(&self) -> std::net::SocketAddr {
        self.gateway.http_addr()
    }

    /// Enrols an agent with money, logs it on, and subscribes to what happens to it.
    pub async fn trader(&mut self) -> Trader {
        let (key, _) = self.enrol().await;
        let client = self.connect(&key).await;
        let events = client.subscribe(Topic::Private, None).await.unwrap();
        Trader { key, id: client.identity().agent, client, events }
    }

    /// Enrols an agent with money, and logs it on.
    pub async fn agent(&mut self) -> (Client, AccountId) {
        let (key, account) = self.enrol().await;
        (self.connect(&key).await, account)
    }

    /// Enrols an agent with money.
    pub async fn enrol(&mut self) -> (SigningKey, AccountId) {
        self.enrol_as(Roles::TRADER).await
    }

    /// Enrols a solver from outside, and logs it on.
    pub async fn solver(&mut self) -> (Client, AccountId) {
        let (key, account) = self.enrol_as(Roles::SOLVER).await;
        (self.connect(&key).await, account)
    }

    /// Enrols an agent that may do this, with money.
    pub async fn enrol_as(&mut self, roles: Roles) -> (SigningKey, AccountId) {
        self.agents += 1;
        let key = SigningKey::from_bytes(&[self.agents; 32]);
        let operator = self.operator();
        let account = operator.enrol_account(Micros::new(1_000_000_000)).await.unwrap();
        let public = PublicKey::new(key.verifying_key().to_bytes());
        operator.enrol_agent(account, public, roles, Attributes::default()).await.unwrap();
        operator.deposit(account, Micros::new(1_000_000_000), Currency::USD).await.unwrap();
        (key, account)
    }

    /// Logs an agent on.
    pub async fn connect(&self, key: &SigningKey) -> Client {
        Client::connect(self.config(key)).await.unwrap()
    }

    /// Returns the configuration of a client of this exchange.
    pub fn config(&self, key: &SigningKey) -> Config {
        let (address, fingerprint) = self.address();
        let trust = Trust::Fingerprint(fingerprint.parse().unwrap());
        Config { codec: self.codec, ..Config::new(address, trust, key.clone()) }
    }

    /// Lists a capability.
    pub async fn capability(&self, name: &str) -> CapabilityId {
        let listed = self.operator().list_capability(name.parse().unwrap(), Currency::USD, terms());
        listed.await.unwrap()
    }

    /// Stops the exchange.
    pub async fn stop(self) {
        self.close().await;
    }

    /// Stops the exchange, and returns it with the folder that holds its journal and its snapshots.
    pub async fn close(self) -> (Exchange, TempDir) {
        self.gateway.shutdown().await;
        let status = self.sequencer.status();
        let exchange = self.sequencer.stop().await.unwrap();
        assert!(!status.has_diverged(), "a replay comes to what was served");
        if let Some(projector) = self.projector {
            tokio::task::spawn_blocking(|| projector.stop()).await.unwrap();
        }
        (exchange, self.folder)
    }
}

async fn serve(
    folder: &TempDir,
    addr: Vec<std::net::SocketAddr>,
    settings: Settings,
    projection: Option<ProjectionPlace>,
) -> (Gateway, Sequencer, Option<Projector>) {
    let place = JournalPlace::Folder(folder.path().join("journal"));
    let journal = place.open().await.unwrap();
    let found = Found {
        name: NAME.parse().unwrap(),
        id_key: Digest::new([9; 32]),
        operator_key: PublicKey::new(operator_key().verifying_key().to_bytes()),
        settings,
    };
    let (inbox, fan_out) = (Inbox::new(), FanOut::new());
    let reach = Reach::default();
    // Every stop makes one, and every restart continues from it.
    let in_folder = folder.path().join("snapshots");
    let snapshots = SnapshotConfig {
        folder: in_folder.clone(),
        every: SNAPSHOT_EVERY,
        kept: SNAPSHOTS_KEPT,
        keep_history: false,
        followed: projection.iter().map(|_| reach.clone()).collect(),
        consumer: || FanOut::new(),
    };
    let snapshots = Some(snapshots);
    let config =
        SequencerConfig { layout: Layout::Inline, found, alive: None, snapshots, quarantine: None };
    let sequencer = Sequencer::start(config, journal, inbox.clone(), fan_out.clone()).await;
    let sequencer = sequencer.unwrap();
    while fan_out.exchange().is_none() {
        tokio::task::yield_now().await;
    }
    let identity = Identity::load_or_make(folder.path()).unwrap();
    let projector = projection.map(|projection| {
        let snapshots = Some(Snapshots::new(&in_folder));
        let source = Source { journal: place.reader(), snapshots, reach };
        Projector::start(source, FanOut::new(), projection, sequencer.status()).unwrap()
    });
    let mut config = GatewayConfig::new(identity);
    config.history = projector.as_ref().map(Projector::history);
    if let Some(addr) = addr.first() {
        config.quic_addr = *addr;
    }
    let gateway = Gateway::start(config, inbox, fan_out, Arc::new(InMemory::new())).await;
    (gateway.unwrap(), sequencer, projector)
}

fn operator_key() -> SigningKey {
    SigningKey::from_bytes(&[200; 32])
}

/// Returns the terms that every capability here is listed with.
pub fn terms() -> Digest {
    Digest::new([1; 32])
}

/// Returns the terms of an RFQ for one unit at 50.00 at the most.
pub fn rfq(capability: CapabilityId, window_ms: u64) -> RfqTerms {
    RfqTerms {
        window: DurationNs::from_millis(window_ms),
        delivery_within: DurationNs::from_secs(600),
        acceptance_within: DurationNs::from_secs(600),
        spec: Digest::new([2; 32]),
        terms: terms(),
        ..RfqTerms::plain(capability, Currency::USD, Micros::new(50_000_000))
    }
}

/// Returns the terms of a combinatorial RFQ for these items, with as much time to clear it as there
/// may be, and the terms of its items.
pub fn rfq_for_items(
    capability: CapabilityId,
    window_ms: u64,
    items: &[Item],
) -> (RfqTerms, BundleTerms) {
    let bundles = BundleTerms {
        items: items.to_vec(),
        free_disposal: false,
        all_or_none: false,
        payment: PaymentRule::PayAsBid,
        clearing_within: CLEARING_MAX,
        external_solvers: true,
    };
    let reserve = bundles.reserve().unwrap();
    (RfqTerms { format: Format::Combinatorial, reserve, ..rfq(capability, window_ms) }, bundles)
}

/// Returns a bundle of these items.
pub fn bundle(items: &[u8], price: i64) -> Bundle {
    let items = items.iter().copied().collect();
    Bundle { items, price: Micros::new(price), latency_ms: 0 }
}

/// Returns what makes a new group of bundles, firm for ever.
pub fn group(rule: GroupRule) -> BundleGroup {
    let valid_until = TimestampNs::MAX;
    BundleGroup::New(NewGroup { rule, valid_until, standby_until: None })
}

/// Returns a standing quote.
pub fn standing(capability: CapabilityId, revision: u64, price: i64) -> SetStandingQuote {
    SetStandingQuote {
        capability,
        revision,
        price: Micros::new(price),
        latency_ms: 0,
        capacity: 1_000,
        valid_until: TimestampNs::MAX,
        terms: terms(),
    }
}

/// Returns the time by the machine's clock, which client ids are made by.
pub fn now() -> TimestampNs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    TimestampNs::from_nanos(u64::try_from(since.as_nanos()).unwrap())
}

/// Returns the next event of a private stream.
pub async fn private(events: &mut EventStream) -> PrivateEvent {
    match events.next().await.unwrap().unwrap() {
        StreamItem::Event(_, StreamEvent::Private(event)) => event,
        other => panic!("a private event was expected, not {other:?}"),
    }
}

/// Waits for the next event of one kind of a private stream, and returns what it carries.
#[macro_export]
macro_rules! next_private {
    ($events:expr, $event:ident) => {
        loop {
            if let gavel_protocol::PrivateEvent::$event(event) = $crate::private($events).await {
                break event;
            }
        }
    };
}

/// Waits for the next event of one kind of a public stream, and returns what it carries.
#[macro_export]
macro_rules! next_public {
    ($events:expr, $event:ident) => {
        loop {
            if let gavel_protocol::PublicEvent::$event(event) = $crate::public($events).await {
                break event;
            }
        }
    };
}

/// Returns the next event of a public stream.
pub async fn public(events: &mut EventStream) -> PublicEvent {
    match events.next().await.unwrap().unwrap() {
        StreamItem::Event(_, StreamEvent::Public(event)) => event,
        other => panic!("a public event was expected, not {other:?}"),
    }
}
