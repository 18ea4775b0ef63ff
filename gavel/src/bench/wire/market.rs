//! The exchange under test: a whole one on a thread of its own, and its clients on this one.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use gavel_client::{Client, Config, EventStream, Pending, RfqRef, Socket, StreamEvent, StreamItem};
use gavel_protocol::{
    AcceptDelivery, Attributes, CapabilityId, Command, ContractId, Currency, Deliver, Digest,
    DurationNs, Micros, OpenRfq, PrivateEvent, PublicKey, RfqResult, RfqTerms, Roles,
    SetStandingQuote, Settings, Topic,
};
use gavel_sequencer::Layout;
use gavel_sequencer::journal::{Ack, JournalPlace};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::bench::wire::threads::{Beside, Stop};
use crate::data_dir::{DataDir, OPERATOR};
use crate::server::{Server, ServerConfig};

/// How long the standing quotes are firm.
const FIRM: DurationNs = DurationNs::from_secs(24 * 3_600);

/// How long a provider has to deliver: longer than any slice, after which it does.
const DELIVERY: DurationNs = DurationNs::from_secs(24 * 3_600);

/// What a unit costs.
pub const PRICE: Micros = Micros::new(1_000_000);

/// What the buyer has.
const MONEY: Micros = Micros::new(1_000_000_000_000_000);

/// Updates that are sequenced and may not be durable yet.
const SEQUENCED_MAX: usize = 1_024;

/// Units that the standing quotes offer.
const CAPACITY: u32 = 1_000_000;

/// A running exchange, and who trades there.
pub struct Market {
    layout: Layout,
    server: Beside,
    data: DataDir,
    operator: Client,
    /// Gets `Sequenced` answers, too.
    early: Quoter,
    not_yet_durable: VecDeque<Pending>,
    late: Quoter,
    /// Asks for what the maker offers.
    pub(super) buyer: Client,
    buyer_events: EventStream,
    pub(super) rfq: RfqTerms,
    /// RFQs that the buyer has signed, and that stay open.
    pub(super) signed_rfqs: Vec<RfqRef>,
    /// Makes the answers to the buyer's RFQs.
    maker: Quoter,
    /// Contracts between the two that are open.
    contracts: Vec<ContractId>,
    /// The sessions of the throughput measurements.
    pub(super) crowd: Vec<Quoter>,
}

/// A provider and the standing quote that it changes.
pub struct Quoter {
    /// Its session.
    pub(super) client: Client,
    quote: SetStandingQuote,
}

impl Market {
    /// Founds an exchange in a folder of its own below `folder`.
    pub async fn start(folder: &Path, layout: Layout) -> anyhow::Result<Self> {
        let data = DataDir::new(&folder.join(format!("{layout:?}")));
        let (ready, started) = oneshot::channel();
        let server_data = data.clone();
        let server =
            Beside::start("exchange", move |stop| serve(server_data, layout, ready, stop))?;
        if started.await.is_err() {
            server.stop().await?;
            bail!("the exchange has stopped by itself");
        }

        let operator = data.connect(OPERATOR).await?;
        let terms = operator.put_blob(b"as agreed").await?;
        let (updated, asked) = ("updated".parse()?, "asked".parse()?);
        let updated = operator.list_capability(updated, Currency::USD, terms).await?;
        let asked = operator.list_capability(asked, Currency::USD, terms).await?;
        let enrol = async |name: &str, is_early| enrol(&data, &operator, name, is_early).await;

        let early = Quoter::new(enrol("early", true).await?, updated, terms);
        let late = Quoter::new(enrol("late", false).await?, updated, terms);
        let mut maker = Quoter::new(enrol("maker", false).await?, asked, terms);
        let offer = maker.next();
        maker.client.call(offer).await?;
        let buyer = enrol("buyer", false).await?;
        operator.deposit(buyer.identity().account, MONEY, Currency::USD).await?;
        let buyer_events = buyer.subscribe(Topic::Private, None).await?;
        let rfq = rfq_terms(asked, buyer.put_blob(b"a job").await?, terms);
        let (crowd, not_yet_durable) = (Vec::new(), VecDeque::new());
        Ok(Self {
            layout,
            server,
            data,
            operator,
            early,
            not_yet_durable,
            late,
            buyer,
            buyer_events,
            rfq,
            signed_rfqs: Vec::new(),
            maker,
            contracts: Vec::new(),
            crowd,
        })
    }

    /// Returns where its core runs.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Sends an update and returns how long it took to its place in the order. Does not wait until
    /// it is durable, or the pace would be the disk's.
    pub async fn sequenced(&mut self) -> anyhow::Result<Duration> {
        if self.not_yet_durable.len() == SEQUENCED_MAX
            && let Some(oldest) = self.not_yet_durable.pop_front()
        {
            oldest.await?;
        }
        let command = self.early.next();
        let sent = Instant::now();
        let mut pending = self.early.client.send(command).await?;
        let sequenced = pending.sequenced().await;
        let took = sent.elapsed();
        sequenced.context("the early answer did not come")?;
        self.not_yet_durable.push_back(pending);
        Ok(took)
    }

    /// Waits until what was sequenced is durable.
    pub async fn settle(&mut self) -> anyhow::Result<()> {
        for pending in self.not_yet_durable.drain(..) {
            pending.await?;
        }
        Ok(())
    }

    /// Sends an update, waits until it is durable, and returns how long that took.
    pub async fn durable(&mut self) -> anyhow::Result<Duration> {
        let command = self.late.next();
        let sent = Instant::now();
        self.late.client.call(command).await?;
        Ok(sent.elapsed())
    }

    /// Sends an RFQ that clears at once, waits for its contract, and returns how long that took.
    pub async fn award(&mut self) -> anyhow::Result<Duration> {
        let client_id = self.buyer.next_client_id();
        let open = OpenRfq::plain(client_id, self.rfq);
        let sent = Instant::now();
        let pending = self.buyer.send(Command::OpenRfq(Box::new(open))).await?;
        let contract = next_award(&mut self.buyer_events).await?;
        let took = sent.elapsed();
        pending.await?;
        self.contracts.push(contract);
        Ok(took)
    }

    /// Fulfils the contracts that were awarded: one that is not counts against its provider, which
    /// would win nothing any more.
    pub async fn fulfil(&mut self) -> anyhow::Result<()> {
        let (maker, buyer) = (&self.maker.client, &self.buyer);
        let (mut delivering, mut accepting) = (Vec::new(), Vec::new());
        for &contract in &self.contracts {
            let (client_id, deliverable) = (maker.next_client_id(), self.rfq.spec);
            let deliver = Deliver { client_id, contract, deliverable };
            delivering.push(maker.send(Command::Deliver(deliver)).await?);
        }
        for delivered in delivering {
            delivered.await?;
        }
        for contract in self.contracts.drain(..) {
            let client_id = buyer.next_client_id();
            let accept = AcceptDelivery { client_id, contract };
            accepting.push(buyer.send(Command::AcceptDelivery(accept)).await?);
        }
        for accepted in accepting {
            accepted.await?;
        }
        Ok(())
    }

    /// Keeps so many updates in flight for each of so many sessions. Returns how many became
    /// durable per second.
    pub async fn updates(
        &mut self,
        sessions: usize,
        in_flight: usize,
        slice: Duration,
    ) -> anyhow::Result<f64> {
        self.gather_crowd(sessions).await?;
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for quoter in self.crowd.drain(..) {
            tasks.spawn(quoter.keep_in_flight(in_flight, begun + slice));
        }
        let mut updates = 0;
        while let Some(task) = tasks.join_next().await {
            let (quoter, accepted) = task.context("a session panicked")??;
            self.crowd.push(quoter);
            updates += accepted;
        }
        Ok(updates as f64 / slice.as_secs_f64())
    }

    /// Stops the exchange.
    pub async fn stop(self) -> anyhow::Result<()> {
        let crowd = self.crowd.into_iter().map(|quoter| quoter.client);
        let others = [self.operator, self.early.client, self.late.client, self.buyer];
        for client in crowd.chain(others) {
            client.close().await;
        }
        self.server.stop().await
    }

    /// Lets so many sessions be there.
    pub(super) async fn gather_crowd(&mut self, sessions: usize) -> anyhow::Result<()> {
        let SetStandingQuote { capability, terms, .. } = self.late.quote;
        let socket = Socket::open()?;
        for number in self.crowd.len()..sessions {
            let name = format!("crowd-{number}");
            let config = enrolled(&self.data, &self.operator, &name, false).await?;
            let client = Client::connect_over(&socket, config).await?;
            self.crowd.push(Quoter::new(client, capability, terms));
        }
        Ok(())
    }
}

impl Quoter {
    fn new(client: Client, capability: CapabilityId, terms: Digest) -> Self {
        let valid_until = client.identity().ts_event.after(FIRM);
        let quote = SetStandingQuote {
            capability,
            revision: 0,
            price: PRICE,
            latency_ms: 0,
            capacity: CAPACITY,
            valid_until,
            terms,
        };
        Self { client, quote }
    }

    /// Returns the next update: another price every time.
    pub(super) fn next(&mut self) -> Command {
        self.quote.revision += 1;
        let step = i64::try_from(self.quote.revision % 1_000).unwrap_or(0);
        self.quote.price = Micros::new(PRICE.raw() - step);
        Command::SetStandingQuote(self.quote.clone())
    }

    /// Returns how many updates were accepted before `end`.
    async fn keep_in_flight(
        mut self,
        in_flight: usize,
        end: Instant,
    ) -> anyhow::Result<(Self, u64)> {
        let mut pending = VecDeque::with_capacity(in_flight);
        for _ in 0..in_flight {
            let command = self.next();
            pending.push_back(self.client.send(command).await?);
        }
        let mut accepted = 0;
        while Instant::now() < end {
            for _ in 0..in_flight {
                let oldest = pending.pop_front().context("nothing is in flight")?;
                oldest.await?;
                accepted += 1;
                let command = self.next();
                pending.push_back(self.client.send(command).await?);
            }
        }
        for late in pending {
            late.await?;
        }
        Ok((self, accepted))
    }
}

async fn serve(
    data: DataDir,
    layout: Layout,
    ready: oneshot::Sender<()>,
    stop: Stop,
) -> anyhow::Result<()> {
    let any_port = Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::start(ServerConfig {
        journal: JournalPlace::Folder(data.journal()),
        ack: Ack::default(),
        projection: None,
        audit: false,
        data,
        quic: any_port,
        http: any_port,
        certificate: None,
        layout,
        solvers: 1,
        keep: None,
        name: "bench".parse()?,
        settings: Settings::fee(10_000),
    })
    .await?;
    if ready.send(()).is_ok() {
        // Whether it was told or is the last one here makes no difference.
        _ = stop.await;
    }
    server.stop().await.map(drop)
}

async fn enrol(
    data: &DataDir,
    operator: &Client,
    name: &str,
    sequenced_answers: bool,
) -> anyhow::Result<Client> {
    let config = enrolled(data, operator, name, sequenced_answers).await?;
    Client::connect(config).await.with_context(|| format!("cannot log on as {name}"))
}

/// Enrols an agent with an account of its own, and returns how it logs on.
async fn enrolled(
    data: &DataDir,
    operator: &Client,
    name: &str,
    sequenced_answers: bool,
) -> anyhow::Result<Config> {
    let key = data.new_key(name)?;
    let account = operator.enrol_account(MONEY).await?;
    let public = PublicKey::new(key.verifying_key().to_bytes());
    operator.enrol_agent(account, public, Roles::TRADER, Attributes::default()).await?;
    let (address, trust) = data.address()?;
    Ok(Config { sequenced_answers, ..Config::new(address, trust, key) })
}

fn rfq_terms(capability: CapabilityId, spec: Digest, terms: Digest) -> RfqTerms {
    RfqTerms {
        window: DurationNs::ZERO,
        admit_standing: true,
        delivery_within: DELIVERY,
        acceptance_within: DELIVERY,
        spec,
        terms,
        ..RfqTerms::plain(capability, Currency::USD, PRICE)
    }
}

/// Waits for the contract of the RFQ that was opened last.
async fn next_award(events: &mut EventStream) -> anyhow::Result<ContractId> {
    loop {
        let item = events.next().await.context("the exchange has ended the stream")??;
        let StreamItem::Event(_, StreamEvent::Private(event)) = item else { continue };
        if let PrivateEvent::Awarded(awarded) = event {
            return Ok(awarded.contract);
        }
        if let PrivateEvent::RfqEnded(ended) = event
            && ended.result == RfqResult::Passed
        {
            bail!("an RFQ passed that there is a standing quote for");
        }
    }
}
