//! How an event becomes rows.

use gavel_protocol::{
    Acceptance, AccountId, AgentId, Awarded, BundleLost, Event, LossReason, Movement, QuoteRef,
    Ranked, RankedResult, RfqClosed, RfqOpened, TimestampNs,
};
use serde::Serialize;

use super::schema::Table;
use super::tables::{TABLES, TableId};
use crate::curtain::{At, Passed};
use crate::follower::{Parts, event_text};
use crate::publish::StreamEvent;

/// The value of one column of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// Rows of all tables, each table's one after the other.
#[derive(Debug)]
pub(super) struct Rows {
    /// By [`TableId`]; the values of a table's rows, row by row.
    tables: Vec<Vec<Value>>,
    count: usize,
}

impl Rows {
    /// Makes room for rows.
    pub(super) fn new() -> Self {
        Self { tables: TABLES.iter().map(|_| Vec::new()).collect(), count: 0 }
    }

    /// Returns how many rows there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Returns the tables that have rows, each after those that it refers to, and their rows' values,
    /// row by row.
    pub(super) fn by_table(&self) -> impl Iterator<Item = (&'static Table, &[Value])> {
        let tables = TABLES.iter().zip(self.tables.iter().map(Vec::as_slice));
        tables.filter(|(_, values)| !values.is_empty())
    }

    /// Takes all rows out.
    pub(super) fn clear(&mut self) {
        self.tables.iter_mut().for_each(Vec::clear);
        self.count = 0;
    }

    /// Adds a row.
    pub(super) fn add_row<const WIDTH: usize>(&mut self, table: TableId, row: [Value; WIDTH]) {
        assert_eq!(WIDTH, table.width(), "invariant: a row has its table's columns");
        self.tables[table as usize].extend(row);
        self.count += 1;
    }

    /// Adds the rows that never change: why quotes lose.
    pub(super) fn add_reasons(&mut self) {
        for reason in LossReason::ALL {
            let info = reason.info();
            let row = [
                info.code.into(),
                info.name.into(),
                info.transient.into(),
                info.meaning.into(),
                info.remedy.into(),
            ];
            self.add_row(TableId::Reasons, row);
        }
    }

    /// Adds the row that every event has, those that its kind has, and those of what subscribers get. Sealed
    /// quotes and their bundles are added at their RFQ's close, by [`super::quotes`].
    pub(super) fn add(&mut self, passed: Passed, ranking: &[Ranked]) {
        let Passed { at, event, streams } = passed;
        self.add_to_events(at, &event);
        self.add_of_kind(at, &event, ranking);
        for event in streams {
            self.add_stream_event(at, event);
        }
    }

    fn add_of_kind(&mut self, at: At, event: &Event, ranking: &[Ranked]) {
        match event {
            Event::Founded(e) => {
                self.add_account(at, e.fees, Value::Null);
                self.add_account(at, e.operator_account, Value::Null);
                let (roles, attributes) = (json(&["operator"]), json(&[""; 0]));
                let (agent, key) = (e.operator.text(), e.operator_key.text());
                let account = e.operator_account.text();
                let (enrolled_at, position) = (at.ts_event.into(), at.position.into());
                let row = [agent, account, key, roles, attributes, enrolled_at, position];
                self.add_row(TableId::Agents, row);
            }
            Event::AccountEnrolled(e) => {
                self.add_account(at, e.account, e.transaction_max.raw().into());
            }
            Event::AgentEnrolled(e) => {
                let (roles, attributes) = (json(&e.roles), json(&e.attributes));
                let (agent, account, key) = (e.agent.text(), e.account.text(), e.key.text());
                let (enrolled_at, position) = (at.ts_event.into(), at.position.into());
                let row = [agent, account, key, roles, attributes, enrolled_at, position];
                self.add_row(TableId::Agents, row);
            }
            Event::CapabilityListed(e) => {
                let (name, currency, terms) = (e.name.text(), e.currency.text(), e.terms.text());
                let (listed_at, position) = (at.ts_event.into(), at.position.into());
                let row = [e.capability.text(), name, currency, terms, listed_at, position];
                self.add_row(TableId::Capabilities, row);
            }
            Event::RfqOpened(e) => self.add_rfq(at, e),
            Event::RfqClosed(e) => self.add_close(at, e, ranking),
            Event::BundleLost(e) => self.add_bundle_loss(at, e),
            Event::StandbyEnded(e) => {
                if let Some(reason) = e.reason {
                    let (rfq, provider) = (e.rfq.text(), e.provider);
                    self.add_loss(at, 1, rfq, provider, e.quote, reason, e.rank.into());
                }
            }
            Event::Awarded(e) => self.add_contract(at, e),
            Event::WorkStarted(e) => {
                self.add_step(at, e.contract.text(), "started", Step::default());
            }
            Event::Delivered(e) => {
                let step = Step { deliverable: e.deliverable.text(), ..Step::default() };
                self.add_step(at, e.contract.text(), "delivered", step);
            }
            Event::ContractVerified(e) => {
                let acceptance = name::<Acceptance>(&e.acceptance);
                let step = Step { acceptance, ..Step::default() };
                self.add_step(at, e.contract.text(), "verified", step);
            }
            Event::ContractSettled(e) => {
                let step = Step {
                    released: e.released.raw().into(),
                    fee: e.fee.raw().into(),
                    penalty: e.penalty.raw().into(),
                    ..Step::default()
                };
                self.add_step(at, e.contract.text(), "settled", step);
            }
            Event::ContractExpired(e) => {
                let step = Step {
                    refunded: e.refunded.raw().into(),
                    compensation: e.compensation.raw().into(),
                    ..Step::default()
                };
                self.add_step(at, e.contract.text(), "expired", step);
            }
            Event::ContractTakenOver(e) => {
                let (compensation, successor) = (e.compensation.raw().into(), e.successor.text());
                let step = Step { compensation, successor, ..Step::default() };
                self.add_step(at, e.contract.text(), "taken_over", step);
            }
            Event::StandingQuoteSet(e) => {
                let row = [
                    at.position.into(),
                    e.capability.text(),
                    e.provider.text(),
                    at.ts_event.into(),
                    e.revision.into(),
                    e.price.raw().into(),
                    e.latency_ms.into(),
                    e.capacity.into(),
                    e.valid_until.into(),
                    Value::Null,
                ];
                self.add_row(TableId::StandingQuotes, row);
            }
            Event::StandingQuoteCanceled(e) => {
                let row = [
                    at.position.into(),
                    e.capability.text(),
                    e.provider.text(),
                    at.ts_event.into(),
                    e.revision.into(),
                    Value::Null,
                    Value::Null,
                    Value::Null,
                    Value::Null,
                    name(&e.cause),
                ];
                self.add_row(TableId::StandingQuotes, row);
            }
            Event::ReputationChanged(e) => {
                let (from, to) = (e.from_bps.into(), e.to_bps.into());
                let row = [
                    at.position.into(),
                    e.agent.text(),
                    at.ts_event.into(),
                    from,
                    to,
                    name(&e.cause),
                ];
                self.add_row(TableId::Reputations, row);
            }
            Event::Moved(movement) => self.add_postings(at, movement),
            Event::Deposited(_)
            | Event::Halted(_)
            | Event::Reopened(_)
            | Event::PriceBandSet(_)
            | Event::LoggedOn(_)
            | Event::SessionEnded(_)
            | Event::ProviderInvited(_)
            | Event::RfqDeclined(_)
            | Event::RfqCanceled(_)
            | Event::RfqTaken(_)
            | Event::BookShown(_)
            | Event::QuotePicked(_)
            | Event::QuotePlaced(_)
            | Event::QuoteAmended(_)
            | Event::QuoteCanceled(_)
            | Event::BundlesQuoted(_)
            | Event::BundleQuoted(_)
            | Event::ClearingStarted(_)
            | Event::BundlesPosed(_)
            | Event::AllocationProposed(_)
            | Event::RfqCleared(_)
            | Event::MassQuoted(_)
            | Event::LineRejected(_)
            | Event::MassCanceled(_)
            | Event::EnvelopeSigned(_)
            | Event::CancelKept(_)
            | Event::ProviderSuspended(_)
            | Event::Rejected(_)
            | Event::Repeated(_)
            | Event::TimeAdvanced(_)
            | Event::Resumed(_)
            | Event::Upgraded(_) => {}
        }
    }

    /// Adds an event of a stream that was made of the event at `at`.
    fn add_stream_event(&mut self, at: At, event: StreamEvent) {
        let StreamEvent { stream, stream_seq, frame } = event;
        let row = [Value::Text(stream), stream_seq.into(), at.position.into(), Value::Bytes(frame)];
        self.add_row(TableId::StreamEvents, row);
    }

    fn add_to_events(&mut self, at: At, event: &Event) {
        let text = event_text(event);
        let Parts { kind, body, rfq } = Parts::of(&text);
        let rfq = rfq.map_or(Value::Null, Value::from);
        let row = [at.position.into(), at.ts_event.into(), kind.into(), rfq, body.into()];
        self.add_row(TableId::Events, row);
    }

    fn add_account(&mut self, at: At, account: AccountId, transaction_max: Value) {
        let (enrolled_at, position) = (at.ts_event.into(), at.position.into());
        let row = [account.text(), enrolled_at, transaction_max, position];
        self.add_row(TableId::Accounts, row);
    }

    fn add_rfq(&mut self, at: At, e: &RfqOpened) {
        let terms = &e.terms;
        let row = [
            e.rfq.text(),
            e.buyer.text(),
            e.account.text(),
            terms.capability.text(),
            name(&terms.format),
            terms.quantity.into(),
            terms.reserve.raw().into(),
            terms.currency.text(),
            at.ts_event.into(),
            e.closes_at.into(),
            terms.window.nanos().into(),
            terms.bond_bps.into(),
            terms.scoring.latency_per_ms.raw().into(),
            terms.scoring.reputation_per_bps.raw().into(),
            terms.delivery_within.nanos().into(),
            terms.acceptance_within.nanos().into(),
            terms.spec.text(),
            terms.terms.text(),
            at.position.into(),
        ];
        self.add_row(TableId::Rfqs, row);
    }

    fn add_close(&mut self, at: At, e: &RfqClosed, ranking: &[Ranked]) {
        let row = [
            e.rfq.text(),
            at.ts_event.into(),
            name(&e.result),
            e.awarded.into(),
            e.bundles.into(),
            e.clearing_price.map_or(Value::Null, |price| price.raw().into()),
            at.position.into(),
        ];
        self.add_row(TableId::RfqEnds, row);
        for (place, ranked) in (1_i64..).zip(ranking) {
            let (result, reason) = match ranked.result {
                RankedResult::Won => ("won", None),
                RankedResult::Lost(reason) => ("lost", Some(reason)),
                RankedResult::Standby(reason) => ("standby", Some(reason)),
                RankedResult::Shown => ("shown", None),
                RankedResult::Declined(_) => ("declined", None),
            };
            // An answer without a quote has no row among the quotes.
            let is_quote = !matches!(ranked.result, RankedResult::Declined(_));
            let [kind, quote, bundle] = quote_ref(ranked.quote);
            let row = [
                e.rfq.text(),
                place.into(),
                ranked.provider.text(),
                kind,
                if is_quote { quote } else { Value::Null },
                bundle,
                ranked.price.raw().into(),
                ranked.score.raw().into(),
                ranked.latency_ms.into(),
                ranked.reputation_bps.into(),
                ranked.rank.into(),
                result.into(),
                reason.map_or(Value::Null, |reason| reason.code().into()),
                at.position.into(),
            ];
            self.add_row(TableId::Rankings, row);
            if let RankedResult::Lost(reason) = ranked.result {
                let (rfq, rank) = (e.rfq.text(), ranked.rank.into());
                self.add_loss(at, place, rfq, ranked.provider, ranked.quote, reason, rank);
            }
        }
    }

    fn add_bundle_loss(&mut self, at: At, e: &BundleLost) {
        let quote = QuoteRef::Bundle(e.bundle);
        self.add_loss(at, 1, e.rfq.text(), e.provider, quote, e.reason, Value::Null);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the columns of a row")]
    fn add_loss(
        &mut self,
        at: At,
        place: i64,
        rfq: Value,
        provider: AgentId,
        quote: QuoteRef,
        reason: LossReason,
        rank: Value,
    ) {
        let [kind, quote, bundle] = quote_ref(quote);
        let row = [
            at.position.into(),
            place.into(),
            rfq,
            provider.text(),
            at.ts_event.into(),
            kind,
            quote,
            bundle,
            reason.code().into(),
            rank,
        ];
        self.add_row(TableId::Losses, row);
    }

    fn add_contract(&mut self, at: At, e: &Awarded) {
        let [kind, quote, bundle] = quote_ref(e.quote);
        let row = [
            e.contract.text(),
            e.rfq.text(),
            e.parties.buyer.text(),
            e.parties.provider.text(),
            at.ts_event.into(),
            kind,
            quote,
            bundle,
            e.price.raw().into(),
            e.quantity.into(),
            e.total.raw().into(),
            e.currency.text(),
            e.bond.raw().into(),
            e.breakdown.price.raw().into(),
            e.breakdown.latency_ms.into(),
            e.breakdown.reputation_bps.into(),
            e.start_due.map_or(Value::Null, Value::from),
            e.delivery_due.into(),
            e.takes_over.map_or(Value::Null, |contract| contract.text()),
            at.position.into(),
        ];
        self.add_row(TableId::Contracts, row);
    }

    fn add_step(&mut self, at: At, contract: Value, step: &'static str, more: Step) {
        let row = [
            at.position.into(),
            contract,
            at.ts_event.into(),
            step.into(),
            more.deliverable,
            more.acceptance,
            more.released,
            more.fee,
            more.penalty,
            more.refunded,
            more.compensation,
            more.successor,
        ];
        self.add_row(TableId::ContractSteps, row);
    }

    fn add_postings(&mut self, at: At, movement: &Movement) {
        let amount = movement.amount.raw();
        let sides = [(1_i64, movement.from, -amount), (2, movement.to, amount)];
        for (side, ledger, amount) in sides {
            let row = [
                at.position.into(),
                side.into(),
                at.ts_event.into(),
                name(&movement.kind),
                ledger.account.text(),
                name(&ledger.bucket),
                amount.into(),
                movement.currency.text(),
            ];
            self.add_row(TableId::Postings, row);
        }
    }
}

/// What a step of a contract says beside its name.
struct Step {
    deliverable: Value,
    acceptance: Value,
    released: Value,
    fee: Value,
    penalty: Value,
    refunded: Value,
    compensation: Value,
    successor: Value,
}

impl Default for Step {
    fn default() -> Self {
        Self {
            deliverable: Value::Null,
            acceptance: Value::Null,
            released: Value::Null,
            fee: Value::Null,
            penalty: Value::Null,
            refunded: Value::Null,
            compensation: Value::Null,
            successor: Value::Null,
        }
    }
}

/// Returns the kind of a quote, its id if it is sealed, and the bundle's number if it is one.
fn quote_ref(quote: QuoteRef) -> [Value; 3] {
    match quote {
        QuoteRef::Sealed(quote) => ["sealed".into(), quote.text(), Value::Null],
        QuoteRef::Standing => ["standing".into(), Value::Null, Value::Null],
        QuoteRef::Take => ["take".into(), Value::Null, Value::Null],
        QuoteRef::Bundle(bundle) => ["bundle".into(), bundle.quote.text(), bundle.number.into()],
    }
}

/// Returns a choice by its name, as in JSON; one that carries more by its name alone.
pub(super) fn name<T: Serialize>(choice: &T) -> Value {
    let written = serde_json::to_value(choice).expect("a choice is a JSON value");
    let of_more = written.as_object().and_then(|object| object.keys().next()).map(String::as_str);
    let name = written.as_str().or(of_more);
    name.expect("a choice is written by its name").into()
}

/// Returns a value as JSON.
pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> Value {
    serde_json::to_string(value).expect("it is a JSON value").into()
}

/// What is written as people write it.
pub(super) trait AsText {
    /// Returns it as a value.
    fn text(&self) -> Value;
}

impl<T: std::fmt::Display> AsText for T {
    fn text(&self) -> Value {
        Value::Text(self.to_string())
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u64> for Value {
    // What is beyond is for ever.
    fn from(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<TimestampNs> for Value {
    fn from(time: TimestampNs) -> Self {
        time.nanos().into()
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
