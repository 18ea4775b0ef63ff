//! Flows that hurt: everything on one RFQ, nobody known yet, full tables, nothing accepted.

use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_protocol::{
    AcceptDelivery, Command, ContractId, Deliver, Digest, DurationNs, Event, Micros, Offer,
    PlaceQuote, Request, RfqId, Stamped,
};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::bench::market::{FILLING_AGENTS, Market};
use crate::bench::measure::{Flow, Recording};

/// Agents of these flows, each with an account of its own.
const AGENTS: u64 = 10_000;

/// Agents where each of them sends one command: nearly as many as there may be.
const NEW_AGENTS: u64 = 60_000;

/// Capabilities of these flows.
const CAPABILITIES: u32 = 100;

/// Quotes on the one RFQ: as many as it takes.
const QUOTES_ON_ONE: usize = 4_096;

/// How long the one RFQ collects quotes: longer than they take, at 200 ns each.
const WINDOW: DurationNs = DurationNs::from_millis(1);

/// How the flows are measured.
pub struct Hard {
    pub seed: u64,
    pub timer_ns: u64,
    pub floor_mean_ns: f64,
}

impl Hard {
    /// All quotes on one RFQ, until it is full and closes; then on the next one.
    pub fn one_rfq(&self, commands: usize) -> anyhow::Result<Flow> {
        let market = || full(Market::new(AGENTS, CAPABILITIES)?);
        let (mut rng, mut stream) = (self.rng(), Vec::new());
        let mut recorded = market()?;
        while stream.len() < commands {
            let mut rfq = None;
            let request = recorded.rfq(recorded.agents[0], 0, WINDOW);
            recorded.record(request, &mut stream, |event, _| {
                if let Event::RfqOpened(opened) = event {
                    rfq = Some(opened.rfq);
                }
            });
            let rfq = rfq.ok_or_else(|| anyhow::anyhow!("the RFQ was not opened"))?;
            for number in 1..=QUOTES_ON_ONE {
                let request = quote(&mut recorded, &mut rng, number, rfq);
                recorded.record(request, &mut stream, |_, _| {});
            }
            recorded.wait(WINDOW);
        }
        self.measure(&market, &stream)?.all_accepted()
    }

    /// Every command is the first one of its agent: standing quotes, and some sealed ones.
    pub fn new_agents(&self) -> anyhow::Result<Flow> {
        let market = || full(Market::new(NEW_AGENTS, CAPABILITIES)?);
        let (mut rng, mut stream) = (self.rng(), Vec::new());
        let (mut recorded, mut rfqs) = (market()?, Vec::new());
        for number in 0..FILLING_AGENTS {
            let buyer = recorded.agents[number];
            let request = recorded.rfq(buyer, 0, DurationNs::from_secs(3_600));
            recorded.record(request, &mut stream, |event, _| {
                if let Event::RfqOpened(opened) = event {
                    rfqs.push(opened.rfq);
                }
            });
        }
        for number in FILLING_AGENTS..recorded.agents.len() {
            let request = if rng.random_range(0..100) < 70 {
                let capability = rng.random_range(0..CAPABILITIES as usize);
                let price = rng.random_range(1_000..2_000_000);
                recorded.standing(recorded.agents[number], capability, 1, price)
            } else {
                let rfq = rfqs[rng.random_range(0..rfqs.len())];
                quote(&mut recorded, &mut rng, number, rfq)
            };
            recorded.record(request, &mut stream, |_, _| {});
        }
        self.measure(&market, &stream)?.all_accepted()
    }

    /// Every command carries two client ids, and each pushes the oldest one out.
    pub fn full_tables(&self, commands: usize) -> anyhow::Result<Flow> {
        let market = || full(Market::new(AGENTS, CAPABILITIES)?);
        let (mut rng, mut stream) = (self.rng(), Vec::new());
        let mut recorded = market()?;
        for _ in 0..commands {
            let agent = recorded.agents[rng.random_range(0..recorded.agents.len())];
            let request = recorded.early_cancel(agent);
            recorded.record(request, &mut stream, |_, _| {});
        }
        self.measure(&market, &stream)?.all_accepted()
    }

    /// Every command is rejected: stale revisions, RFQs and contracts that never were.
    pub fn rejects(&self, commands: usize) -> anyhow::Result<Flow> {
        let market = || {
            let mut market = Market::new(AGENTS, CAPABILITIES)?;
            for agent in market.agents.clone() {
                market.apply(market.standing(agent, 0, 2, 1_000))?;
            }
            Ok(market)
        };
        let (mut rng, mut stream) = (self.rng(), Vec::new());
        let mut recorded = market()?;
        for _ in 0..commands {
            let number = rng.random_range(0..recorded.agents.len());
            let agent = recorded.agents[number];
            let (unknown, client_id) = (rng.random::<u64>(), recorded.client_id());
            let contract = ContractId::new(unknown);
            let request = match rng.random_range(0..4) {
                0 => recorded.standing(agent, 0, 1, 1_000),
                1 => quote(&mut recorded, &mut rng, number, RfqId::new(unknown)),
                2 => {
                    let deliverable = Digest::new([3; 32]);
                    let deliver = Deliver { client_id, contract, deliverable };
                    Request { agent, command: Command::Deliver(deliver) }
                }
                _ => {
                    let accept = AcceptDelivery { client_id, contract };
                    Request { agent, command: Command::AcceptDelivery(accept) }
                }
            };
            recorded.record(request, &mut stream, |_, _| {});
        }
        let flow = self.measure(&market, &stream)?;
        anyhow::ensure!(flow.accepted_share == 0.0, "something was accepted");
        Ok(flow)
    }

    fn measure(
        &self,
        market: &dyn Fn() -> anyhow::Result<Market>,
        stream: &[Stamped],
    ) -> anyhow::Result<Flow> {
        let recording =
            Recording { market, stream, warm_up: stream.len() / 10, ahead: LOOK_AHEAD_MAX };
        recording.measure(self.timer_ns, self.floor_mean_ns)
    }

    fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.seed)
    }
}

/// Fills the table of client ids, as it is after the first minutes of any market: and its memory is
/// touched before the measurement.
fn full(mut market: Market) -> anyhow::Result<Market> {
    market.fill_client_ids()?;
    Ok(market)
}

/// Returns a sealed quote of the agent of that number.
fn quote(market: &mut Market, rng: &mut ChaCha8Rng, number: usize, rfq: RfqId) -> Request {
    let client_id = market.client_id();
    let price = Micros::new(rng.random_range(1_000..2_000_000));
    let valid_until = market.valid_until();
    let place =
        PlaceQuote { client_id, rfq, offer: Offer::new(price, valid_until), signature: None };
    Request { agent: market.agents[number], command: Command::PlaceQuote(place) }
}
