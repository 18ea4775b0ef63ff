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
    contracts: HashMap<ContractId, Contract>,
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
    /// When it closes; once the book is open, until when the buyer may pick.
    closes_at: TimestampNs,
    is_shown: bool,
    quotes: Vec<Quote>,
    /// What is still held for it.
    held: i64,
    /// Units that were awarded.
    awarded: u32,
}

/// What lies in escrow for a contract, and what its provider has put up.
struct Contract {
    escrow: i64,
    bond: i64,
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

    /// Returns the sealed quotes, and who may know of each: its agent, and the buyer if the book is open.
    pub fn sealed(&self) -> impl Iterator<Item = (QuoteId, [AgentId; 2])> {
        self.rfqs.values().flat_map(|rfq| {
            let buyer = rfq.is_shown.then_some(rfq.opened.buyer);
            let knows = move |quote: &Quote| [quote.provider, buyer.unwrap_or(quote.provider)];
            rfq.quotes.iter().map(move |quote| (quote.id, knows(quote)))
        })
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
            Event::RfqTaken(_) => self.tally.taken += 1,
            Event::QuotePicked(_) => self.tally.picked += 1,
            Event::BookShown(e) => self.shown(e.rfq, e.pick_until)?,
            Event::Awarded(e) => self.concluded(e)?,
            Event::ContractSettled(e) => self.ended(e.contract)?,
            Event::ContractExpired(e) => self.ended(e.contract)?,
            Event::Resumed(e) => {
                for rfq in self.rfqs.values_mut() {
                    rfq.closes_at = rfq.closes_at.after(e.gap);
                }
                let due = self.rfqs.iter().filter(|(_, rfq)| !is_dutch(&rfq.opened));
                self.closes = due.map(|(id, rfq)| (rfq.closes_at, *id)).collect();
            }
            _ => {}
        }
        Ok(())
    }

    fn opened(&mut self, opened: &RfqOpened) {
        let closes_at = opened.closes_at;
        // A halt moves the close of a Dutch one.
        if !is_dutch(opened) {
            self.closes.insert((closes_at, opened.rfq));
        }
        let held = opened.terms.reserve.raw() * i64::from(opened.terms.quantity);
        let rfq = Rfq {
            opened: *opened,
            closes_at,
            is_shown: false,
            quotes: Vec::new(),
            held,
            awarded: 0,
        };
        self.rfqs.insert(opened.rfq, rfq);
    }

    /// The book is open: what is due now is the pick.
    fn shown(&mut self, id: RfqId, pick_until: TimestampNs) -> Checked {
        let rfq = self.rfqs.get_mut(&id).ok_or_else(|| format!("{id} is shown, but not open"))?;
        self.closes.remove(&(rfq.closes_at, id));
        (rfq.closes_at, rfq.is_shown) = (pick_until, true);
        self.closes.insert((pick_until, id));
        Ok(())
    }

    fn concluded(&mut self, e: &Awarded) -> Checked {
        self.tally.awards += 1;
        let Some(rfq) = self.rfqs.get_mut(&e.rfq) else {
            return Err(format!("{} is awarded, but not open", e.rfq));
        };
        rfq.awarded += e.quantity;
        rfq.held -= e.total.raw();
        if rfq.awarded > rfq.opened.terms.quantity {
            return Err(format!("{} of {} units are awarded", rfq.awarded, e.rfq));
        }
        let contract = Contract { escrow: e.total.raw(), bond: e.bond.raw() };
        match self.contracts.insert(e.contract, contract) {
            Some(_) => Err(format!("{} is concluded twice", e.contract)),
            None => Ok(()),
        }
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
        if closed.awarded != rfq.awarded {
            let (said, were) = (closed.awarded, rfq.awarded);
            return Err(format!("{} closes with {said} units awarded, {were} were", closed.rfq));
        }
        let terms = &rfq.opened.terms;
        let is_sealed = matches!(terms.format, Format::FirstPrice | Format::SecondPrice);
        if closed.result == RfqResult::Canceled || terms.admit_standing || !is_sealed {
            return Ok(());
        }
        if self.now < rfq.closes_at {
            return Err(format!("{} closes before {}", closed.rfq, rfq.closes_at));
        }
        let of_this = awards.iter().filter(|award| award.rfq == closed.rfq);
        let found: Vec<_> =
            of_this.map(|award| (award.quote, award.quantity, award.price)).collect();
        let said = self.winners(&rfq, ranking);
        if found != said {
            return Err(format!("{}: awarded {found:?}, where {said:?} win", closed.rfq));
        }
        self.tally.predicted += said.len() as u64;
        self.tally.split += u64::from(said.len() > 1);
        Ok(())
    }

    /// Returns who wins among those that may, how many units, and what it is paid for each.
    fn winners(&self, rfq: &Rfq, ranking: &[Ranked]) -> Vec<(QuoteRef, u32, Micros)> {
        let terms = &rfq.opened.terms;
        let units = |quote: &Quote| quote.offer.quantity.min(terms.quantity);
        let may_win = |quote: &&Quote| {
            let ranked = ranking.iter().find(|ranked| sealed(ranked) == Some(quote.id));
            ranked.is_some_and(|ranked| !is_barred(ranked.result))
                && quote.offer.price <= terms.reserve
                && (terms.split || units(quote) == terms.quantity)
        };
        let mut competing: Vec<&Quote> = rfq.quotes.iter().filter(may_win).collect();
        competing.sort_by_key(|quote| (quote.offer.price, quote.place));
        let mut left = terms.quantity;
        let mut filled = Vec::new();
        for quote in competing {
            let fits = !quote.offer.all_or_none || units(quote) <= left || left == 0;
            let won = if fits { units(quote).min(left) } else { continue };
            left -= won;
            filled.push((quote, won));
        }
        let account = |agent| self.agents.iter().find(|(id, _)| *id == agent).map(|(_, of)| *of);
        let price = |winner: &Quote| {
            if terms.format == Format::FirstPrice {
                return winner.offer.price;
            }
            let others = filled.iter().filter(|(quote, won)| {
                *won < units(quote) && account(quote.provider) != account(winner.provider)
            });
            let cover = others.map(|(quote, _)| quote.offer.price).min();
            cover.unwrap_or(terms.reserve).min(terms.reserve)
        };
        let winners = filled.iter().filter(|(_, won)| *won > 0);
        winners.map(|(quote, won)| (QuoteRef::Sealed(quote.id), *won, price(quote))).collect()
    }

    /// What is held is what the open RFQs may cost, what is in escrow what the contracts do, and bonds are those
    /// of live quotes and contracts.
    fn check_money(&self) -> Checked {
        let of = |bucket| {
            let all = self.balances.iter().filter(move |((_, of), _)| *of == bucket);
            all.map(|(_, amount)| *amount).sum::<i64>()
        };
        let held: i64 = self.rfqs.values().map(|rfq| rfq.held).sum();
        if of(Bucket::Held) != held {
            return Err(format!("{} is held for RFQs worth {held}", of(Bucket::Held)));
        }
        let owed: i64 = self.contracts.values().map(|contract| contract.escrow).sum();
        if of(Bucket::Escrow) != owed {
            return Err(format!("{} is in escrow for contracts of {owed}", of(Bucket::Escrow)));
        }
        let of_contracts: i64 = self.contracts.values().map(|contract| contract.bond).sum();
        let of_quotes: i64 = self.rfqs.values().map(Rfq::bonds).sum();
        let bonds = of_contracts + of_quotes;
        if of(Bucket::Bonds) != bonds {
            return Err(format!("{} is put up where bonds are {bonds}", of(Bucket::Bonds)));
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

impl Rfq {
    /// Returns what its live quotes have put up: a part of what they ask, rounded up.
    fn bonds(&self) -> i64 {
        let terms = &self.opened.terms;
        let asks = self.quotes.iter().map(|quote| {
            quote.offer.price.raw() * i64::from(quote.offer.quantity.min(terms.quantity))
        });
        asks.map(|asks| (asks * i64::from(terms.bond_bps) + 9_999) / 10_000).sum()
    }
}

fn is_dutch(opened: &RfqOpened) -> bool {
    opened.terms.format == Format::Dutch
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
