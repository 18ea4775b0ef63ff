//! A population on the exchange: sealed quotes for a window, or standing quotes at once.

use std::collections::HashMap;

use gavel_protocol::{
    AcceptDelivery, AgentId, AmendQuote, Awarded, CancelQuote, Command, ContractId,
    ContractSettled, Deliver, Digest, DurationNs, Event, Micros, Offer, Outcome, PlaceQuote,
    QuoteId, QuoteRef, QuoteTarget, RfqClosed, RfqId, RfqResult, TimestampNs,
};

use super::agenda::Agenda;
use super::commitments::Commitments;
use super::error::EconomyError;
use super::market::{BEGIN, Market};
use super::population::{Behaviour, ProviderGroup};
use super::strategy::{Beliefs, Venue};
use super::tally::{Payment, Tally};
use super::world::{Answer, World};

/// How long after the close a sealed quote stays firm.
const FIRM_AFTER_CLOSE: DurationNs = DurationNs::from_secs(1);

/// Lets a world trade on a new exchange. Without a window, every RFQ is cleared at once.
pub(super) fn trade(world: &World<'_>, window: DurationNs) -> Result<Tally, EconomyError> {
    let is_window_zero = window == DurationNs::ZERO;
    let venue = if is_window_zero { Venue::WindowZero } else { Venue::Windowed };
    let market = Market::found(world)?;
    let providers = market.providers.iter().copied().zip(0..).collect();
    let mut trading = Trading {
        world,
        window,
        beliefs: Beliefs::of(world, venue),
        market,
        providers,
        agenda: Agenda::new(),
        rfqs: HashMap::new(),
        contracts: HashMap::new(),
        commitments: Commitments::default(),
        standing_left: vec![0; world.providers.len()],
        standing_since: None,
        tally: Tally::new(world),
    };
    trading.plan_opening(0);
    trading.run();
    trading.tally.commands = trading.market.commands;
    trading.tally.trial_balance = Some(trading.market.trial_balance());
    Ok(trading.tally)
}

/// What somebody does at a time.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// A buyer opens the RFQ of a job.
    Open { job: usize },
    /// A provider answers an RFQ.
    Answer { rfq: RfqId, job: usize, closes_at: TimestampNs, answer: Answer },
    /// A provider sends a further command about a quote of its own.
    Flood { rfq: RfqId, provider: usize, step: u32 },
    /// A provider delivers, and the buyer accepts.
    Deliver { contract: ContractId },
    /// A provider states anew what it stands for.
    Restate { provider: usize },
}

/// A population that trades.
struct Trading<'a> {
    world: &'a World<'a>,
    window: DurationNs,
    /// By capability.
    beliefs: Vec<Beliefs>,
    market: Market,
    providers: HashMap<AgentId, usize>,
    agenda: Agenda<Action>,
    rfqs: HashMap<RfqId, OpenRfq>,
    contracts: HashMap<ContractId, Work>,
    commitments: Commitments,
    /// Jobs that each provider still stands for in this capacity period.
    standing_left: Vec<u32>,
    /// The capacity period that the standing quotes were set for.
    standing_since: Option<u64>,
    tally: Tally,
}

/// An RFQ that is open, and who quotes.
struct OpenRfq {
    job: usize,
    opened_at: TimestampNs,
    closes_at: TimestampNs,
    quotes: Vec<Quoted>,
    winner: Option<usize>,
}

/// A provider's quote.
struct Quoted {
    answer: Answer,
    price: Micros,
    at: TimestampNs,
    /// The live quote; none while its provider has canceled it.
    quote: Option<QuoteId>,
}

/// A contract that is open.
#[derive(Clone, Copy)]
struct Work {
    job: usize,
    provider: usize,
    cost: Micros,
    price: Micros,
}

impl Trading<'_> {
    /// Does everything in the order of time, deadlines first, until nothing is left.
    fn run(&mut self) {
        loop {
            if self.market.advance(self.agenda.next_at().unwrap_or(TimestampNs::MAX)) {
                self.follow();
                continue;
            }
            let Some((at, action)) = self.agenda.take() else { break };
            self.market.pass(at);
            match action {
                Action::Open { job } => self.open(job),
                Action::Answer { rfq, job, closes_at, answer } => {
                    self.answer((rfq, closes_at), job, answer);
                }
                Action::Flood { rfq, provider, step } => self.flood(rfq, provider, step),
                Action::Deliver { contract } => self.deliver(contract),
                Action::Restate { provider } => self.restate_standing_quote(provider),
            }
        }
    }

    fn plan_opening(&mut self, job: usize) {
        if let Some(opens) = self.world.jobs.get(job) {
            self.agenda.plan(BEGIN.after(opens.opens_after), Action::Open { job });
        }
    }

    fn open(&mut self, job: usize) {
        self.plan_opening(job + 1);
        let terms = self.world.jobs[job];
        self.renew_standing_quotes(terms.period);
        let window = if terms.is_window_zero { DurationNs::ZERO } else { self.window };
        let command = self.market.open_rfq(self.world, &terms, window);
        let Some(Outcome::Rfq(opened)) = self.submit(self.market.buyers[terms.buyer], command)
        else {
            self.tally.passed += 1;
            return;
        };
        let (rfq, opened_at, closes_at) = (opened.rfq, self.market.now(), opened.closes_at);
        let open = OpenRfq { job, opened_at, closes_at, quotes: Vec::new(), winner: None };
        self.rfqs.insert(rfq, open);
        if window > DurationNs::ZERO {
            for answer in self.world.answers(job) {
                let ready_at = opened_at.after(answer.after);
                let at = match self.world.providers[answer.provider].group.behaviour {
                    Behaviour::Sniping => ready_at.max(closes_at.before(answer.snipes_before)),
                    Behaviour::Honest { .. }
                    | Behaviour::Shading
                    | Behaviour::Fading { .. }
                    | Behaviour::Flooding { .. } => ready_at,
                };
                self.agenda.plan(at, Action::Answer { rfq, job, closes_at, answer });
            }
        }
        self.follow();
    }

    /// Sets every standing quote anew when another capacity period begins.
    fn renew_standing_quotes(&mut self, period: u64) {
        if self.standing_since == Some(period) {
            return;
        }
        self.standing_since = Some(period);
        for (index, provider) in self.world.providers.iter().enumerate() {
            let capacity = self.standing_capacity(provider.group);
            if capacity > 0 {
                let beliefs = &self.beliefs[provider.capability as usize];
                let price = beliefs.price(provider.group.behaviour, provider.cost_expected);
                let command = self.market.standing_quote(provider.capability, price, capacity);
                self.standing_left[index] = capacity;
                self.submit(self.market.providers[index], command);
            }
        }
    }

    /// States what a provider still stands for, so that units whose work is done do not come back
    /// before the next capacity period.
    fn restate_standing_quote(&mut self, index: usize) {
        let provider = &self.world.providers[index];
        let price = self.beliefs[provider.capability as usize]
            .price(provider.group.behaviour, provider.cost_expected);
        let command = match self.standing_left[index] {
            0 => self.market.cancel_standing_quote(provider.capability),
            left => self.market.standing_quote(provider.capability, price, left),
        };
        self.submit(self.market.providers[index], command);
    }

    /// Returns what a provider offers as a standing quote: everything, where nothing else is asked for.
    fn standing_capacity(&self, group: &ProviderGroup) -> u32 {
        if self.window == DurationNs::ZERO && group.standing_capacity > 0 {
            group.capacity
        } else if self.world.population.window_zero_bps > 0 {
            group.standing_capacity
        } else {
            0
        }
    }

    fn answer(&mut self, (rfq, closes_at): (RfqId, TimestampNs), job: usize, answer: Answer) {
        let provider = &self.world.providers[answer.provider];
        let job = &self.world.jobs[job];
        let capacity = provider.group.capacity - self.standing_capacity(provider.group);
        if !self.commitments.commit(answer.provider, job.period, capacity) {
            self.tally.withheld += 1;
            return;
        }
        self.tally.answered(provider.group_index, &answer, self.window);
        let beliefs = &self.beliefs[provider.capability as usize];
        let price = beliefs.price(provider.group.behaviour, answer.cost);
        let Some(quote) = self.place(rfq, closes_at, answer.provider, price) else {
            self.commitments.release(answer.provider, job.period);
            return;
        };
        if let Some(open) = self.rfqs.get_mut(&rfq) {
            let at = self.market.now();
            open.quotes.push(Quoted { answer, price, at, quote: Some(quote) });
        }
        self.plan_flood(rfq, closes_at, answer.provider);
    }

    fn place(
        &mut self,
        rfq: RfqId,
        closes_at: TimestampNs,
        provider: usize,
        price: Micros,
    ) -> Option<QuoteId> {
        let client_id = self.market.client_id();
        let valid_until = closes_at.after(FIRM_AFTER_CLOSE);
        let place =
            PlaceQuote { client_id, rfq, offer: Offer::new(price, valid_until), signature: None };
        let placed = self.submit(self.market.providers[provider], Command::PlaceQuote(place))?;
        if let Outcome::Quote(quote) = placed { Some(quote) } else { None }
    }

    /// Spreads a flooding provider's further commands evenly over what is left of the window.
    fn plan_flood(&mut self, rfq: RfqId, closes_at: TimestampNs, provider: usize) {
        let commands = self.world.providers[provider].group.behaviour.commands_per_rfq();
        let left = closes_at.since(self.market.now());
        let gap = DurationNs::from_nanos(left.nanos() / u64::from(commands));
        let mut at = self.market.now();
        for step in (1..commands).rev() {
            at = at.after(gap);
            self.agenda.plan(at, Action::Flood { rfq, provider, step });
        }
    }

    /// Sends a command that changes nothing in the end: a second quote, an amendment, a cancel, and a
    /// quote again. With the last one, step 1, a quote is live.
    fn flood(&mut self, rfq: RfqId, provider: usize, step: u32) {
        let Some(open) = self.rfqs.get(&rfq) else { return };
        let quoted = open.quotes.iter().position(|quoted| quoted.answer.provider == provider);
        let Some(index) = quoted else { return };
        let Quoted { price, quote, .. } = open.quotes[index];
        let closes_at = open.closes_at;
        let quote = match (quote, step) {
            (None, _) => self.place(rfq, closes_at, provider, price),
            (Some(quote), 1) => self.amend(quote, closes_at, provider, price),
            (Some(quote), _) => match step % 3 {
                0 => self.place(rfq, closes_at, provider, price).or(Some(quote)),
                1 => self.amend(quote, closes_at, provider, price),
                _ => self.cancel(quote, provider),
            },
        };
        if let Some(open) = self.rfqs.get_mut(&rfq) {
            open.quotes[index].quote = quote;
        }
    }

    fn amend(
        &mut self,
        quote: QuoteId,
        closes_at: TimestampNs,
        provider: usize,
        price: Micros,
    ) -> Option<QuoteId> {
        let (client_id, target) = (self.market.client_id(), QuoteTarget::Id(quote));
        let valid_until = closes_at.after(FIRM_AFTER_CLOSE);
        let amend = AmendQuote {
            client_id,
            target,
            offer: Offer::new(price, valid_until),
            signature: None,
        };
        self.submit(self.market.providers[provider], Command::AmendQuote(amend));
        Some(quote)
    }

    fn cancel(&mut self, quote: QuoteId, provider: usize) -> Option<QuoteId> {
        let (client_id, target) = (self.market.client_id(), QuoteTarget::Id(quote));
        let cancel = Command::CancelQuote(CancelQuote { client_id, target });
        match self.submit(self.market.providers[provider], cancel) {
            Some(_) => None,
            None => Some(quote),
        }
    }

    fn deliver(&mut self, contract: ContractId) {
        let Some(work) = self.contracts.get(&contract).copied() else { return };
        let (client_id, deliverable) = (self.market.client_id(), Digest::new([1; 32]));
        let deliver = Command::Deliver(Deliver { client_id, contract, deliverable });
        self.submit(self.market.providers[work.provider], deliver);
        let client_id = self.market.client_id();
        let accept = Command::AcceptDelivery(AcceptDelivery { client_id, contract });
        let buyer = self.market.buyers[self.world.jobs[work.job].buyer];
        self.submit(buyer, accept);
        self.follow();
    }

    /// Submits a command; counts the reason if it is rejected.
    fn submit(&mut self, agent: AgentId, command: Command) -> Option<Outcome> {
        let outcome = self.market.submit(agent, command);
        outcome.map_err(|reason| self.tally.refused(reason)).ok()
    }

    /// Takes in what followed from the last command.
    fn follow(&mut self) {
        let events = std::mem::take(&mut self.market.events);
        for event in &events {
            if let Event::Awarded(awarded) = event {
                self.handle_award(awarded);
            } else if let Event::RfqClosed(closed) = event {
                self.handle_close(closed);
            } else if let Event::ContractSettled(settled) = event {
                self.handle_settlement(settled);
            } else if let Event::ContractExpired(expired) = event
                && self.contracts.remove(&expired.contract).is_some()
            {
                self.tally.faded += 1;
            }
        }
        self.market.events = events;
    }

    fn handle_award(&mut self, awarded: &Awarded) {
        let Awarded { contract, rfq, parties, quote, total, .. } = *awarded;
        let provider = self.providers[&parties.provider];
        let Some(open) = self.rfqs.get_mut(&rfq) else { return };
        open.winner = Some(provider);
        let job = open.job;
        let Some(answer) = self.world.answers(job).find(|answer| answer.provider == provider)
        else {
            return;
        };
        let group = &self.world.providers[provider];
        match quote {
            QuoteRef::Sealed(_) => self.tally.won(group.group_index, &answer),
            QuoteRef::Standing => {
                self.tally.won_standing(group.group_index);
                self.standing_left[provider] -= 1;
                self.agenda.plan(self.market.now(), Action::Restate { provider });
            }
            QuoteRef::Take | QuoteRef::Bundle(_) => {
                unreachable!("no population opens Dutch or combinatorial RFQs")
            }
        }
        self.contracts.insert(contract, Work { job, provider, cost: answer.cost, price: total });
        if group.group.behaviour.delivers() {
            let at = self.market.now().after(answer.works_for);
            self.agenda.plan(at, Action::Deliver { contract });
        }
    }

    fn handle_close(&mut self, closed: &RfqClosed) {
        let Some(open) = self.rfqs.remove(&closed.rfq) else { return };
        let period = self.world.jobs[open.job].period;
        let now = self.market.now();
        let mut last = open.opened_at;
        for Quoted { answer, at, .. } in &open.quotes {
            last = last.max(*at);
            if open.winner == Some(answer.provider) {
                self.tally.waited_after_winner.push(now.since(*at).nanos());
            } else {
                self.commitments.release(answer.provider, period);
            }
        }
        self.tally.waited.push(now.since(open.opened_at).nanos());
        self.tally.waited_after_last.push(now.since(last).nanos());
        self.tally.passed += u32::from(closed.result == RfqResult::Passed);
    }

    fn handle_settlement(&mut self, settled: &ContractSettled) {
        let Some(work) = self.contracts.remove(&settled.contract) else { return };
        let (group, job) = (self.world.providers[work.provider].group_index, work.job);
        let paid = Payment { price: work.price, fee: settled.fee };
        self.tally.delivered(group, &self.world.jobs[job], work.cost, paid);
    }
}
