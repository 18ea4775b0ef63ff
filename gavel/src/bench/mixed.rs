//! The mixed flow: a market of every kind of command, drawn from a description and a seed.
//!
//! Ids are made by the exchange, so the stream is drawn by running an exchange once and recording
//! what it was given; the measurement replays the record through fresh ones.

use std::collections::HashSet;
use std::fmt;

use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_protocol::{
    AcceptDelivery, AgentId, CancelQuote, CancelRfq, CancelStandingQuote, Command, ContractId,
    Deliver, Digest, DurationNs, Event, Micros, Offer, Parties, PlaceQuote, QuoteId, QuoteRef,
    QuoteTarget, Ranked, Request, RfqId, RfqTarget, Stamped,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::bench::draw::{Open, Zipf, shuffled};
use crate::bench::floor::{FlatQuote, Floor};
use crate::bench::market::{Market, Tape};
use crate::bench::measure::{Flow, Recording, commands};

/// What the flow consists of. Agents are drawn by Zipf's law, everything else evenly; a price is
/// drawn afresh each time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Mix {
    /// Agents, each with an account of its own.
    pub agents: usize,
    /// The exponent of the law by which agents are active.
    pub zipf_exponent: u32,
    pub capabilities: usize,
    /// Live standing quotes of each capability: one of every agent.
    pub standing_quotes_per_capability: usize,
    /// Updates of standing quotes, of a thousand commands.
    pub standing_updates: u32,
    pub sealed_quotes: u32,
    /// RFQs that clear at once against standing quotes.
    pub window0_rfqs: u32,
    /// RFQs that collect sealed quotes, until their window ends.
    pub windowed_rfqs: u32,
    /// The mean window; a single one has between half and one and a half of it.
    pub window_us: u64,
    pub quote_cancels: u32,
    pub rfq_cancels: u32,
    pub standing_cancels: u32,
    pub deliveries: u32,
    pub acceptances: u32,
    /// A delivery that nobody has accepted by then is accepted by silence.
    pub acceptance_within_us: u64,
    /// Commands before the measured ones, so that the market is in its steady state.
    pub warm_up: usize,
}

/// The mixed flow. A command comes every 200 ns of sequenced time, so the windows keep about 1,000
/// RFQs open.
pub const MIX: Mix = Mix {
    agents: 10_000,
    zipf_exponent: 1,
    capabilities: 100,
    standing_quotes_per_capability: 10_000,
    standing_updates: 700,
    sealed_quotes: 150,
    window0_rfqs: 25,
    windowed_rfqs: 25,
    window_us: 10_200,
    quote_cancels: 20,
    rfq_cancels: 10,
    standing_cancels: 20,
    deliveries: 40,
    acceptances: 10,
    acceptance_within_us: 20_000,
    warm_up: 300_000,
};

/// Auctions of the floor kernel: as many as RFQs are open.
const AUCTIONS: usize = 1_000;

/// Prices are drawn from here.
const PRICES: std::ops::Range<i64> = 1_000..2_000_000;

/// The least share of accepted commands that the flow may be called a market with.
const ACCEPTED_SHARE_MIN: f64 = 0.97;

/// What the mixed flow came to.
#[derive(Debug, Serialize)]
pub struct Mixed {
    #[serde(flatten)]
    pub flow: Flow,
    /// The same stream, each command looked at only when it is its turn.
    pub alone: Flow,
    /// How many commands are looked ahead at together, as in the sequencer.
    pub looked_ahead: usize,
    /// None where they cannot be counted.
    pub instructions_per_command: Option<f64>,
    pub commands: usize,
    pub open_rfqs_min: usize,
    pub open_rfqs_max: usize,
    pub mix: Mix,
}

/// The mixed flow as a recorded stream.
pub struct MixedStream {
    seed: u64,
    stream: Vec<Stamped>,
    open_rfqs_min: usize,
    open_rfqs_max: usize,
}

impl MixedStream {
    /// Draws the stream: the warm-up, and so many commands.
    pub fn record(commands: usize, seed: u64) -> anyhow::Result<Self> {
        let mut model = Model::new(MIX, seed, None)?;
        let (mut least, mut most) = (usize::MAX, 0);
        for number in 0..MIX.warm_up + commands {
            model.draw();
            if number >= MIX.warm_up {
                least = least.min(model.rfqs.len());
                most = most.max(model.rfqs.len());
            }
        }
        let stream = model.stream;
        Ok(Self { seed, stream, open_rfqs_min: least, open_rfqs_max: most })
    }

    /// Measures the stream.
    pub fn measure(&self, timer_ns: u64, floor_mean_ns: f64) -> anyhow::Result<Mixed> {
        let market = || market(&MIX, self.seed, None);
        let recording = self.recording(&market, LOOK_AHEAD_MAX);
        let flow = recording.measure(timer_ns, floor_mean_ns)?;
        let alone = self.recording(&market, 1).measure(timer_ns, floor_mean_ns)?;
        let accepted = flow.accepted_share;
        anyhow::ensure!(accepted >= ACCEPTED_SHARE_MIN, "only {accepted:.4} are accepted");
        Ok(Mixed {
            flow,
            alone,
            looked_ahead: LOOK_AHEAD_MAX,
            instructions_per_command: None,
            commands: commands(recording.split().1).count(),
            open_rfqs_min: self.open_rfqs_min,
            open_rfqs_max: self.open_rfqs_max,
            mix: MIX,
        })
    }

    /// Replays the stream once; only its measured part goes through `counted`.
    pub fn replay(&self, counted: fn(&mut Market, &[Stamped])) -> anyhow::Result<()> {
        let market = || market(&MIX, self.seed, None);
        let (warm_up, measured) = self.recording(&market, 1).split();
        let mut market = market()?;
        market.replay(warm_up, LOOK_AHEAD_MAX);
        counted(&mut market, measured);
        Ok(())
    }

    fn recording<'a>(
        &'a self,
        market: &'a dyn Fn() -> anyhow::Result<Market>,
        ahead: usize,
    ) -> Recording<'a> {
        Recording { market, stream: &self.stream, warm_up: MIX.warm_up, ahead }
    }
}

/// Makes the market that the stream continues: every agent has a standing quote for every
/// capability, and the table of client ids is full.
fn market(mix: &Mix, seed: u64, tape: Option<Tape>) -> anyhow::Result<Market> {
    let mut rng = ChaCha8Rng::seed_from_u64(!seed);
    let mut market = Market::start(mix.agents as u64, u32::try_from(mix.capabilities)?, tape)?;
    for capability in 0..mix.capabilities {
        for agent in market.agents.clone() {
            let request = market.standing(agent, capability, 1, rng.random_range(PRICES));
            market.apply(request)?;
        }
    }
    market.fill_client_ids()?;
    Ok(market)
}

/// The market as the one who draws knows it.
pub struct Model {
    pub market: Market,
    /// What was applied.
    pub stream: Vec<Stamped>,
    mix: Mix,
    rng: ChaCha8Rng,
    activity: Zipf,
    /// Agents by rank of activity, which is not the order of their enrolment.
    ranked: Vec<usize>,
    /// Open RFQs that collect quotes, and their buyers.
    rfqs: Open<RfqId, AgentId>,
    quotes: Open<QuoteId, AgentId>,
    quoted: HashSet<(RfqId, AgentId)>,
    awarded: Open<ContractId, Parties>,
    delivered: Open<ContractId, Parties>,
    /// The last revision by agent and capability.
    revisions: Vec<u64>,
}

/// Draws a request, if there is something for it to act on.
type Draw = fn(&mut Model) -> Option<Request>;

impl Model {
    /// Makes the market that a flow continues, and writes everything down if there is a tape.
    pub fn new(mix: Mix, seed: u64, tape: Option<Tape>) -> anyhow::Result<Self> {
        let market = market(&mix, seed, tape)?;
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        Ok(Self {
            market,
            stream: Vec::new(),
            mix,
            ranked: shuffled(mix.agents, &mut rng),
            rng,
            activity: Zipf::new(mix.agents),
            rfqs: Open::new(),
            quotes: Open::new(),
            quoted: HashSet::new(),
            awarded: Open::new(),
            delivered: Open::new(),
            revisions: vec![1; mix.agents * mix.capabilities],
        })
    }

    /// Draws a command and applies it. What finds nothing to act on becomes an update.
    pub fn draw(&mut self) {
        let mut drawn = self.rng.random_range(0..1_000);
        let kinds: [(u32, Draw); 8] = [
            (self.mix.sealed_quotes, Self::sealed_quote),
            (self.mix.window0_rfqs, Self::window0_rfq),
            (self.mix.windowed_rfqs, Self::windowed_rfq),
            (self.mix.quote_cancels, Self::quote_cancel),
            (self.mix.rfq_cancels, Self::rfq_cancel),
            (self.mix.standing_cancels, Self::standing_cancel),
            (self.mix.deliveries, Self::delivery),
            (self.mix.acceptances, Self::acceptance),
        ];
        let mut request = None;
        for (share, kind) in kinds {
            if drawn < share {
                request = kind(self);
                break;
            }
            drawn -= share;
        }
        let request = request.unwrap_or_else(|| self.standing_update());
        self.apply(request);
    }

    fn standing_update(&mut self) -> Request {
        let (agent, capability, revision) = self.next_revision();
        self.market.standing(agent, capability, revision, self.rng.random_range(PRICES))
    }

    fn standing_cancel(&mut self) -> Option<Request> {
        let (agent, capability, revision) = self.next_revision();
        let capability = self.market.capabilities[capability];
        let cancel = CancelStandingQuote { capability, revision };
        Some(Request { agent, command: Command::CancelStandingQuote(cancel) })
    }

    fn next_revision(&mut self) -> (AgentId, usize, u64) {
        let agent = self.ranked[self.activity.draw(&mut self.rng)];
        let capability = self.rng.random_range(0..self.mix.capabilities);
        let revision = &mut self.revisions[agent * self.mix.capabilities + capability];
        *revision += 1;
        (self.market.agents[agent], capability, *revision)
    }

    /// Draws a quote of an agent that has not quoted for the RFQ yet, if one is soon found.
    fn sealed_quote(&mut self) -> Option<Request> {
        let agent = self.agent();
        let open = (0..16).find_map(|_| {
            let (rfq, buyer) = self.rfqs.draw(&mut self.rng)?;
            (buyer != agent && !self.quoted.contains(&(rfq, agent))).then_some(rfq)
        });
        let rfq = open?;
        self.quoted.insert((rfq, agent));
        let client_id = self.market.client_id();
        let price = Micros::new(self.rng.random_range(PRICES));
        let valid_until = self.market.valid_until();
        let place =
            PlaceQuote { client_id, rfq, offer: Offer::new(price, valid_until), signature: None };
        Some(Request { agent, command: Command::PlaceQuote(place) })
    }

    fn window0_rfq(&mut self) -> Option<Request> {
        Some(self.rfq(DurationNs::ZERO))
    }

    fn windowed_rfq(&mut self) -> Option<Request> {
        let mean_ns = self.mix.window_us * 1_000;
        let window = self.rng.random_range(mean_ns / 2..mean_ns * 3 / 2);
        Some(self.rfq(DurationNs::from_nanos(window)))
    }

    fn rfq(&mut self, window: DurationNs) -> Request {
        let (agent, capability) = (self.agent(), self.rng.random_range(0..self.mix.capabilities));
        let mut request = self.market.rfq(agent, capability, window);
        if let Command::OpenRfq(open) = &mut request.command {
            open.rfq.acceptance_within =
                DurationNs::from_nanos(self.mix.acceptance_within_us * 1_000);
        }
        request
    }

    fn quote_cancel(&mut self) -> Option<Request> {
        let (quote, agent) = self.quotes.draw(&mut self.rng)?;
        let (client_id, target) = (self.market.client_id(), QuoteTarget::Id(quote));
        Some(Request { agent, command: Command::CancelQuote(CancelQuote { client_id, target }) })
    }

    fn rfq_cancel(&mut self) -> Option<Request> {
        let (rfq, agent) = self.rfqs.draw(&mut self.rng)?;
        let (client_id, target) = (self.market.client_id(), RfqTarget::Id(rfq));
        Some(Request { agent, command: Command::CancelRfq(CancelRfq { client_id, target }) })
    }

    fn delivery(&mut self) -> Option<Request> {
        let (contract, parties) = self.awarded.draw(&mut self.rng)?;
        let (client_id, deliverable) = (self.market.client_id(), Digest::new([3; 32]));
        let command = Command::Deliver(Deliver { client_id, contract, deliverable });
        Some(Request { agent: parties.provider, command })
    }

    fn acceptance(&mut self) -> Option<Request> {
        let (contract, parties) = self.delivered.draw(&mut self.rng)?;
        let client_id = self.market.client_id();
        let command = Command::AcceptDelivery(AcceptDelivery { client_id, contract });
        Some(Request { agent: parties.buyer, command })
    }

    fn agent(&mut self) -> AgentId {
        self.market.agents[self.ranked[self.activity.draw(&mut self.rng)]]
    }

    fn apply(&mut self, request: Request) {
        let Self { market, stream, rfqs, quotes, quoted, awarded, delivered, .. } = self;
        market.record(request, stream, |event, ranking| {
            observe_quotes((rfqs, quotes, quoted), event, ranking);
            observe_contracts((awarded, delivered), event);
        });
    }
}

type Quoting<'a> = (
    &'a mut Open<RfqId, AgentId>,
    &'a mut Open<QuoteId, AgentId>,
    &'a mut HashSet<(RfqId, AgentId)>,
);

fn observe_quotes((rfqs, quotes, quoted): Quoting<'_>, event: &Event, ranking: &[Ranked]) {
    if let Event::RfqOpened(opened) = event {
        rfqs.add(opened.rfq, opened.buyer);
    } else if let Event::QuotePlaced(placed) = event {
        quotes.add(placed.quote, placed.provider);
    } else if let Event::QuoteCanceled(canceled) = event {
        quotes.remove(canceled.quote);
        quoted.remove(&(canceled.rfq, canceled.provider));
    } else if let Event::RfqClosed(closed) = event {
        rfqs.remove(closed.rfq);
        for ranked in ranking {
            if let QuoteRef::Sealed(quote) = ranked.quote {
                quotes.remove(quote);
                quoted.remove(&(closed.rfq, ranked.provider));
            }
        }
    }
}

type Contracts<'a> = (&'a mut Open<ContractId, Parties>, &'a mut Open<ContractId, Parties>);

fn observe_contracts((awarded, delivered): Contracts<'_>, event: &Event) {
    if let Event::Awarded(concluded) = event {
        awarded.add(concluded.contract, concluded.parties);
    } else if let Event::Delivered(work) = event {
        awarded.remove(work.contract);
        delivered.add(work.contract, work.parties);
    } else if let Event::ContractSettled(settled) = event {
        delivered.remove(settled.contract);
    } else if let Event::ContractExpired(expired) = event {
        awarded.remove(expired.contract);
    }
}

/// The floor kernel at the working set of the mixed flow: as many agents, auctions and standing
/// quotes, drawn by the same law.
pub fn floor(commands: usize, seed: u64, timer_ns: u64) -> anyhow::Result<Flow> {
    let (mut rng, activity) = (ChaCha8Rng::seed_from_u64(seed), Zipf::new(MIX.agents));
    let standing = MIX.agents * MIX.capabilities;
    let mut floor = Floor::new(MIX.agents, AUCTIONS, standing);
    let ranked = shuffled(MIX.agents, &mut rng);
    let drawn = (0..MIX.warm_up + commands).map(|_| {
        let agent = ranked[activity.draw(&mut rng)];
        let price = rng.random_range(PRICES);
        if rng.random_range(0..1_000) < MIX.standing_updates {
            let capability = rng.random_range(0..MIX.capabilities);
            return FlatQuote::standing(agent, agent * MIX.capabilities + capability, price);
        }
        FlatQuote::sealed(agent, rng.random_range(0..AUCTIONS), price)
    });
    let drawn: Vec<FlatQuote> = drawn.collect();
    floor.measure(&drawn, MIX.warm_up, timer_ns)
}

impl fmt::Display for Mixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mix { agents, capabilities, standing_quotes_per_capability, .. } = self.mix;
        write!(
            f,
            "mixed: {} commands, {:.2} % accepted, {agents} agents by Zipf's law, {capabilities} \
             capabilities of {standing_quotes_per_capability} standing quotes, {} to {} RFQs open; \
             what is due is part of the command that finds it",
            self.commands,
            100.0 * self.flow.accepted_share,
            self.open_rfqs_min,
            self.open_rfqs_max,
        )?;
        match self.instructions_per_command {
            Some(instructions) => write!(f, "; {instructions:.0} instructions per command"),
            None => Ok(()),
        }
    }
}
