//! `gavel bench core`: the service time of one command in the pure exchange, beside the floor.
//!
//! Closed loop on one thread: the next command is applied when the last one is done. Each command is
//! timed by itself for the percentiles, with the timer's own cost subtracted, and all of them
//! together for the mean. Nothing of the wire or of the journal is included.

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use clap::Parser;
use gavel_protocol::{
    AcceptDelivery, AgentId, CancelRfq, Command, ContractId, Deliver, Digest, DurationNs, Event,
    Micros, Offer, PlaceQuote, Request, RfqId, RfqTarget,
};
use hdrhistogram::Histogram;
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::Exit;
use crate::allocator::allocations;
use crate::bench::floor::{FlatQuote, Floor};
use crate::bench::machine::Machine;
use crate::bench::market::Market;
use crate::output::Output;

/// Arguments of `gavel bench core`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel bench core --commands 200000 --json")]
pub struct CoreArgs {
    /// Commands per flow.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=500_000))]
    pub commands: u32,
    /// The seed of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Agents, each with an account of its own.
const AGENTS: u64 = 1_000;

/// Capabilities that standing quotes are spread over.
const CAPABILITIES: u32 = 10;

/// Open RFQs that sealed quotes are spread over.
const RFQS: usize = 1_000;

/// After so long no contract of a bench is open.
const CONTRACTS_EXPIRE_AFTER: DurationNs = DurationNs::from_secs(7_200);

/// What a bench came to.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    commands_per_flow: u32,
    seed: u64,
    agents: u64,
    timer_ns: u64,
    floor: Flow,
    standing_update: Flow,
    sealed_quote: Flow,
    window0_rfq_of_10: Flow,
    window0_rfq_of_100: Flow,
    lifecycle: Flow,
}

/// The service time of one kind of command.
#[derive(Debug, Serialize)]
struct Flow {
    commands_per_s: f64,
    mean_ns: f64,
    p50_ns: u64,
    p99_ns: u64,
    p999_ns: u64,
    max_ns: u64,
    allocations_per_command: f64,
    events_per_command: f64,
    times_floor: f64,
}

/// Runs the bench.
pub fn run(args: &CoreArgs, output: &Output) -> anyhow::Result<Exit> {
    let timer_ns = timer_cost();
    let floor = floor(args, timer_ns)?;
    let mut flows = Flows { args, timer_ns, floor_mean_ns: floor.mean_ns };
    let report = Report {
        machine: Machine::read(),
        commands_per_flow: args.commands,
        seed: args.seed,
        agents: AGENTS,
        timer_ns,
        standing_update: flows.standing_update()?,
        sealed_quote: flows.sealed_quote()?,
        window0_rfq_of_10: flows.window0(10)?,
        window0_rfq_of_100: flows.window0(100)?,
        lifecycle: flows.lifecycle()?,
        floor,
    };
    output.summary(&report, &report);
    Ok(Exit::Done)
}

/// What the flows have in common.
struct Flows<'a> {
    args: &'a CoreArgs,
    timer_ns: u64,
    floor_mean_ns: f64,
}

impl Flows<'_> {
    /// Updates of standing quotes: a random agent moves its price for a random capability.
    fn standing_update(&mut self) -> anyhow::Result<Flow> {
        let mut rng = self.rng();
        let mut market = Market::new(AGENTS, CAPABILITIES)?;
        let capabilities = CAPABILITIES as usize;
        for capability in 0..capabilities {
            for agent in market.agents.clone() {
                let price = rng.random_range(1_000..2_000_000);
                let request = market.standing(agent, capability, 1, price);
                market.apply(request)?;
            }
        }
        let requests = (2..u64::from(self.args.commands) + 2).map(|revision| {
            let agent = market.agents[rng.random_range(0..market.agents.len())];
            let capability = rng.random_range(0..capabilities);
            market.standing(agent, capability, revision, rng.random_range(1_000..2_000_000))
        });
        let requests = requests.collect();
        self.measure(market, requests)
    }

    /// Sealed quotes of random agents for random ones of many open RFQs.
    fn sealed_quote(&mut self) -> anyhow::Result<Flow> {
        let mut rng = self.rng();
        let mut market = Market::new(AGENTS, 1)?;
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
        let mut pairs: Vec<_> = pairs.take(self.args.commands as usize).collect();
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
    fn window0(&mut self, standing: usize) -> anyhow::Result<Flow> {
        let mut market = market_with_standing(standing)?;
        let buyers = buyers(&market, standing);
        let count = self.args.commands.min(100_000) as usize;
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
    fn lifecycle(&mut self) -> anyhow::Result<Flow> {
        let mut market = market_with_standing(10)?;
        let mut requests = Vec::new();
        let count = (self.args.commands / 2).min(50_000) as usize;
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

    /// Measures each request by itself, and counts what it allocates and causes.
    fn measure(&mut self, mut market: Market, requests: Vec<Request>) -> anyhow::Result<Flow> {
        let stamped = market.stamp_all(requests);
        let mut measure = Measure::new(self.timer_ns)?;
        let (mut events, mut rejected) = (0, 0);
        // The first tenth warms up.
        let (warm_up, measured) = stamped.split_at(stamped.len() / 10);
        for request in warm_up {
            market.step(request);
        }
        for request in measured {
            measure.one(|| market.step(black_box(request)));
            events += market.events().len();
            rejected += usize::from(matches!(market.events().first(), Some(Event::Rejected(_))));
        }
        anyhow::ensure!(rejected == 0, "{rejected} of {} commands were rejected", measured.len());
        measure.flow(events, self.floor_mean_ns)
    }

    fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(self.args.seed)
    }
}

/// Times pieces of work, and counts their allocations.
struct Measure {
    histogram: Histogram<u64>,
    timer_ns: u64,
    total_ns: u64,
    allocations: u64,
}

impl Measure {
    fn new(timer_ns: u64) -> anyhow::Result<Self> {
        let histogram = Histogram::new_with_bounds(1, 10_000_000_000, 3)?;
        Ok(Self { histogram, timer_ns, total_ns: 0, allocations: 0 })
    }

    fn one(&mut self, work: impl FnOnce()) {
        let allocations_before = allocations();
        let start = Instant::now();
        work();
        let elapsed = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.allocations += allocations() - allocations_before;
        let elapsed = elapsed.saturating_sub(self.timer_ns);
        self.total_ns += elapsed;
        self.histogram.saturating_record(elapsed);
    }

    fn flow(self, events: usize, floor_mean_ns: f64) -> anyhow::Result<Flow> {
        let count = self.histogram.len();
        anyhow::ensure!(count > 0, "nothing was measured");
        let per_command = |total: f64| total / count as f64;
        let mean_ns = per_command(self.total_ns as f64);
        Ok(Flow {
            commands_per_s: 1e9 / mean_ns,
            mean_ns,
            p50_ns: self.histogram.value_at_quantile(0.5),
            p99_ns: self.histogram.value_at_quantile(0.99),
            p999_ns: self.histogram.value_at_quantile(0.999),
            max_ns: self.histogram.max(),
            allocations_per_command: per_command(self.allocations as f64),
            events_per_command: per_command(events as f64),
            times_floor: mean_ns / floor_mean_ns,
        })
    }
}

/// The floor kernel, at the working set of the sealed quotes.
fn floor(args: &CoreArgs, timer_ns: u64) -> anyhow::Result<Flow> {
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let quotes = 2 * args.commands as usize / RFQS + 64;
    let mut floor = Floor::new(AGENTS, RFQS as u64, quotes);
    let mut measure = Measure::new(timer_ns)?;
    let drawn = (0..args.commands).map(|_| {
        let (agent, auction) = (rng.random_range(0..AGENTS), rng.random_range(0..RFQS as u64));
        FlatQuote::new(agent, auction, rng.random_range(1_000..2_000_000))
    });
    let drawn: Vec<FlatQuote> = drawn.collect();
    let mut taken = 0;
    for quote in &drawn {
        measure.one(|| taken += usize::from(floor.take(black_box(quote))));
    }
    anyhow::ensure!(taken == drawn.len(), "the floor takes every quote");
    let mut flow = measure.flow(taken, 1.0)?;
    flow.times_floor = 1.0;
    Ok(flow)
}

/// The cost of timing nothing: the median of many.
fn timer_cost() -> u64 {
    let mut costs: Vec<u64> = (0..100_000)
        .map(|_| {
            let start = Instant::now();
            u64::try_from(black_box(start).elapsed().as_nanos()).unwrap_or(u64::MAX)
        })
        .collect();
    costs.sort_unstable();
    costs[costs.len() / 2]
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
    let mut market = Market::new(AGENTS, 1)?;
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "core: service time of one command, closed loop, no wire, no journal")?;
        writeln!(f, "{}", self.machine)?;
        writeln!(
            f,
            "{} commands per flow, seed {}, {} agents; timer of {} ns subtracted\n",
            self.commands_per_flow, self.seed, self.agents, self.timer_ns
        )?;
        writeln!(
            f,
            "{:<20} {:>10} {:>9} {:>8} {:>8} {:>8} {:>9} {:>7} {:>7} {:>8}",
            "flow", "per s", "mean ns", "p50", "p99", "p99.9", "max", "alloc", "events", "× floor"
        )?;
        for (name, flow) in [
            ("floor kernel", &self.floor),
            ("standing update", &self.standing_update),
            ("sealed quote", &self.sealed_quote),
            ("window-0 RFQ of 10", &self.window0_rfq_of_10),
            ("window-0 RFQ of 100", &self.window0_rfq_of_100),
            ("deliver, accept", &self.lifecycle),
        ] {
            writeln!(f, "{name:<20} {flow}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>10.0} {:>9.1} {:>8} {:>8} {:>8} {:>9} {:>7.3} {:>7.2} {:>8.2}",
            self.commands_per_s,
            self.mean_ns,
            self.p50_ns,
            self.p99_ns,
            self.p999_ns,
            self.max_ns,
            self.allocations_per_command,
            self.events_per_command,
            self.times_floor
        )
    }
}
