//! What subscribers get of what happened: each agent its own side, the public what is public.

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::codec::payloads;
use crate::command::{Format, RfqTerms, record};
use crate::event::{
    Awarded, CapabilityListed, ContractExpired, ContractSettled, ContractVerified, Delivered,
    QuoteCanceled, QuoteRef, Resumed, RfqOpened, RfqResult, StandingQuoteCanceled,
    StandingQuoteSet, WorkStarted, happened,
};
use crate::ids::{AgentId, CapabilityId, Digest, RfqId};
use crate::money::{Currency, Micros};
use crate::reason::LossReason;
use crate::template::templates;
use crate::time::{DurationNs, TimestampNs};

templates! {
    /// An event of an agent's private stream: what happened to it, and was not the direct answer to
    /// its own command.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum PrivateEvent: Subscription {
        /// Work was awarded; both sides get this.
        96 Awarded(Awarded),
        /// The agent's RFQ ended.
        97 RfqEnded(RfqEnded),
        /// One of the agent's quotes lost.
        98 QuoteLost(QuoteLost),
        /// One of the agent's sealed quotes was canceled for it.
        99 QuoteCanceled(QuoteCanceled),
        /// The agent's standing quote was canceled for it, expired or was used up.
        100 StandingQuoteCanceled(StandingQuoteCanceled),
        /// The provider started the work; both sides get this.
        101 WorkStarted(WorkStarted),
        /// The provider delivered; both sides get this.
        102 Delivered(Delivered),
        /// The delivery was accepted; both sides get this.
        103 ContractVerified(ContractVerified),
        /// The provider was paid; both sides get this.
        104 ContractSettled(ContractSettled),
        /// The provider did not deliver in time; both sides get this.
        105 ContractExpired(ContractExpired),
    }
}

templates! {
    /// An event of a public stream.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum PublicEvent: Subscription {
        /// An RFQ was opened (topic: its capability).
        128 RfqAnnounced(RfqAnnounced),
        /// An RFQ ended (topic: its capability).
        129 RfqClosedPublicly(RfqClosedPublicly),
        /// A standing quote was set, or part of its capacity was awarded (topic: its capability).
        130 StandingQuoteSet(StandingQuoteSet),
        /// A standing quote ended (topic: its capability).
        131 StandingQuoteEnded(StandingQuoteCanceled),
        /// A capability was listed (topic: the exchange).
        132 CapabilityListed(CapabilityListed),
        /// The exchange takes no new business (topic: the exchange).
        133 Halted(Empty),
        /// The exchange takes new business again (topic: the exchange).
        134 Reopened(Empty),
        /// The exchange continues after an outage; deadlines moved (topic: the exchange).
        135 Resumed(Resumed),
    }
}

happened! {
    /// The agent's RFQ ended.
    pub struct RfqEnded {
        /// Which RFQ.
        pub rfq: RfqId,
        /// How.
        pub result: RfqResult,
        /// Quotes that competed.
        pub quotes: u32,
        /// The price per unit that is paid, if something was awarded.
        pub clearing_price: Option<Micros>,
    }

    /// One of the agent's quotes lost.
    pub struct QuoteLost {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Which quote.
        pub quote: QuoteRef,
        /// Why.
        pub reason: LossReason,
        /// Its place, from 1; none if the RFQ was canceled before it was cleared.
        pub rank: Option<u32>,
        /// The price per unit that won, where the RFQ discloses it.
        pub winning_price: Option<Micros>,
    }

    /// An RFQ was opened: what everybody may know of it.
    pub struct RfqAnnounced {
        /// Its id.
        pub rfq: RfqId,
        /// The kind of work.
        pub capability: CapabilityId,
        /// Who asks.
        pub buyer: AgentId,
        /// What it is paid in.
        pub currency: Currency,
        /// Units of work.
        pub quantity: u32,
        /// How it is cleared.
        pub format: Format,
        /// How long it collects quotes; zero: it is cleared already.
        pub window: DurationNs,
        /// When it closes.
        pub closes_at: TimestampNs,
        /// Whether standing quotes compete too.
        pub admit_standing: bool,
        /// How long after the award the provider may take to deliver.
        pub delivery_within: DurationNs,
        /// How long after the delivery the buyer may take to object.
        pub acceptance_within: DurationNs,
        /// The public part of the job spec.
        pub spec: Digest,
        /// The terms of the contract.
        pub terms: Digest,
    }

    /// An RFQ ended: what everybody may know of it.
    pub struct RfqClosedPublicly {
        /// Which RFQ.
        pub rfq: RfqId,
        /// How.
        pub result: RfqResult,
        /// The price per unit that is paid, where the RFQ discloses it.
        pub clearing_price: Option<Micros>,
    }
}

record! {
    /// Nothing beyond the template's own meaning.
    pub struct Empty {}
}

payloads!(
    Awarded,
    RfqEnded,
    QuoteLost,
    QuoteCanceled,
    StandingQuoteCanceled,
    WorkStarted,
    Delivered,
    ContractVerified,
    ContractSettled,
    ContractExpired,
    RfqAnnounced,
    RfqClosedPublicly,
    StandingQuoteSet,
    CapabilityListed,
    Empty,
    Resumed,
);

impl RfqAnnounced {
    /// Returns what everybody may know of an RFQ: all but its reserve and its inputs.
    pub fn of(opened: &RfqOpened) -> Self {
        let RfqTerms {
            capability,
            currency,
            quantity,
            reserve: _,
            format,
            window,
            admit_standing,
            disclosure: _,
            delivery_within,
            acceptance_within,
            spec,
            inputs: _,
            terms,
        } = opened.terms;
        Self {
            rfq: opened.rfq,
            capability,
            buyer: opened.buyer,
            currency,
            quantity,
            format,
            window,
            closes_at: opened.closes_at,
            admit_standing,
            delivery_within,
            acceptance_within,
            spec,
            terms,
        }
    }
}
