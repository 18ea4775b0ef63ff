//! Records of what the market keeps in chains and heaps: the same without its place in memory.

use alloc::vec::Vec;

use gavel_matcher::{
    BundleBookRecord, Candidate, Dutch, Owner, Quote, Rfq, Rfqs, StandingQuote, Taken, Update,
};
use gavel_protocol::{
    AgentId, CapabilityId, DurationNs, DutchTerms, LossReason, Micros, NoQuoteReason, Offer,
    QuoteId, RfqId, RfqTerms, SignedRfq, TimestampNs,
};
use rkyv::{Archive, Deserialize, Serialize};

use crate::standbys::{BundleStandby, Group, Standby};

macro_rules! records {
    ($($(#[$doc:meta])* pub(super) struct $name:ident { $($field:ident: $type:ty,)* })+) => {$(
        $(#[$doc])*
        #[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
        pub(super) struct $name { $(pub(super) $field: $type,)* }
    )+};
}

records! {
    /// An open RFQ.
    pub(super) struct RfqRecord {
        id: RfqId,
        owner: Owner,
        opened_at: TimestampNs,
        closes_at: TimestampNs,
        terms: RfqTerms,
        signed: Option<SignedRfq>,
        stopped_before: DurationNs,
        taken: Taken,
        closed: bool,
        directed: bool,
        invited: Vec<(AgentId, bool)>,
        dutch: Option<DutchTerms>,
        bundles: Option<BundleBookRecord>,
    }

    /// An answer to an open RFQ.
    pub(super) struct QuoteRecord {
        id: QuoteId,
        rfq: RfqId,
        owner: Owner,
        offer: Offer,
        declined: Option<NoQuoteReason>,
        bond: Micros,
        reputation_bps: u16,
        priority: u64,
        placed: u64,
    }

    /// A standing quote, ended or not.
    pub(super) struct StandingRecord {
        capability: CapabilityId,
        provider: AgentId,
        agent_slot: u32,
        revision: u64,
        price: Micros,
        latency_ms: u32,
        offered: u32,
        capacity: u32,
        used_up: bool,
        valid_until: TimestampNs,
        priority: u64,
    }

    /// What the quotes that stand by for one RFQ have in common.
    pub(super) struct GroupRecord {
        rfq: RfqId,
        buyer: Owner,
        terms: RfqTerms,
        contracts: u32,
        all_or_none: bool,
        winning_price: Option<Micros>,
    }

    /// A quote that stands by.
    pub(super) struct StandbyRecord {
        rfq: RfqId,
        candidate: Candidate,
        reason: LossReason,
        rank: u32,
        bundle: Option<BundleStandby>,
    }
}

impl RfqRecord {
    pub(super) fn of(rfqs: &Rfqs, slot: u32) -> Self {
        let rfq = rfqs.at(slot);
        Self {
            id: rfq.id,
            owner: rfq.owner,
            opened_at: rfq.opened_at,
            closes_at: rfq.closes_at,
            terms: rfq.terms,
            signed: rfq.signed,
            stopped_before: rfq.stopped_before,
            taken: rfq.taken,
            closed: rfq.closed,
            directed: rfq.directed,
            invited: rfqs.invitations.of(rfq).collect(),
            dutch: rfqs.dutch(slot).map(Dutch::terms),
            bundles: rfq.bundles.map(|at| BundleBookRecord::of(rfqs.books.at(at), rfq.closed)),
        }
    }

    pub(super) fn rfq(&self) -> Rfq {
        let mut rfq = Rfq::new(self.id, self.owner, (self.opened_at, self.closes_at), self.terms);
        rfq.signed = self.signed;
        rfq.stopped_before = self.stopped_before;
        rfq.taken = self.taken;
        (rfq.closed, rfq.directed) = (self.closed, self.directed);
        rfq
    }
}

impl QuoteRecord {
    pub(super) fn of(quote: &Quote) -> Self {
        Self {
            id: quote.id,
            rfq: quote.rfq,
            owner: quote.owner,
            offer: quote.offer,
            declined: quote.declined,
            bond: quote.bond,
            reputation_bps: quote.reputation_bps,
            priority: quote.priority,
            placed: quote.placed,
        }
    }

    pub(super) fn quote(&self) -> Quote {
        let mut quote = Quote::new(self.id, self.rfq, self.owner, self.offer, self.placed);
        (quote.declined, quote.bond) = (self.declined, self.bond);
        (quote.reputation_bps, quote.priority) = (self.reputation_bps, self.priority);
        quote
    }
}

impl StandingRecord {
    pub(super) fn of(quote: StandingQuote) -> Self {
        Self {
            capability: quote.capability,
            provider: quote.provider,
            agent_slot: quote.agent_slot,
            revision: quote.revision,
            price: quote.price,
            latency_ms: quote.latency_ms,
            offered: quote.offered,
            capacity: quote.capacity,
            used_up: quote.used_up,
            valid_until: quote.valid_until,
            priority: quote.priority,
        }
    }

    pub(super) fn quote(&self) -> StandingQuote {
        let update = Update {
            revision: self.revision,
            price: self.price,
            latency_ms: self.latency_ms,
            capacity: self.offered,
            valid_until: self.valid_until,
        };
        let mut quote = StandingQuote::new(
            (self.provider, self.agent_slot),
            self.capability,
            update,
            self.priority,
        );
        (quote.capacity, quote.used_up) = (self.capacity, self.used_up);
        quote
    }
}

impl GroupRecord {
    pub(super) fn of((rfq, group): (RfqId, &Group)) -> Self {
        let Group { buyer, terms, contracts, all_or_none, winning_price, .. } = *group;
        Self { rfq, buyer, terms, contracts, all_or_none, winning_price }
    }

    pub(super) fn group(&self) -> Group {
        let mut group = Group::new(self.buyer, self.terms, self.contracts, self.winning_price);
        group.all_or_none = self.all_or_none;
        group
    }
}

impl StandbyRecord {
    pub(super) fn of(standby: &Standby) -> Self {
        let Standby { rfq, candidate, reason, rank, bundle, .. } = *standby;
        Self { rfq, candidate, reason, rank, bundle }
    }

    pub(super) fn standby(&self) -> Standby {
        let mut standby = Standby::new(self.rfq, self.candidate, self.reason, self.rank);
        standby.bundle = self.bundle;
        standby
    }
}
