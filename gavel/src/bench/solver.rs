//! `gavel bench solver`: what the clearing of bundles costs the core.
//!
//! The search itself runs beside the core and is measured by `gavel solve`. Here it is what the core
//! does for an auction of the largest size: pose the problem, construct a first answer, check what is
//! proposed, award, and tell the losers; each step is timed by itself. And what other commands take
//! while sixteen such auctions are being cleared.

use std::fmt;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use gavel_exchange::limits::{
    BUNDLES_AWARDED_PER_STEP_MAX, BUNDLES_POSED_PER_STEP_MAX, BUNDLES_TOLD_PER_STEP_MAX,
};
use gavel_protocol::limits::{BUNDLES_PER_RFQ_MAX, ITEMS_MAX};
use gavel_protocol::{
    AcceptDelivery, AgentId, Bundle, BundleGroup, BundleTerms, Command, ContractId, Currency,
    Deliver, Digest, DurationNs, Event, Format, GroupRule, Item, Items, Micros, NewGroup, OpenRfq,
    Parties, PaymentRule, PosedBundle, PosedItem, Problem, ProblemPosed, ProposeAllocation,
    QuoteBundles, Request, RfqId, RfqTerms,
};
use gavel_solver::{Budget, propose};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::Exit;
use crate::bench::machine::Machine;
use crate::bench::market::Market;
use crate::bench::measure::{Flow, Heads, Measure, timer_cost};
use crate::output::Output;

/// Providers, each with one group of bundles per auction.
const PROVIDERS: usize = 512;
/// Bundles of a group.
const BUNDLES_PER_GROUP: usize = BUNDLES_PER_RFQ_MAX / PROVIDERS;
/// Auctions that are cleared at once.
const AT_ONCE: usize = 16;
/// How long they collect bundles.
const WINDOW: DurationNs = DurationNs::from_secs(10);
/// How long they take proposals: longer than the bench, which proposes by itself.
const CLEARING: DurationNs = DurationNs::from_secs(10);
/// What the search behind a proposal gets.
const SEARCH: Duration = Duration::from_millis(50);

/// Arguments of `gavel bench solver`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel bench solver --json")]
pub struct SolverArgs {
    /// Auctions that are measured one after the other.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub auctions: u32,
    /// The seed of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What a bench came to.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    seed: u64,
    timer_ns: u64,
    items: usize,
    bundles: usize,
    /// Per step.
    quote_bundles: Flow,
    pose: Flow,
    construct: Flow,
    check: Flow,
    award: Flow,
    tell: Flow,
    /// Posing, constructing and checking one proposal, in all, of the median auction.
    close_ns: u64,
    /// The longest of their steps in the median auction.
    longest_step_ns: u64,
    standing_update_alone: Flow,
    standing_update_while_16_clear: Flow,
}

/// Runs the bench.
pub fn run(args: &SolverArgs, output: &Output) -> anyhow::Result<Exit> {
    let (seed, timer_ns) = (args.seed, timer_cost());
    let mut bench = Bench::new(seed, timer_ns)?;
    let mut phases = Phases::new(timer_ns)?;
    let mut closes = Vec::new();
    // The first one touches the memory that the others use.
    bench.auction(&mut Phases::new(timer_ns)?)?;
    for _ in 0..args.auctions {
        closes.push(bench.auction(&mut phases)?);
    }
    closes.sort_unstable();
    let (close_ns, _) = closes[closes.len() / 2];
    closes.sort_unstable_by_key(|(_, longest)| *longest);
    let (_, longest_step_ns) = closes[closes.len() / 2];
    let (alone, beside) = bench.others()?;
    let report = Report {
        machine: Machine::read(),
        seed,
        timer_ns,
        items: ITEMS_MAX,
        bundles: BUNDLES_PER_RFQ_MAX,
        quote_bundles: phases.quote.flow(None)?,
        pose: phases.pose.flow(None)?,
        construct: phases.construct.flow(None)?,
        check: phases.check.flow(None)?,
        award: phases.award.flow(None)?,
        tell: phases.tell.flow(None)?,
        close_ns,
        longest_step_ns,
        standing_update_while_16_clear: beside.flow(Some(alone.mean_ns()))?,
        standing_update_alone: alone.flow(None)?,
    };
    output.summary(&report, &report);
    Ok(Exit::Done)
}

/// The steps of a clearing, by what they do.
struct Phases {
    quote: Measure,
    pose: Measure,
    construct: Measure,
    check: Measure,
    award: Measure,
    tell: Measure,
}

impl Phases {
    fn new(timer_ns: u64) -> anyhow::Result<Self> {
        Ok(Self {
            quote: Measure::new(timer_ns)?,
            pose: Measure::new(timer_ns)?,
            construct: Measure::new(timer_ns)?,
            check: Measure::new(timer_ns)?,
            award: Measure::new(timer_ns)?,
            tell: Measure::new(timer_ns)?,
        })
    }
}

struct Bench {
    market: Market,
    rng: ChaCha8Rng,
    timer_ns: u64,
    revision: u64,
}

/// An auction that takes proposals.
struct Cleared {
    rfq: RfqId,
    problem: Problem,
    /// What the core has spent on it so far, and its longest step.
    spent: (u64, u64),
}

impl Bench {
    fn new(seed: u64, timer_ns: u64) -> anyhow::Result<Self> {
        // One agent more, who buys.
        let market = Market::new(PROVIDERS as u64 + 1, 1)?;
        Ok(Self { market, rng: ChaCha8Rng::seed_from_u64(seed), timer_ns, revision: 0 })
    }

    /// Clears one auction, and returns what posing, constructing and checking took, in all and at a
    /// time.
    fn auction(&mut self, phases: &mut Phases) -> anyhow::Result<(u64, u64)> {
        let (rfq, items) = self.open()?;
        self.quote(rfq, &items, &mut phases.quote)?;
        self.market.wait(WINDOW);
        let cleared = self.pose(&items, phases)?.pop().context("an auction is being cleared")?;
        anyhow::ensure!(cleared.rfq == rfq, "another auction is being cleared");
        let (mut spent, mut longest) = cleared.spent;
        let request = proposal(&cleared.problem)?;
        let stamped = self.market.stamped(request);
        let check = phases.check.timed(&mut self.market, &stamped);
        anyhow::ensure!(
            !matches!(self.market.events().first(), Some(Event::Rejected(_))),
            "the proposal was rejected: {:?}",
            self.market.events()
        );
        (spent, longest) = (spent + check, longest.max(check));
        self.market.wait(CLEARING);
        let mut contracts = Vec::new();
        while let Some(stamped) = self.market.due_now() {
            let awards = |event: &Event| matches!(event, Event::Awarded(_) | Event::RfqCleared(_));
            // The step tells what it was by what it did: it is timed before that is known.
            let took = timed_by(self.timer_ns, || self.market.step(&stamped));
            let phase = match self.market.events().iter().any(awards) {
                true => &mut phases.award,
                false => &mut phases.tell,
            };
            phase.add(took, self.market.events().len());
            contracts.extend(self.market.events().iter().filter_map(|event| {
                let Event::Awarded(awarded) = event else { return None };
                Some((awarded.contract, awarded.parties))
            }));
        }
        for (contract, parties) in contracts {
            self.settle(contract, parties)?;
        }
        Ok((spent, longest))
    }

    /// Delivers and accepts the work, so that the next contract finds its place.
    fn settle(&mut self, contract: ContractId, parties: Parties) -> anyhow::Result<()> {
        let (client_id, deliverable) = (self.market.client_id(), Digest::new([3; 32]));
        let command = Command::Deliver(Deliver { client_id, contract, deliverable });
        self.market.apply(Request { agent: parties.provider, command })?;
        let client_id = self.market.client_id();
        let command = Command::AcceptDelivery(AcceptDelivery { client_id, contract });
        self.market.apply(Request { agent: parties.buyer, command })?;
        Ok(())
    }

    fn open(&mut self) -> anyhow::Result<(RfqId, Vec<Item>)> {
        let buyer = self.market.agents[PROVIDERS];
        let rng = &mut self.rng;
        let items: Vec<_> = (0..ITEMS_MAX)
            .map(|_| Item {
                quantity: 1,
                load: rng.random_range(1..=10),
                reserve: Micros::new(rng.random_range(1_000_000..=20_000_000)),
            })
            .collect();
        let bundles = BundleTerms {
            items: items.clone(),
            free_disposal: false,
            all_or_none: false,
            payment: PaymentRule::PayAsBid,
            clearing_within: CLEARING,
            external_solvers: false,
        };
        let reserve = bundles.reserve().context("reserves that fit")?;
        let plain = RfqTerms::plain(self.market.capabilities[0], Currency::USD, reserve);
        let terms = RfqTerms { format: Format::Combinatorial, window: WINDOW, ..plain };
        let client_id = self.market.client_id();
        let open = OpenRfq { bundles: Some(Box::new(bundles)), ..OpenRfq::plain(client_id, terms) };
        let command = Command::OpenRfq(Box::new(open));
        let outcome = self.market.apply(Request { agent: buyer, command })?;
        let gavel_protocol::Outcome::Rfq(handle) = outcome else {
            anyhow::bail!("opening an RFQ brought about something else");
        };
        Ok((handle.rfq, items))
    }

    /// Quotes as many bundles as there may be: two to eight items that lie together, at a discount
    /// that grows with their number.
    fn quote(&mut self, rfq: RfqId, items: &[Item], measure: &mut Measure) -> anyhow::Result<()> {
        for provider in 0..PROVIDERS {
            let rng = &mut self.rng;
            let bundles = (0..BUNDLES_PER_GROUP)
                .map(|_| {
                    let (first, size) = (rng.random_range(0..items.len()), rng.random_range(1..=8));
                    let set: Items = (0..size)
                        .filter_map(|next| u8::try_from((first + next * 3) % items.len()).ok())
                        .collect();
                    let worth: i64 = set.iter().map(|i| items[usize::from(i)].reserve.raw()).sum();
                    let percent = rng.random_range(55..=98) - 2 * i64::try_from(size).unwrap_or(0);
                    let price = Micros::new(worth * percent / 100);
                    Bundle { items: set, price, latency_ms: 0 }
                })
                .collect();
            let rule = match provider % 3 {
                0 => GroupRule::Or(40),
                _ => GroupRule::Xor,
            };
            let valid_until = self.market.valid_until();
            let group = BundleGroup::New(NewGroup { rule, valid_until, standby_until: None });
            let client_id = self.market.client_id();
            let quote = QuoteBundles { client_id, rfq, group, bundles, signature: None };
            let command = Command::QuoteBundles(Box::new(quote));
            let agent = self.market.agents[provider];
            let stamped = self.market.stamped(Request { agent, command });
            measure.timed(&mut self.market, &stamped);
        }
        Ok(())
    }

    /// Takes the steps that are due until proposals are taken, and returns the problems.
    fn pose(&mut self, items: &[Item], phases: &mut Phases) -> anyhow::Result<Vec<Cleared>> {
        let mut cleared: Vec<Cleared> = Vec::new();
        let mut bundles: Vec<(RfqId, Vec<PosedBundle>, u64, u64)> = Vec::new();
        while let Some(stamped) = self.market.due_now() {
            let took = timed_by(self.timer_ns, || self.market.step(&stamped));
            let mut phase = None;
            for event in self.market.events() {
                if let Event::BundlesPosed(posed) = event {
                    phase = Some(&mut phases.pose);
                    let at = bundles.iter().position(|(rfq, ..)| *rfq == posed.rfq);
                    let at = at.unwrap_or_else(|| {
                        bundles.push((posed.rfq, Vec::new(), 0, 0));
                        bundles.len() - 1
                    });
                    bundles[at].1.extend_from_slice(self.market.posed());
                    bundles[at].2 += took;
                    bundles[at].3 = bundles[at].3.max(took);
                } else if let Event::ClearingStarted(started) = event {
                    phase = Some(&mut phases.construct);
                    let at = bundles.iter().position(|(rfq, ..)| *rfq == started.rfq);
                    let (rfq, bundles, spent, longest) =
                        bundles.swap_remove(at.context("a problem has bundles")?);
                    let problem = problem(rfq, items, bundles, started.groups);
                    let spent = (spent + took, longest.max(took));
                    cleared.push(Cleared { rfq, problem, spent });
                }
            }
            if let Some(phase) = phase {
                phase.add(took, self.market.events().len());
            }
        }
        Ok(cleared)
    }

    /// Measures updates of standing quotes: alone, and while auctions are being cleared.
    fn others(&mut self) -> anyhow::Result<(Measure, Measure)> {
        let mut alone = Measure::new(self.timer_ns)?;
        for _ in 0..100_000 {
            self.update(&mut alone);
        }
        let mut opened = Vec::new();
        for _ in 0..AT_ONCE {
            let (rfq, items) = self.open()?;
            self.quote(rfq, &items, &mut Measure::new(self.timer_ns)?)?;
            opened.push((rfq, items));
        }
        self.market.wait(WINDOW);
        let mut beside = Measure::new(self.timer_ns)?;
        let (mut problems, mut updates): (Vec<(RfqId, Vec<PosedBundle>, u32)>, usize) =
            (Vec::new(), 0);
        // Between two steps of the clearings, and between two proposals, others have their turn; the
        // steps of one phase alone are one job.
        while let Some(stamped) = self.market.due_now() {
            self.market.step(&stamped);
            for event in self.market.events() {
                if let Event::BundlesPosed(posed) = event {
                    match problems.iter_mut().find(|(rfq, ..)| *rfq == posed.rfq) {
                        Some((_, bundles, _)) => bundles.extend_from_slice(self.market.posed()),
                        None => problems.push((posed.rfq, self.market.posed().to_vec(), 0)),
                    }
                } else if let Event::ClearingStarted(started) = event
                    && let Some(problem) = problems.iter_mut().find(|(rfq, ..)| *rfq == started.rfq)
                {
                    problem.2 = started.groups;
                }
            }
        }
        for (rfq, bundles, groups) in problems {
            let of_rfq = opened.iter().find(|(opened, _)| *opened == rfq);
            let (_, items) = of_rfq.context("an auction that was opened")?;
            let request = proposal(&problem(rfq, items, bundles, groups))?;
            for _ in 0..5_000 {
                self.update(&mut beside);
                updates += 1;
            }
            let stamped = self.market.stamped(request);
            self.market.step(&stamped);
        }
        anyhow::ensure!(updates > 0, "nothing was cleared");
        self.market.pass(CLEARING);
        Ok((alone, beside))
    }

    fn update(&mut self, measure: &mut Measure) {
        while let Some(due) = self.market.due_now() {
            self.market.step(&due);
        }
        self.revision += 1;
        let agent = self.market.agents[self.rng.random_range(0..PROVIDERS)];
        let price = self.rng.random_range(1_000..2_000_000);
        let request = self.market.standing(agent, 0, self.revision, price);
        let stamped = self.market.stamped(request);
        measure.timed(&mut self.market, &stamped);
    }
}

fn timed_by(timer_ns: u64, work: impl FnOnce()) -> u64 {
    let start = std::time::Instant::now();
    work();
    let nanos = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    nanos.saturating_sub(timer_ns)
}

fn problem(rfq: RfqId, items: &[Item], bundles: Vec<PosedBundle>, groups: u32) -> Problem {
    let posed =
        |item: &Item| PosedItem { load: item.load, reserve: item.worth().unwrap_or_default() };
    let posed = ProblemPosed {
        rfq,
        ends_at: gavel_protocol::TimestampNs::default(),
        items: items.iter().map(posed).collect(),
        free_disposal: false,
        all_or_none: false,
        payment: PaymentRule::PayAsBid,
        external_solvers: false,
        bundles: u32::try_from(bundles.len()).unwrap_or(u32::MAX),
        groups,
    };
    Problem { posed, bundles }
}

/// Returns what the exchange's own solvers propose.
fn proposal(problem: &Problem) -> anyhow::Result<Request> {
    let proposal: ProposeAllocation =
        propose(problem, Budget::Time(SEARCH)).context("a problem that fits the solver")?;
    let command = Command::ProposeAllocation(Box::new(proposal));
    Ok(Request { agent: AgentId::EXCHANGE, command })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, seed, timer_ns, items, bundles, close_ns, longest_step_ns, .. } = self;
        writeln!(
            f,
            "what clearing costs the core: {bundles} bundles of {items} items per auction"
        )?;
        writeln!(f, "{machine}")?;
        writeln!(f, "seed {seed}; timer of {timer_ns} ns subtracted")?;
        writeln!(
            f,
            "a step poses {BUNDLES_POSED_PER_STEP_MAX} bundles, awards {BUNDLES_AWARDED_PER_STEP_MAX} or tells \
             {BUNDLES_TOLD_PER_STEP_MAX}\n\n{:<28} {Heads}",
            "step"
        )?;
        for (name, flow) in [
            ("8 bundles quoted", &self.quote_bundles),
            ("bundles posed", &self.pose),
            ("first answer constructed", &self.construct),
            ("proposal checked", &self.check),
            ("bundles awarded", &self.award),
            ("losers told", &self.tell),
            ("standing update, alone", &self.standing_update_alone),
            ("… while 16 auctions clear", &self.standing_update_while_16_clear),
        ] {
            writeln!(f, "{name:<28} {flow}")?;
        }
        write!(
            f,
            "\nposed, constructed and checked in {close_ns} ns, longest step {longest_step_ns} ns"
        )
    }
}
