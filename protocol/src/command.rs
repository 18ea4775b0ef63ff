//! What may be asked of the exchange: one variant per command, in the imperative.
//!
//! A [`Request`] is a command and who asks for it. The sequencer makes it a [`Stamped`] one, and
//! that is what the journal keeps.

use alloc::boxed::Box;
use alloc::vec::Vec;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::bundles::{BundleTerms, ProposeAllocation, QuoteBundles};
use crate::codec::payloads;
use crate::ids::{
    AccountId, AgentId, CapabilityId, ClientId, ContractId, Digest, PublicKey, QuoteId, RfqId,
    SessionId, SignatureBytes,
};
use crate::json::u64_text;
use crate::money::{Currency, Micros};
use crate::name::Name;
use crate::roles::{Attributes, Roles};
use crate::template::templates;
use crate::terms::{CurvePoint, Exclusivity, Offer, OfferEnvelope, PriceBand, RfqTerms, Settings};
use crate::time::{DurationNs, TimestampNs};

/// Declares plain data that travels: comparable, printable, in both codecs, strict about fields.
macro_rules! record {
    ($($(#[$doc:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, Hash,
            Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
        )]
        #[rkyv(derive(Debug))]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($body)* }
    )+};
}

/// Declares a plain choice that travels.
macro_rules! choice {
    ($($(#[$doc:meta])* pub enum $name:ident { $($body:tt)* })+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash,
            Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
        )]
        #[rkyv(derive(Debug))]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($body)* }
    )+};
}

pub(crate) use {choice, record};

templates! {
    /// A command. Whoever sends it is in the [`Request`] around it.
    #[derive(
        Clone, Debug, PartialEq, Eq, Hash,
        Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
    )]
    #[rkyv(derive(Debug))]
    pub enum Command: ClientToServer {
        /// Opens an RFQ and holds the buyer's money for it.
        16 OpenRfq(Box<OpenRfq>),
        /// Cancels an open RFQ and refunds what was held.
        17 CancelRfq(CancelRfq),
        /// Places a sealed quote.
        18 PlaceQuote(PlaceQuote),
        /// Changes the price or validity of a live quote.
        19 AmendQuote(AmendQuote),
        /// Cancels a live quote.
        20 CancelQuote(CancelQuote),
        /// Sets or replaces the agent's standing quote for a capability.
        21 SetStandingQuote(SetStandingQuote),
        /// Cancels the agent's standing quote for a capability.
        22 CancelStandingQuote(CancelStandingQuote),
        /// Says that the provider has started the work of a contract.
        23 StartWork(StartWork),
        /// Delivers the work of a contract.
        24 Deliver(Deliver),
        /// Accepts what was delivered, so that the provider is paid.
        25 AcceptDelivery(AcceptDelivery),
        /// Answers an RFQ without a quote.
        26 DeclineRfq(DeclineRfq),
        /// Takes units of a Dutch RFQ at its present price.
        27 TakeRfq(TakeRfq),
        /// Picks a quote of the book that a buyer's-choice RFQ has shown its buyer.
        28 PickQuote(PickQuote),
        /// Sets or replaces many standing quotes, each answered by itself.
        29 MassQuote(MassQuote),
        /// Cancels all of the agent's quotes of a kind.
        30 MassCancel(MassCancel),
        /// Signs the bounds within which a session may move the agent's standing quote.
        31 SignEnvelope(Box<SignEnvelope>),
        /// Enrols an account (operator).
        32 EnrolAccount(EnrolAccount),
        /// Enrols an agent that acts for an account (operator).
        33 EnrolAgent(EnrolAgent),
        /// Lists a capability that can be traded (operator).
        34 ListCapability(ListCapability),
        /// Credits money that reached the exchange by hand (operator).
        35 Deposit(Deposit),
        /// Halts the exchange or one capability: no new business until it is reopened (operator).
        36 Halt(Halt),
        /// Ends a halt (operator).
        37 Reopen(Reopen),
        /// Sets the band that prices of a capability must lie in (operator).
        38 SetPriceBand(SetPriceBand),
        /// Quotes bundles for a combinatorial RFQ.
        39 QuoteBundles(Box<QuoteBundles>),
        /// Proposes which bundles win (solver).
        40 ProposeAllocation(Box<ProposeAllocation>),
        /// Founds the exchange: the first command of every journal. Never on the wire.
        48 Found(Box<Found>),
        /// Opens a session. Never on the wire: the gateway makes it of a logon request.
        49 Logon(Logon),
        /// Ends a session whose grace has run out. Never on the wire.
        50 SessionLost(SessionLost),
        /// Lets the deadlines that are due take effect. Never on the wire.
        51 AdvanceTime(AdvanceTime),
        /// Continues after an outage. Never on the wire.
        52 Resume(Resume),
        /// Goes on under other rules than before. Never on the wire.
        53 Upgrade(Upgrade),
    }
}

payloads!(
    OpenRfq,
    CancelRfq,
    PlaceQuote,
    AmendQuote,
    CancelQuote,
    SetStandingQuote,
    CancelStandingQuote,
    StartWork,
    Deliver,
    AcceptDelivery,
    DeclineRfq,
    TakeRfq,
    PickQuote,
    MassQuote,
    MassCancel,
    SignEnvelope,
    EnrolAccount,
    EnrolAgent,
    ListCapability,
    Deposit,
    Halt,
    Reopen,
    SetPriceBand,
    Found,
    Logon,
    SessionLost,
    AdvanceTime,
    Resume,
    Upgrade,
);

record! {
    /// A command and who asks for it.
    pub struct Request {
        /// The agent that the session's logon proved, or [`AgentId::EXCHANGE`].
        pub agent: AgentId,
        /// What it asks for.
        pub command: Command,
    }

    /// A request with its place in the order and its time: what the journal keeps.
    pub struct Stamped {
        /// The place in the order, from 1 without gaps.
        #[serde(with = "u64_text")]
        pub seq: u64,
        /// Sequenced time, never going back.
        pub ts_event: TimestampNs,
        /// The request.
        pub request: Request,
    }

    /// Opens an RFQ.
    pub struct OpenRfq {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// What is asked for, and how it is awarded.
        pub rfq: RfqTerms,
        /// Who may answer, each once; empty: open to all.
        pub invited: Vec<AgentId>,
        /// How the price rises, if the format is Dutch.
        pub dutch: Option<DutchTerms>,
        /// What is asked for, if the format is combinatorial.
        pub bundles: Option<Box<BundleTerms>>,
        /// The buyer's signature.
        pub signature: Option<Box<RfqSignature>>,
    }

    /// How the price of a Dutch RFQ rises.
    pub struct DutchTerms {
        /// A rising price over the time since the opening, straight between its points: 2 to 16 of
        /// them, the last one at the reserve.
        pub curve: Vec<CurvePoint>,
        /// Who has the first word, if anybody.
        pub exclusive: Option<Exclusivity>,
    }

    /// Cancels an open RFQ.
    pub struct CancelRfq {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which RFQ.
        pub target: RfqTarget,
    }

    /// Places a sealed quote.
    pub struct PlaceQuote {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// The RFQ that is answered.
        pub rfq: RfqId,
        /// What is offered.
        pub offer: Offer,
        /// The provider's signature.
        pub signature: Option<Box<QuoteSignature>>,
    }

    /// Changes a live quote. It keeps its place among ties if only its quantity shrinks or its
    /// validity grows; any other change takes a new place.
    pub struct AmendQuote {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which quote.
        pub target: QuoteTarget,
        /// What is offered from now on.
        pub offer: Offer,
        /// The provider's signature.
        pub signature: Option<Box<QuoteSignature>>,
    }

    /// Cancels a live quote.
    pub struct CancelQuote {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which quote.
        pub target: QuoteTarget,
    }

    /// Sets or replaces a standing quote: a public, firm price for a capability on its listed terms.
    pub struct SetStandingQuote {
        /// The kind of work.
        pub capability: CapabilityId,
        /// Grows with every change of this standing quote.
        #[serde(with = "u64_text")]
        pub revision: u64,
        /// The price per unit of quantity, above zero.
        pub price: Micros,
        /// How long the work takes, from the award to the delivery, in milliseconds.
        pub latency_ms: u32,
        /// Units that may be awarded on this quote before it is used up, at least 1.
        pub capacity: u32,
        /// The quote is firm until then.
        pub valid_until: TimestampNs,
        /// The terms it is offered on: those the capability is listed with.
        pub terms: Digest,
    }

    /// Cancels a standing quote.
    pub struct CancelStandingQuote {
        /// The kind of work.
        pub capability: CapabilityId,
        /// Above the revision that is canceled.
        #[serde(with = "u64_text")]
        pub revision: u64,
    }

    /// Says that the work of a contract has started.
    pub struct StartWork {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which contract.
        pub contract: ContractId,
    }

    /// Delivers the work of a contract.
    pub struct Deliver {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which contract.
        pub contract: ContractId,
        /// The digest of the deliverable, stored by the provider beforehand.
        pub deliverable: Digest,
    }

    /// Accepts a delivery.
    pub struct AcceptDelivery {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which contract.
        pub contract: ContractId,
    }

    /// Answers an RFQ without a quote. The buyer learns of it at the close.
    pub struct DeclineRfq {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// The RFQ that is answered.
        pub rfq: RfqId,
        /// Why there is no quote.
        pub reason: NoQuoteReason,
    }

    /// Takes units of a Dutch RFQ at the price of the moment.
    pub struct TakeRfq {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which RFQ.
        pub rfq: RfqId,
        /// Units wanted at most; what is left may be less.
        pub quantity: u32,
        /// The lowest price per unit that will do.
        pub limit: Micros,
        /// The provider's signature.
        pub signature: Option<Box<QuoteSignature>>,
    }

    /// Picks the quote that wins a buyer's-choice RFQ.
    pub struct PickQuote {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which RFQ.
        pub rfq: RfqId,
        /// Which of the quotes that were shown.
        pub quote: QuoteId,
    }

    /// Sets or replaces many standing quotes: 1 to 1,000 lines, each accepted or rejected by itself.
    pub struct MassQuote {
        /// The standing quotes.
        pub lines: Vec<SetStandingQuote>,
    }

    /// Cancels all of the agent's quotes of a kind.
    pub struct MassCancel {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which ones.
        pub what: QuoteKind,
    }

    /// Signs the bounds within which one session may move the agent's standing quote.
    pub struct SignEnvelope {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// The bounds, and the session that is mandated.
        pub envelope: OfferEnvelope,
        /// The provider's signature.
        pub signature: Signature,
    }

    /// Enrols an account.
    pub struct EnrolAccount {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// The most that one transaction of the account may cost.
        pub transaction_max: Micros,
    }

    /// Enrols an agent.
    pub struct EnrolAgent {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// The account it acts for.
        pub account: AccountId,
        /// The key it logs on with.
        pub key: PublicKey,
        /// What it may do.
        pub roles: Roles,
        /// What the operator has found to be true of it.
        pub attributes: Attributes,
    }

    /// Lists a capability.
    pub struct ListCapability {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Its public name.
        pub name: Name,
        /// What it is traded in.
        pub currency: Currency,
        /// The terms that standing quotes for it are offered on.
        pub terms: Digest,
    }

    /// Credits money that reached the exchange by hand; final at once.
    pub struct Deposit {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Whose money.
        pub account: AccountId,
        /// How much, above zero.
        pub amount: Micros,
        /// In what.
        pub currency: Currency,
    }

    /// Halts the exchange or one capability.
    pub struct Halt {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which capability; without one, the whole exchange.
        pub capability: Option<CapabilityId>,
    }

    /// Ends a halt of the same reach.
    pub struct Reopen {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which capability; without one, the whole exchange.
        pub capability: Option<CapabilityId>,
    }

    /// Sets the band that prices of a capability must lie in.
    pub struct SetPriceBand {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which capability.
        pub capability: CapabilityId,
        /// The band; without one, any price will do.
        pub band: Option<PriceBand>,
    }

    /// Founds the exchange.
    pub struct Found {
        /// The exchange's public name; signatures and logons name it.
        pub name: Name,
        /// The key of the permutation that makes ids opaque.
        pub id_key: Digest,
        /// The first operator's key.
        pub operator_key: PublicKey,
        /// What is charged, and how much.
        pub settings: Settings,
    }

    /// Opens a session, or resumes one.
    pub struct Logon {
        /// The session to resume; without one, a new session ends the agent's old one.
        pub resume: Option<SessionId>,
        /// Whether the end of the session takes the agent's quotes with it.
        pub cancel_on_disconnect: bool,
    }

    /// Ends a session that had no connection for its whole grace.
    pub struct SessionLost {
        /// Whose session.
        pub agent: AgentId,
        /// Which session.
        pub session: SessionId,
    }

    /// Lets due deadlines take effect.
    pub struct AdvanceTime {}

    /// Continues after an outage of the exchange.
    pub struct Resume {
        /// How long the exchange was away: every deadline moves by this much.
        pub gap: DurationNs,
    }

    /// Goes on under other rules than before.
    pub struct Upgrade {
        /// The rules from here on.
        pub rules_version: u32,
    }

    /// A signature over canonical bytes, as the protocol document defines them.
    pub struct Signature {
        /// How it was made.
        pub scheme: SignatureScheme,
        /// The signature.
        pub bytes: SignatureBytes,
    }

    /// A buyer's signature over an RFQ.
    pub struct RfqSignature {
        /// Hides what the buyer keeps to itself: what is signed holds its salted hash.
        pub salt: Digest,
        /// That salted hash.
        pub commitment: Digest,
        /// The digest of the RFQ's canonical bytes; everybody who gets the RFQ gets it.
        pub digest: Digest,
        /// Over the digest.
        pub signature: Signature,
    }

    /// A provider's signature over what it offers for an RFQ.
    pub struct QuoteSignature {
        /// The digest of the RFQ that is answered.
        pub rfq_digest: Digest,
        /// Over the digest and the offer.
        pub signature: Signature,
    }
}

choice! {
    /// How a signature is made.
    pub enum SignatureScheme {
        /// Ed25519 (RFC 8032).
        Ed25519,
    }

    /// How an RFQ is cleared.
    pub enum Format {
        /// The lowest score wins and is paid as quoted. A window of zero clears at once against the
        /// standing quotes; a longer one collects sealed quotes.
        FirstPrice,
        /// The lowest score wins and is paid the price at which its score would equal that of the
        /// best losing unit of another account; without one, the reserve; never more than that.
        SecondPrice,
        /// The price rises along a public curve until a provider takes it.
        Dutch,
        /// The book is shown to the buyer at the close, and it picks.
        BuyersChoice,
        /// Bundles of several items compete; those win that gain the buyer most together.
        Combinatorial,
    }

    /// Why a provider does not quote.
    pub enum NoQuoteReason {
        /// It does not do this kind of work.
        OutsideCapability,
        /// It has no capacity left.
        NoCapacity,
        /// It cannot deliver in time.
        DeadlineTooShort,
        /// The work would cost more than could be asked.
        Unprofitable,
        /// Its policy does not allow the terms or the data.
        Policy,
        /// It does not work for this buyer.
        Counterparty,
        /// Something else.
        Other,
    }

    /// Which of an agent's quotes.
    pub enum QuoteKind {
        /// Sealed quotes.
        Sealed,
        /// Standing quotes.
        Standing,
        /// All quotes.
        All,
    }

    /// What a provider that loses learns of the winning price.
    pub enum Disclosure {
        /// Nothing.
        Nothing,
        /// The clearing price.
        ClearingPrice,
    }

    /// An RFQ, by whichever number the client has at hand.
    pub enum RfqTarget {
        /// The exchange's id.
        Id(RfqId),
        /// The client id of the command that opened it.
        ClientId(ClientId),
    }

    /// A quote, by whichever number the client has at hand.
    pub enum QuoteTarget {
        /// The exchange's id.
        Id(QuoteId),
        /// The client id of the command that placed it.
        ClientId(ClientId),
    }
}

impl OpenRfq {
    /// Returns the command for an unsigned RFQ that is open to all, neither Dutch nor combinatorial.
    pub fn plain(client_id: ClientId, rfq: RfqTerms) -> Self {
        Self { client_id, rfq, invited: Vec::new(), dutch: None, bundles: None, signature: None }
    }
}

impl Command {
    /// Returns the client id of a command that carries one.
    pub fn client_id(&self) -> Option<ClientId> {
        match self {
            Self::OpenRfq(c) => Some(c.client_id),
            Self::CancelRfq(c) => Some(c.client_id),
            Self::PlaceQuote(c) => Some(c.client_id),
            Self::AmendQuote(c) => Some(c.client_id),
            Self::CancelQuote(c) => Some(c.client_id),
            Self::StartWork(c) => Some(c.client_id),
            Self::Deliver(c) => Some(c.client_id),
            Self::AcceptDelivery(c) => Some(c.client_id),
            Self::DeclineRfq(c) => Some(c.client_id),
            Self::QuoteBundles(c) => Some(c.client_id),
            Self::TakeRfq(c) => Some(c.client_id),
            Self::PickQuote(c) => Some(c.client_id),
            Self::MassCancel(c) => Some(c.client_id),
            Self::SignEnvelope(c) => Some(c.client_id),
            Self::SetPriceBand(c) => Some(c.client_id),
            Self::EnrolAccount(c) => Some(c.client_id),
            Self::EnrolAgent(c) => Some(c.client_id),
            Self::ListCapability(c) => Some(c.client_id),
            Self::Deposit(c) => Some(c.client_id),
            Self::Halt(c) => Some(c.client_id),
            Self::Reopen(c) => Some(c.client_id),
            Self::SetStandingQuote(_)
            | Self::CancelStandingQuote(_)
            | Self::MassQuote(_)
            | Self::ProposeAllocation(_)
            | Self::Found(_)
            | Self::Logon(_)
            | Self::SessionLost(_)
            | Self::AdvanceTime(_)
            | Self::Resume(_)
            | Self::Upgrade(_) => None,
        }
    }

    /// Returns whether a client may send this command, rather than only the exchange itself.
    pub fn is_on_the_wire(&self) -> bool {
        match self {
            Self::Found(_)
            | Self::Logon(_)
            | Self::SessionLost(_)
            | Self::AdvanceTime(_)
            | Self::Resume(_)
            | Self::Upgrade(_) => false,
            Self::OpenRfq(_)
            | Self::CancelRfq(_)
            | Self::PlaceQuote(_)
            | Self::QuoteBundles(_)
            | Self::ProposeAllocation(_)
            | Self::AmendQuote(_)
            | Self::CancelQuote(_)
            | Self::SetStandingQuote(_)
            | Self::CancelStandingQuote(_)
            | Self::StartWork(_)
            | Self::Deliver(_)
            | Self::AcceptDelivery(_)
            | Self::DeclineRfq(_)
            | Self::TakeRfq(_)
            | Self::PickQuote(_)
            | Self::MassQuote(_)
            | Self::MassCancel(_)
            | Self::SignEnvelope(_)
            | Self::SetPriceBand(_)
            | Self::EnrolAccount(_)
            | Self::EnrolAgent(_)
            | Self::ListCapability(_)
            | Self::Deposit(_)
            | Self::Halt(_)
            | Self::Reopen(_) => true,
        }
    }
}
