//! The explanation itself: for people as text, for machines as JSON.

use std::fmt::{self, Display, Formatter};

use gavel_protocol::{
    AgentId, DutchTerms, Micros, Movement, PublicTerms, QuoteRef, Ranked, RankedResult, RfqId,
    RfqResult, RfqTerms, TimestampNs,
};
use serde::Serialize;

use crate::commands::explain::history::Opening;
use crate::commands::explain::names::Names;
use crate::commands::explain::say;
use crate::commands::explain::view::{Role, View};
use crate::commands::explain::winning::price_to_win;

/// What one of them may know of an RFQ.
#[derive(Debug, Serialize)]
pub struct Report {
    rfq: RfqId,
    seen_as: Role,
    buyer: AgentId,
    /// How it ended, if it has.
    result: Option<RfqResult>,
    /// Whether the quotes are still sealed.
    sealed: bool,
    rule: String,
    terms: Terms,
    dutch: Option<DutchTerms>,
    timeline: Vec<Line>,
    quotes: Vec<QuoteLine>,
    clearing_price: Option<Micros>,
    money: Vec<MoneyLine>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Terms {
    All(Box<RfqTerms>),
    Public(Box<PublicTerms>),
}

#[derive(Debug, Serialize)]
struct Line {
    ts_event: TimestampNs,
    #[serde(skip)]
    after_ns: u64,
    what: &'static str,
    text: String,
}

/// A quote and the parts of its score.
#[derive(Debug, Serialize)]
struct QuoteLine {
    provider: AgentId,
    #[serde(skip)]
    name: String,
    quote: QuoteRef,
    price: Micros,
    latency_ms: u32,
    latency_cost: Option<Micros>,
    reputation_bps: u16,
    reputation_cost: Option<Micros>,
    score: Micros,
    rank: Option<u32>,
    result: &'static str,
    reason: Option<&'static str>,
    text: String,
    /// The highest price at which it would have won.
    would_have_won_at: Option<Micros>,
}

#[derive(Debug, Serialize)]
struct MoneyLine {
    ts_event: TimestampNs,
    #[serde(skip)]
    after_ns: u64,
    #[serde(flatten)]
    movement: Movement,
    text: String,
}

impl Report {
    /// Writes down what a view shows.
    pub fn new(view: &View<'_>, names: &Names) -> Self {
        let Opening { ts_event: began, opened, command } = view.opening();
        let after = |ts_event: TimestampNs| ts_event.since(*began).nanos();
        let timeline = view.moments().filter_map(|moment| {
            let (what, text) = say::moment(&moment.what, view, names)?;
            let ts_event = moment.ts_event;
            Some(Line { ts_event, after_ns: after(ts_event), what, text })
        });
        let money = view.movements().map(|(ts_event, movement)| MoneyLine {
            ts_event: *ts_event,
            after_ns: after(*ts_event),
            movement: *movement,
            text: say::movement(movement, names),
        });
        let terms = match view.shows_all_terms() {
            true => Terms::All(Box::new(opened.terms)),
            false => Terms::Public(Box::new(PublicTerms::of(&opened.terms))),
        };
        Self {
            rfq: opened.rfq,
            seen_as: view.role,
            buyer: opened.buyer,
            result: view.history().closed.map(|closed| closed.result),
            sealed: !view.has_ended(),
            rule: say::rule(&opened.terms),
            terms,
            dutch: command.dutch.clone(),
            timeline: timeline.collect(),
            quotes: view.ranked().iter().map(|entry| QuoteLine::new(entry, view, names)).collect(),
            clearing_price: view.clearing_price(),
            money: money.collect(),
        }
    }
}

impl QuoteLine {
    fn new(entry: &Ranked, view: &View<'_>, names: &Names) -> Self {
        let scoring = view.opening().opened.terms.scoring;
        let Ranked { provider, quote, price, latency_ms, reputation_bps, score, rank, .. } = *entry;
        let (result, text) = say::result(entry);
        let reason = match entry.result {
            RankedResult::Lost(reason) | RankedResult::Standby(reason) => Some(reason.info().name),
            RankedResult::Won | RankedResult::Shown | RankedResult::Declined(_) => None,
        };
        Self {
            provider,
            name: names.agent(provider),
            quote,
            price,
            latency_ms,
            latency_cost: scoring.latency(latency_ms),
            reputation_bps,
            reputation_cost: scoring.reputation(reputation_bps),
            score,
            // What was not cleared was not ranked.
            rank: (rank > 0).then_some(rank),
            result,
            reason,
            text,
            would_have_won_at: price_to_win(view, entry),
        }
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, as seen by {}", self.rfq, self.seen_as)?;
        writeln!(f, "{}\n", self.rule)?;
        for Line { after_ns, text, .. } in &self.timeline {
            writeln!(f, "{:>12} s  {text}", say::seconds(*after_ns))?;
        }
        if self.sealed {
            writeln!(f, "\nquotes are sealed until the close")?;
        }
        if !self.quotes.is_empty() {
            writeln!(f, "\nquotes, best first")?;
        }
        self.quotes.iter().try_for_each(|quote| writeln!(f, "{quote}"))?;
        if !self.money.is_empty() {
            writeln!(f, "\nmoney")?;
        }
        for MoneyLine { after_ns, text, .. } in &self.money {
            writeln!(f, "{:>12} s  {text}", say::seconds(*after_ns))?;
        }
        Ok(())
    }
}

impl Display for QuoteLine {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, price, latency_ms, reputation_bps, score, text, .. } = self;
        let Some(rank) = self.rank else { return write!(f, "   -  {name}: {text}") };
        let latency = self.latency_cost.unwrap_or_default();
        let reputation = self.reputation_cost.unwrap_or_default();
        write!(
            f,
            "{rank:>4}  {name}: score {score} = {price} + {latency} ({latency_ms} ms) + \
             {reputation} (reputation {reputation_bps}); {text}"
        )?;
        match self.would_have_won_at {
            Some(price) => write!(f, "; would have won at {price}"),
            None => Ok(()),
        }
    }
}

impl Display for Role {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator",
            Self::Buyer => "its buyer",
            Self::Provider => "a provider",
            Self::Public => "the public",
        })
    }
}
