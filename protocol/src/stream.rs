//! What subscribers get of what happened: each agent its own side, the public what is public.

use alloc::boxed::Box;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::bundles::{BundleLost, ProblemBundles, ProblemPosed, PublicBundleTerms, RfqCleared};
use crate::codec::payloads;
use crate::command::{DutchTerms, NoQuoteReason, OpenRfq, RfqSignature, record};
use crate::event::{
    Awarded, CapabilityListed, ContractExpired, ContractSettled, ContractTakenOver,
    ContractVerified, Delivered, Halted, PriceBandSet, ProviderSuspended, QuoteCanceled, QuoteRef,
    Reopened, ReputationChanged, Resumed, RfqOpened, RfqResult, StandingQuoteCanceled,
    StandingQuoteSet, Upgraded, WorkStarted, happened,
};
use crate::ids::{AgentId, Digest, RfqId};
use crate::money::Micros;
use crate::reason::LossReason;
use crate::template::templates;
use crate::terms::PublicTerms;
use crate::time::TimestampNs;

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
        /// The agent is invited to answer an RFQ that is not announced to everybody.
        106 Invited(Box<RfqAnnounced>),
        /// An RFQ that the agent was invited to has ended.
        107 InvitedRfqEnded(RfqClosedPublicly),
        /// A provider answered the agent's RFQ without a quote; known at the close.
        108 Declined(Declined),
        /// The book of the agent's RFQ is open: so many quotes follow, and it may pick one.
        109 BookOpened(BookOpened),
        /// A quote of that book.
        110 QuoteShown(QuoteShown),
        /// The agent's quote did not win, and stands by for the winner.
        111 Standby(Standby),
        /// The provider failed and another took over; both sides and the successor get this.
        112 ContractTakenOver(ContractTakenOver),
        /// The agent's reputation changed.
        113 ReputationChanged(ReputationChanged),
        /// The agent is kept out for a time.
        114 ProviderSuspended(ProviderSuspended),
        /// Units of a Dutch RFQ that the agent was invited to were taken.
        115 InvitedRfqTaken(RfqTakenPublicly),
        /// The agent's combinatorial RFQ was cleared.
        116 RfqCleared(RfqCleared),
        /// One of the agent's bundles lost.
        117 BundleLost(BundleLost),
    }
}

templates! {
    /// An event of a public stream.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum PublicEvent: Subscription {
        /// An RFQ was opened (topic: its capability).
        128 RfqAnnounced(Box<RfqAnnounced>),
        /// An RFQ ended (topic: its capability).
        129 RfqClosedPublicly(RfqClosedPublicly),
        /// A standing quote was set, or part of its capacity was awarded (topic: its capability).
        130 StandingQuoteSet(StandingQuoteSet),
        /// A standing quote ended (topic: its capability).
        131 StandingQuoteEnded(StandingQuoteCanceled),
        /// A capability was listed (topic: the exchange).
        132 CapabilityListed(CapabilityListed),
        /// No new business is taken (topic: the exchange, or the capability).
        133 Halted(Halted),
        /// New business is taken again (topic: the exchange, or the capability).
        134 Reopened(Reopened),
        /// The exchange continues after an outage; deadlines moved (topic: the exchange).
        135 Resumed(Resumed),
        /// Units of a Dutch RFQ were taken (topic: its capability).
        136 RfqTakenPublicly(RfqTakenPublicly),
        /// The band that prices must lie in was set (topic: its capability).
        137 PriceBandSet(PriceBandSet),
        /// A combinatorial RFQ is being cleared (topic: problems).
        138 ProblemPosed(Box<ProblemPosed>),
        /// Bundles of its problem (topic: problems).
        139 ProblemBundles(Box<ProblemBundles>),
        /// The exchange goes on under other rules (topic: the exchange).
        140 Upgraded(Upgraded),
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
        /// Units that were awarded.
        pub awarded: u32,
        /// The highest price per unit that is paid, if something was awarded.
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

    /// A provider answered without a quote.
    pub struct Declined {
        /// Which RFQ.
        pub rfq: RfqId,
        /// Who.
        pub provider: AgentId,
        /// Why.
        pub reason: NoQuoteReason,
    }

    /// The book of the agent's RFQ is open.
    pub struct BookOpened {
        /// Which RFQ.
        pub rfq: RfqId,
        /// It may pick until then.
        pub pick_until: TimestampNs,
        /// Quotes that follow: the best ones.
        pub shown: u32,
        /// Quotes that compete.
        pub quotes: u32,
    }

    /// A quote of a book.
    pub struct QuoteShown {
        /// For which RFQ.
        pub rfq: RfqId,
        /// Which quote.
        pub quote: QuoteRef,
        /// Whose.
        pub provider: AgentId,
        /// The price per unit.
        pub price: Micros,
        /// Its quoted latency.
        pub latency_ms: u32,
        /// The provider's reputation.
        pub reputation_bps: u16,
        /// The price with what latency and reputation are worth.
        pub score: Micros,
        /// Its place, from 1.
        pub rank: u32,
        /// Why it cannot be picked, if it cannot.
        pub barred: Option<LossReason>,
    }

    /// The agent's quote stands by.
    pub struct Standby {
        /// For which RFQ.
        pub rfq: RfqId,
        /// Which quote.
        pub quote: QuoteRef,
        /// Its place, from 1.
        pub rank: u32,
    }

    /// What a signature on an RFQ is about.
    pub struct SignedRfq {
        /// The salted hash of what the buyer keeps to itself.
        pub commitment: Digest,
        /// The digest that a signed quote must name.
        pub digest: Digest,
    }

    /// Units of a Dutch RFQ were taken, as everybody who may take may know it.
    pub struct RfqTakenPublicly {
        /// Which RFQ.
        pub rfq: RfqId,
        /// The price per unit, which follows from the public curve.
        pub price: Micros,
        /// Units taken.
        pub quantity: u32,
        /// Units left.
        pub remaining: u32,
    }

    /// An RFQ ended: what everybody may know of it.
    pub struct RfqClosedPublicly {
        /// Which RFQ.
        pub rfq: RfqId,
        /// How.
        pub result: RfqResult,
        /// Units that were awarded.
        pub awarded: u32,
        /// The highest price per unit that is paid, where the RFQ discloses it.
        pub clearing_price: Option<Micros>,
    }
}

record! {
    /// An RFQ was opened: what those who may answer it may know of it. Its terms stand here with
    /// neither reserve nor inputs.
    pub struct RfqAnnounced {
        /// Its id.
        pub rfq: RfqId,
        /// Who asks.
        pub buyer: AgentId,
        /// When it closes, should nothing move it.
        pub closes_at: TimestampNs,
        /// What is asked for.
        pub terms: PublicTerms,
        /// How the price rises, if the format is Dutch.
        pub dutch: Option<DutchTerms>,
        /// What is asked for, if the format is combinatorial.
        pub bundles: Option<PublicBundleTerms>,
        /// What the buyer has signed, if it has.
        pub signed: Option<SignedRfq>,
    }
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
    Halted,
    Reopened,
    Resumed,
    Upgraded,
    RfqTakenPublicly,
    PriceBandSet,
    Declined,
    BookOpened,
    QuoteShown,
    Standby,
    ContractTakenOver,
    ReputationChanged,
    ProviderSuspended,
);

impl RfqAnnounced {
    /// Returns what those who may answer an RFQ may know of it.
    pub fn of(opened: &RfqOpened, command: &OpenRfq) -> Self {
        Self {
            rfq: opened.rfq,
            buyer: opened.buyer,
            closes_at: opened.closes_at,
            terms: PublicTerms::of(&opened.terms),
            dutch: command.dutch.clone(),
            bundles: command.bundles.as_deref().map(PublicBundleTerms::of),
            signed: command.signature.as_deref().map(SignedRfq::of),
        }
    }
}

impl SignedRfq {
    /// Returns what a buyer's signature is about.
    pub fn of(signature: &RfqSignature) -> Self {
        Self { commitment: signature.commitment, digest: signature.digest }
    }
}
