//! RFQs, quotes, standing quotes, and how they fared.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::bundles::BundleRef;
use crate::command::{Disclosure, NoQuoteReason, choice};
use crate::ids::{AccountId, AgentId, CapabilityId, ContractId, QuoteId, RfqId};
use crate::json::u64_text;
use crate::money::Micros;
use crate::reason::{LossReason, RejectReason};
use crate::terms::{Offer, OfferEnvelope, RfqTerms};
use crate::time::TimestampNs;

happened! {
    /// An RFQ was opened.
    pub struct RfqOpened {
        /// Its id.
        pub rfq: RfqId,
        /// Who asks.
        pub buyer: AgentId,
        /// Whose money is held.
        pub account: AccountId,
        /// When it closes, on the clock of sequenced time; an outage moves it.
        pub closes_at: TimestampNs,
        /// What is asked for.
        pub terms: RfqTerms,
    }

    /// A provider was invited.
    pub struct ProviderInvited {
        /// To answer which RFQ.
        pub rfq: RfqId,
        /// Who.
        pub provider: AgentId,
    }

    /// A provider answered without a quote.
    pub struct RfqDeclined {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Who.
        pub provider: AgentId,
        /// Why.
        pub reason: NoQuoteReason,
    }

    /// Units of a Dutch RFQ were taken.
    pub struct RfqTaken {
        /// Which RFQ.
        pub rfq: RfqId,
        /// The kind of work.
        pub capability: CapabilityId,
        /// The contract that is concluded by it.
        pub contract: ContractId,
        /// The price per unit.
        pub price: Micros,
        /// Units taken.
        pub quantity: u32,
        /// Units left.
        pub remaining: u32,
    }

    /// The book is open to the buyer.
    pub struct BookShown {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Who may pick.
        pub buyer: AgentId,
        /// How long.
        pub pick_until: TimestampNs,
        /// How many entries the ranked list has; they travel beside the events, in their order.
        pub ranked: u32,
    }

    /// The buyer picked a quote.
    pub struct QuotePicked {
        /// Of which RFQ.
        pub rfq: RfqId,
        /// Which quote.
        pub quote: QuoteId,
    }

    /// An RFQ was canceled.
    pub struct RfqCanceled {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Who canceled it.
        pub buyer: AgentId,
        /// The kind of work.
        pub capability: CapabilityId,
    }

    /// An RFQ was closed.
    pub struct RfqClosed {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Who asked.
        pub buyer: AgentId,
        /// The kind of work.
        pub capability: CapabilityId,
        /// How it ended.
        pub result: RfqResult,
        /// Units that were awarded; items, if it was combinatorial.
        pub awarded: u32,
        /// Bundles that were quoted.
        pub bundles: u32,
        /// The highest price per unit that is paid, if something was awarded; for a combinatorial RFQ
        /// what is paid in all.
        pub clearing_price: Option<Micros>,
        /// What providers that lost learn of it.
        pub disclosure: Disclosure,
        /// How many entries the ranked list has; they travel beside the events, in their order.
        pub ranked: u32,
    }

    /// One quote's place in a close.
    pub struct Ranked {
        /// The provider.
        pub provider: AgentId,
        /// Which of its quotes.
        pub quote: QuoteRef,
        /// Its price per unit.
        pub price: Micros,
        /// Its price with what latency and reputation are worth: the lowest comes first.
        pub score: Micros,
        /// Its quoted latency.
        pub latency_ms: u32,
        /// The provider's reputation at the close.
        pub reputation_bps: u16,
        /// Its place, from 1; zero if it was not ranked.
        pub rank: u32,
        /// What became of it.
        pub result: RankedResult,
    }

    /// A sealed quote was placed.
    pub struct QuotePlaced {
        /// Its id.
        pub quote: QuoteId,
        /// The RFQ it answers.
        pub rfq: RfqId,
        /// Who quotes.
        pub provider: AgentId,
        /// What is offered.
        pub offer: Offer,
    }

    /// A sealed quote was amended.
    pub struct QuoteAmended {
        /// Its id.
        pub quote: QuoteId,
        /// The RFQ it answers.
        pub rfq: RfqId,
        /// Who quotes.
        pub provider: AgentId,
        /// What is offered.
        pub offer: Offer,
        /// Whether it kept its place among ties.
        pub kept_place: bool,
    }

    /// A sealed quote was canceled.
    pub struct QuoteCanceled {
        /// Its id.
        pub quote: QuoteId,
        /// The RFQ it answered.
        pub rfq: RfqId,
        /// Whose quote.
        pub provider: AgentId,
        /// Why.
        pub cause: CancelCause,
    }

    /// A standing quote was set.
    pub struct StandingQuoteSet {
        /// The kind of work.
        pub capability: CapabilityId,
        /// Whose quote.
        pub provider: AgentId,
        /// Its revision.
        #[serde(with = "u64_text")]
        pub revision: u64,
        /// The price per unit.
        pub price: Micros,
        /// How long the work takes, in milliseconds.
        pub latency_ms: u32,
        /// Units still on offer.
        pub capacity: u32,
        /// Firm until then.
        pub valid_until: TimestampNs,
    }

    /// A standing quote ended.
    pub struct StandingQuoteCanceled {
        /// The kind of work.
        pub capability: CapabilityId,
        /// Whose quote.
        pub provider: AgentId,
        /// Its last revision.
        #[serde(with = "u64_text")]
        pub revision: u64,
        /// Why.
        pub cause: CancelCause,
    }

    /// Lines of a mass quote took effect.
    pub struct MassQuoted {
        /// Lines accepted.
        pub accepted: u32,
        /// Lines rejected.
        pub rejected: u32,
    }

    /// A line of a mass quote was rejected.
    pub struct LineRejected {
        /// Which line, from 0.
        pub line: u32,
        /// Why.
        pub reason: RejectReason,
    }

    /// An envelope was signed.
    pub struct EnvelopeSigned {
        /// Whose.
        pub provider: AgentId,
        /// Its bounds.
        pub envelope: OfferEnvelope,
    }

    /// An open RFQ, by name and deadline.
    pub struct RfqHandle {
        /// Its id.
        pub rfq: RfqId,
        /// When it closes.
        pub closes_at: TimestampNs,
    }
}

choice! {
    /// Why a quote ended.
    pub enum CancelCause {
        /// Its agent canceled it.
        Agent,
        /// Its agent's session was lost.
        SessionLost,
        /// Its validity ended.
        Expired,
        /// All of its capacity was awarded.
        UsedUp,
        /// Its agent canceled all of its kind.
        MassCancel,
    }

    /// How an RFQ ended.
    pub enum RfqResult {
        /// Its work was awarded.
        Awarded,
        /// Nothing was awarded.
        Passed,
        /// Its buyer canceled it.
        Canceled,
    }

    /// One of a provider's quotes.
    pub enum QuoteRef {
        /// A sealed quote.
        Sealed(QuoteId),
        /// Its standing quote for the capability.
        Standing,
        /// None: it took a Dutch RFQ.
        Take,
        /// A bundle of a combinatorial RFQ.
        Bundle(BundleRef),
    }

    /// What became of a quote at the close.
    pub enum RankedResult {
        /// It was awarded.
        Won,
        /// It lost.
        Lost(LossReason),
        /// It would lose for this reason, and stands by for the winner.
        Standby(LossReason),
        /// It is for the buyer to say.
        Shown,
        /// The provider answered without a quote.
        Declined(NoQuoteReason),
    }
}
