//! One kind of command at a time: updates, sealed quotes, window-0 RFQs, deliveries.

use gavel_protocol::{
    AcceptDelivery, AgentId, CancelRfq, Command, ContractId, Deliver, Digest, DurationNs, Event,
    Micros, Offer, PlaceQuote, Request, RfqId, RfqTarget,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::bench::floor::{FlatQuote, Floor};
use crate::bench::market::Market;
use crate::bench::measure::{Flow, Measure};

/// Agents, each with an account of its own.
pub const AGENTS: usize = 1_000;

/// Capabilities that standing quotes are spread over.
const CAPABILITIES: u32 = 10;

/// Open RFQs that sealed quotes are spread over.
const RFQS: usize = 1_000;

/// After so long no contract of a bench is open.
const CONTRACTS_EXPIRE_AFTER: DurationNs = DurationNs::from_secs(7_200);

/// What the flows have in common.
pub struct Flows {
    pub commands: u32,
    pub seed: u64,
    pub timer_ns: u64,
    pub floor_mean_ns: f64,
}

impl Flows {
    /// Updates of standing quotes: a random agent moves its price for a random capability.
    pub fn standing_update(&self) -> anyhow::Result<Flow> {
        let mut rng = self.rng();
        let mut market = Market::new(AGENTS as u64, CAPABILITIES)?;
        let capabilities = CAPABILITIES as usize;
        for capability in 0..capabilities {
            for agent in market.agents.clone() {
                let price = rng.random_range(1_000..2_000_000);
                let request = market.standing(agent, capability, 1, price);
                market.apply(request)?;
            }
        }
        let requests = (2..u64::from(self.commands) + 2).map(|revision| {
            let agent = market.agents[rng.random_range(0..market.agents.len())];
            let capability = rng.random_range(0..capabilities);
            market.standing(agent, capability, revision, rng.random_range(1_000..2_000_000))
        });
        let requests = requests.collect();
        self.measure(market, requests)
    }

    /// Sealed quotes of random agents for random ones of many open RFQs.
    pub fn sealed_quote(&self) -> anyhow::Result<Flow> {
        let mut rng = self.rng();
        let mut market = Market::new(AGENTS as u64, 1)?;
        market.fill_client_ids()?;
        // A first round touches the memory that the second one is measured in.
        let (rfqs, requests) = self.sealed_round(&mut market, &mut rng)?;
        for request in requests {
            market.apply(request)?;
        }
        for rfq in rfqs {
            let (client_id, target) = (market.client_id(), RfqTarget::Id(rfq));
            let command = Command::CancelRfq(CancelRfq { client_id, target });
            let agent = market.agents[0];
            market.apply(Request { agent, command })?;
        }
        let (_, requests) = self.sealed_round(&mut market, &mut rng)?;
        self.measure(market, requests)
    }

    /// Opens RFQs, and draws quotes for them: pairs of RFQ and agent, each once, in random order.
    fn sealed_round(
        &self,
        market: &mut Market,
        rng: &mut ChaCha8Rng,
    ) -> anyhow::Result<(Vec<RfqId>, Vec<Request>)> {
        let rfqs = open_rfqs(market)?;
        let agents = market.agents[1..].to_vec();
        let pairs = agents.iter().flat_map(|agent| rfqs.iter().map(|rfq| (*rfq, *agent)));
        let mut pairs: Vec<_> = pairs.take(self.commands as usize).collect();
        for index in (1..pairs.len()).rev() {
            pairs.swap(index, rng.random_range(0..=index));
        }
        let valid_until = market.valid_until();
        let mut quote = |(rfq, agent)| {
            let client_id = market.client_id();
            let price = Micros::new(rng.random_range(1_000..2_000_000));
            let place = PlaceQuote {
                client_id,
                rfq,
                offer: Offer::new(price, valid_until),
                signature: None,
            };
            Request { agent, command: Command::PlaceQuote(place) }
        };
        let requests = pairs.into_iter().map(&mut quote).collect();
        Ok((rfqs, requests))
    }

    /// Window-0 RFQs against so many standing quotes: hold, clear, award, escrow in one step.
    pub fn window0(&self, standing: usize) -> anyhow::Result<Flow> {
        let mut market = market_with_standing(standing)?;
        let buyers = buyers(&market, standing);
        let count = self.commands.min(100_000) as usize;
        let round = |market: &mut Market| -> Vec<Request> {
            let buyers = buyers.iter().cycle().take(count);
            buyers.map(|buyer| market.rfq(*buyer, 0, DurationNs::ZERO)).collect()
        };
        // A first round touches the memory that the second one is measured in.
        for request in round(&mut market) {
            market.apply(request)?;
        }
        market.pass(CONTRACTS_EXPIRE_AFTER);
        let requests = round(&mut market);
        self.measure(market, requests)
    }

    /// Delivery and acceptance: the provider is paid.
    pub fn lifecycle(&self) -> anyhow::Result<Flow> {
        let mut market = market_with_standing(10)?;
        let mut requests = Vec::new();
        let count = (self.commands / 2).min(50_000) as usize;
        for buyer in buyers(&market, 10).into_iter().cycle().take(count) {
            let request = market.rfq(buyer, 0, DurationNs::ZERO);
            market.apply(request)?;
            let (contract, provider) = awarded(market.events())?;
            let (client_id, deliverable) = (market.client_id(), Digest::new([3; 32]));
            let deliver = Command::Deliver(Deliver { client_id, contract, deliverable });
            requests.push(Request { agent: provider, command: deliver });
            let client_id = market.client_id();
            let accept = Command::AcceptDelivery(AcceptDelivery { client_id, contract });
            requests.push(Request { agent: buyer, command: accept });
        }
        self.measure(market, requests)
    }

    /// Measures each request by itself; the first tenth warms up.
    fn measure(&self, mut market: Market, requests: Vec<Request>) -> anyhow::Result<Flow> {
        let stamped = market.stamp_all(requests);
        let (warm_up, measured) = stamped.split_at(stamped.len() / 10);
        market.replay(warm_up, 1);
        let mut measure = Measure::new(self.timer_ns)?;
        for command in measured.chunks(1) {
            measure.steps(&mut market, command, 0);
        }
        measure.flow(Some(self.floor_mean_ns))?.all_accepted()
    }

    fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }
}

/// The floor kernel, at the working set of the sealed quotes.
pub fn floor(commands: u32, seed: u64, timer_ns: u64) -> anyhow::Result<Flow> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let drawn = (0..commands).map(|_| {
        let (agent, auction) = (rng.random_range(0..AGENTS), rng.random_range(0..RFQS));
        FlatQuote::sealed(agent, auction, rng.random_range(1_000..2_000_000))
    });
    let drawn: Vec<FlatQuote> = drawn.collect();
    Floor::new(AGENTS, RFQS, 0).measure(&drawn, drawn.len() / 10, timer_ns)
}

fn open_rfqs(market: &mut Market) -> anyhow::Result<Vec<RfqId>> {
    let buyer = market.agents[0];
    (0..RFQS)
        .map(|_| {
            let request = market.rfq(buyer, 0, DurationNs::from_secs(10 * 3_600));
            market.apply(request)?;
            match market.events().first() {
                Some(Event::RfqOpened(opened)) => Ok(opened.rfq),
                other => anyhow::bail!("opening an RFQ brought about {other:?}"),
            }
        })
        .collect()
}

fn market_with_standing(standing: usize) -> anyhow::Result<Market> {
    let mut market = Market::new(AGENTS as u64, 1)?;
    market.fill_client_ids()?;
    for (number, agent) in (0..).zip(market.agents.clone().into_iter().skip(1).take(standing)) {
        // No account may have all the contracts, so the best price goes round.
        let request = market.standing(agent, 0, 1, 1_000_000 + number);
        market.apply(request)?;
    }
    Ok(market)
}

/// Returns the agents that have no standing quote.
fn buyers(market: &Market, standing: usize) -> Vec<AgentId> {
    market.agents.iter().skip(1 + standing).copied().collect()
}

fn awarded(events: &[Event]) -> anyhow::Result<(ContractId, AgentId)> {
    for event in events {
        if let Event::Awarded(awarded) = event {
            return Ok((awarded.contract, awarded.parties.provider));
        }
    }
    anyhow::bail!("a window-0 RFQ was not awarded at once: {events:?}")
}
