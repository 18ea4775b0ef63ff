//! The auditor: naive books of its own, made of what was published, and what must follow from them.
//!
//! It knows nothing of how the exchange works. It says who wins a sealed RFQ and at what price, what
//! must lie in holds and in escrow, that nothing takes effect twice, and that a recovery brings about
//! what was published before, event by event.

use std::collections::{BTreeSet, HashMap, HashSet};

use gavel_protocol::{
    AccountId, AgentId, Awarded, Bucket, CapabilityId, ContractId, Event, Format, LossReason,
    Micros, Offer, QuoteId, QuoteRef, Ranked, RankedResult, RfqClosed, RfqId, RfqOpened, RfqResult,
    TimestampNs,
};
use gavel_sequencer::journal::Condenser;
use gavel_sequencer::{Batch, StepView};

use super::report::{Checked, Tally};

/// See the module.
#[derive(Default)]
pub(super) struct Auditor {
    /// A hash of the events of each step that was ever published.
    history: Vec<gavel_protocol::Digest>,
    /// Up to where the running exchange has published, again or for the first time.
    published: u64,
    now: TimestampNs,
    balances: HashMap<(AccountId, Bucket), i64>,
    rfqs: HashMap<RfqId, Rfq>,
    /// By when they must have closed.
    closes: BTreeSet<(TimestampNs, RfqId)>,
    quotes: HashMap<QuoteId, RfqId>,
    /// What lies in escrow for each.
    contracts: HashMap<ContractId, i64>,
    awarded: HashSet<RfqId>,
    done: HashSet<(AgentId, u128)>,
    pub agents: Vec<(AgentId, AccountId)>,
    pub accounts: Vec<AccountId>,
    pub capabilities: Vec<CapabilityId>,
    pub operator: Option<AgentId>,
    pub tally: Tally,
    condenser: Condenser,
}

struct Rfq {
    opened: RfqOpened,
    closes_at: TimestampNs,
    quotes: Vec<Quote>,
}

struct Quote {
    id: QuoteId,
    provider: AgentId,
    offer: Offer,
    place: u64,
}

impl Auditor {
    /// Everything is published anew from the journal, from its beginning.
    pub fn recovering(&mut self) {
        self.published = 0;
    }

    /// Checks that the recovery brought back everything that was published.
    pub fn recovered(&self) -> Checked {
        let lost = self.history.len() as u64 - self.published;
        match lost {
            0 => Ok(()),
            _ => Err(format!(
                "{lost} published commands are lost: {} of {} came back",
                self.published,
                self.history.len()
            )),
        }
    }

    /// Returns the sealed quotes that nobody but their agents may know of.
    pub fn sealed(&self) -> impl Iterator<Item = (QuoteId, AgentId)> {
        let quotes = self.rfqs.values().flat_map(|rfq| &rfq.quotes);
        quotes.map(|quote| (quote.id, quote.provider))
    }

    /// Takes what was published.
    pub fn published(&mut self, batch: &Batch) -> Checked {
        batch.steps().try_for_each(|step| self.step(&step))
    }

    fn step(&mut self, step: &StepView<'_>) -> Checked {
        self.condenser.add(step);
        let hash = self.condenser.finish();
        let seq = step.stamped.seq;
        if seq != self.published + 1 {
            return Err(format!("command {seq} was published after command {}", self.published));
        }
        self.published = seq;
        let known = usize::try_from(seq - 1).ok().and_then(|place| self.history.get(place));
        if let Some(known) = known {
            return match *known == hash {
                true => Ok(()),
                false => Err(format!("command {seq} now causes other events than before")),
            };
        }
        self.history.push(hash);
        self.tally.commands += 1;
        self.new_step(step).map_err(|what| format!("command {seq}: {what}"))
    }

    fn new_step(&mut self, step: &StepView<'_>) -> Checked {
        let stamped = step.stamped;
        if stamped.ts_event < self.now {
            return Err(format!("time goes back from {} to {}", self.now, stamped.ts_event));
        }
        self.now = stamped.ts_event;
        let Some(first) = step.events.first() else {
            return Err("nothing follows from it".to_owned());
        };
        let agent = stamped.request.agent;
        if agent != AgentId::EXCHANGE {
            self.check_deadlines()?;
        }
        let repeated = matches!(first, Event::Repeated(_));
        if let Some(client_id) = stamped.request.command.client_id()
            && first.outcome().is_ok()
            && !repeated
            && !self.done.insert((agent, client_id.raw()))
        {
            return Err(format!("client id {client_id} takes effect twice"));
        }
        let awards: Vec<&Awarded> = step.events.iter().filter_map(awarded).collect();
        for (event, ranking) in step.events_with_ranking() {
            self.event(event, ranking, &awards)?;
        }
        self.check_money()
    }

    /// Whatever is due takes effect before anybody's command.
    fn check_deadlines(&self) -> Checked {
        match self.closes.first() {
            Some((at, rfq)) if *at <= self.now => {
                Err(format!("{rfq} was to close at {at}, and it is {}", self.now))
            }
            _ => Ok(()),
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "the books are of these only")]
    fn event(&mut self, event: &Event, ranking: &[Ranked], awards: &[&Awarded]) -> Checked {
        match event {
            Event::Founded(e) => self.operator = Some(e.operator),
            Event::AccountEnrolled(e) => self.accounts.push(e.account),
            Event::AgentEnrolled(e) => self.agents.push((e.agent, e.account)),
            Event::CapabilityListed(e) => self.capabilities.push(e.capability),
            Event::Moved(e) => {
                *self.balances.entry((e.from.account, e.from.bucket)).or_default() -=
                    e.amount.raw();
                *self.balances.entry((e.to.account, e.to.bucket)).or_default() += e.amount.raw();
            }
            Event::RfqOpened(e) => self.opened(e),
            Event::QuotePlaced(e) => self.placed((e.quote, e.rfq, e.provider), e.offer)?,
            Event::QuoteAmended(e) => self.amended(e.quote, e.offer, e.kept_place)?,
            Event::QuoteCanceled(e) => self.canceled(e.quote)?,
            Event::RfqClosed(e) => self.closed(e, ranking, awards)?,
            Event::Awarded(e) => {
                self.tally.awards += 1;
                if !self.awarded.insert(e.rfq) {
                    return Err(format!("{} is awarded twice", e.rfq));
                }
                if self.contracts.insert(e.contract, e.total.raw()).is_some() {
                    return Err(format!("{} is concluded twice", e.contract));
                }
            }
            Event::ContractSettled(e) => self.ended(e.contract)?,
            Event::ContractExpired(e) => self.ended(e.contract)?,
            Event::Resumed(e) => {
                for rfq in self.rfqs.values_mut() {
                    rfq.closes_at = rfq.closes_at.after(e.gap);
                }
                self.closes = self.rfqs.iter().map(|(id, rfq)| (rfq.closes_at, *id)).collect();
            }
            _ => {}
        }
        Ok(())
    }

    fn opened(&mut self, opened: &RfqOpened) {
        let closes_at = opened.closes_at;
        self.closes.insert((closes_at, opened.rfq));
        self.rfqs.insert(opened.rfq, Rfq { opened: *opened, closes_at, quotes: Vec::new() });
    }

    fn placed(&mut self, of: (QuoteId, RfqId, AgentId), offer: Offer) -> Checked {
        let ((id, rfq, provider), place) = (of, self.published);
        let open = self.rfqs.get_mut(&rfq).ok_or_else(|| format!("{rfq} is not open for {id}"))?;
        open.quotes.push(Quote { id, provider, offer, place });
        self.quotes.insert(id, rfq);
        Ok(())
    }

    fn quote(&mut self, id: QuoteId) -> Result<(&mut Vec<Quote>, usize), String> {
        let rfq = self.quotes.get(&id).and_then(|rfq| self.rfqs.get_mut(rfq));
        let quotes = &mut rfq.ok_or_else(|| format!("{id} is not live"))?.quotes;
        let place = quotes.iter().position(|quote| quote.id == id);
        let place = place.ok_or_else(|| format!("{id} is not live any more"))?;
        Ok((quotes, place))
    }

    fn amended(&mut self, id: QuoteId, offer: Offer, kept_place: bool) -> Checked {
        let seq = self.published;
        let (quotes, place) = self.quote(id)?;
        quotes[place].offer = offer;
        if !kept_place {
            quotes[place].place = seq;
        }
        Ok(())
    }

    fn canceled(&mut self, id: QuoteId) -> Checked {
        let (quotes, place) = self.quote(id)?;
        quotes.remove(place);
        Ok(())
    }

    fn ended(&mut self, contract: ContractId) -> Checked {
        match self.contracts.remove(&contract) {
            Some(_) => Ok(()),
            None => Err(format!("{contract} ends twice, or was never concluded")),
        }
    }

    fn closed(&mut self, closed: &RfqClosed, ranking: &[Ranked], awards: &[&Awarded]) -> Checked {
        let Some(rfq) = self.rfqs.remove(&closed.rfq) else {
            return Err(format!("{} closes twice", closed.rfq));
        };
        self.closes.remove(&(rfq.closes_at, closed.rfq));
        let mut answered: Vec<QuoteId> = ranking.iter().filter_map(sealed).collect();
        let mut live: Vec<QuoteId> = rfq.quotes.iter().map(|quote| quote.id).collect();
        answered.sort_unstable();
        live.sort_unstable();
        if answered != live {
            return Err(format!("{}: {live:?} competed, {answered:?} were told", closed.rfq));
        }
        let terms = &rfq.opened.terms;
        if closed.result == RfqResult::Canceled || terms.admit_standing {
            return Ok(());
        }
        if self.now < rfq.closes_at {
            return Err(format!("{} closes before {}", closed.rfq, rfq.closes_at));
        }
        let award = awards.iter().find(|award| award.rfq == closed.rfq);
        let found = award.map(|award| (award.quote, award.price));
        let said = self.winner(&rfq, ranking).map(|(id, price)| (QuoteRef::Sealed(id), price));
        if found != said {
            return Err(format!("{}: awarded {found:?}, where {said:?} wins", closed.rfq));
        }
        self.tally.predicted += u64::from(said.is_some());
        Ok(())
    }

    /// Returns who wins among those that may, and what it is paid.
    fn winner(&self, rfq: &Rfq, ranking: &[Ranked]) -> Option<(QuoteId, Micros)> {
        let terms = &rfq.opened.terms;
        let may_win = |quote: &&Quote| {
            let ranked = ranking.iter().find(|ranked| sealed(ranked) == Some(quote.id));
            ranked.is_some_and(|ranked| !is_barred(ranked.result))
                && quote.offer.price <= terms.reserve
        };
        let best = rfq.quotes.iter().filter(may_win);
        let best = best.min_by_key(|quote| (quote.offer.price, quote.place))?;
        if terms.format == Format::FirstPrice {
            return Some((best.id, best.offer.price));
        }
        let account = |agent| self.agents.iter().find(|(id, _)| *id == agent).map(|(_, of)| *of);
        let mine = account(best.provider);
        let others = rfq.quotes.iter().filter(may_win);
        let others = others.filter(|quote| account(quote.provider) != mine);
        let cover = others.map(|quote| quote.offer.price).min();
        Some((best.id, cover.unwrap_or(terms.reserve).min(terms.reserve)))
    }

    /// What is held is what the open RFQs may cost, and what is in escrow what the contracts do.
    fn check_money(&self) -> Checked {
        let of = |bucket| {
            let all = self.balances.iter().filter(move |((_, of), _)| *of == bucket);
            all.map(|(_, amount)| *amount).sum::<i64>()
        };
        let held: i64 = self.rfqs.values().map(|rfq| rfq.opened.terms.reserve.raw()).sum();
        if of(Bucket::Held) != held {
            return Err(format!("{} is held for RFQs worth {held}", of(Bucket::Held)));
        }
        let owed: i64 = self.contracts.values().sum();
        if of(Bucket::Escrow) != owed {
            return Err(format!("{} is in escrow for contracts of {owed}", of(Bucket::Escrow)));
        }
        let negative = self
            .balances
            .iter()
            .find(|((_, bucket), amount)| **amount < 0 && *bucket != Bucket::External);
        match negative {
            Some((of, amount)) => Err(format!("{of:?} has {amount}")),
            None => Ok(()),
        }
    }
}

fn awarded(event: &Event) -> Option<&Awarded> {
    if let Event::Awarded(awarded) = event { Some(awarded) } else { None }
}

fn sealed(ranked: &Ranked) -> Option<QuoteId> {
    // A decline is in the list, but was no quote.
    let declined = matches!(ranked.result, RankedResult::Declined(_));
    if let (QuoteRef::Sealed(id), false) = (ranked.quote, declined) { Some(id) } else { None }
}

/// Returns whether a quote lost for what no price changes.
fn is_barred(result: RankedResult) -> bool {
    let RankedResult::Lost(reason) = result else { return false };
    !matches!(
        reason,
        LossReason::Cover | LossReason::Outscored | LossReason::Tied | LossReason::AboveReserve
    )
}
