//! What may be asked of the exchange: one variant per command, in the imperative.
//!
//! A [`Request`] is a command and who asks for it. The sequencer makes it a [`Stamped`] one, and
//! that is what the journal keeps.

use alloc::boxed::Box;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::codec::payloads;
use crate::ids::{
    AccountId, AgentId, CapabilityId, ClientId, ContractId, Digest, PublicKey, QuoteId, RfqId,
    SessionId, SignatureBytes,
};
use crate::json::u64_text;
use crate::money::{Currency, Micros};
use crate::name::Name;
use crate::template::templates;
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
        /// Enrols an account (operator).
        32 EnrolAccount(EnrolAccount),
        /// Enrols an agent that acts for an account (operator).
        33 EnrolAgent(EnrolAgent),
        /// Lists a capability that can be traded (operator).
        34 ListCapability(ListCapability),
        /// Credits money that reached the exchange by hand (operator).
        35 Deposit(Deposit),
        /// Halts the exchange: no new business until it is reopened (operator).
        36 Halt(Halt),
        /// Reopens the exchange after a halt (operator).
        37 Reopen(Reopen),
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
    EnrolAccount,
    EnrolAgent,
    ListCapability,
    Deposit,
    Halt,
    Reopen,
    Found,
    Logon,
    SessionLost,
    AdvanceTime,
    Resume,
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
        /// The buyer's signature over the canonical bytes of this RFQ.
        pub signature: Option<Box<Signature>>,
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
        /// The price per unit of quantity, above zero.
        pub price: Micros,
        /// The quote is firm until then; at least until the RFQ closes.
        pub valid_until: TimestampNs,
        /// The provider's signature over the canonical bytes of this quote.
        pub signature: Option<Box<Signature>>,
    }

    /// Changes a live quote. A new price takes a new place in the order of ties; a longer validity
    /// alone keeps the old one.
    pub struct AmendQuote {
        /// The client's own number for this command.
        pub client_id: ClientId,
        /// Which quote.
        pub target: QuoteTarget,
        /// The new price per unit of quantity, above zero.
        pub price: Micros,
        /// The quote is firm until then; at least until the RFQ closes.
        pub valid_until: TimestampNs,
        /// The provider's signature over the canonical bytes of the amended quote.
        pub signature: Option<Box<Signature>>,
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
        /// Units that may be awarded on this quote before it is used up, at least 1.
        pub capacity: u32,
        /// The quote is firm until then.
        pub valid_until: TimestampNs,
        /// The terms it is offered on: those the capability is listed with.
        pub terms: Digest,
        /// The provider's signature over the canonical bytes of this quote.
        pub signature: Option<Box<Signature>>,
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

    /// Halts the exchange.
    pub struct Halt {
        /// The client's own number for this command.
        pub client_id: ClientId,
    }

    /// Reopens the exchange.
    pub struct Reopen {
        /// The client's own number for this command.
        pub client_id: ClientId,
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

    /// A signature over a command's canonical bytes.
    pub struct Signature {
        /// How it was made.
        pub scheme: SignatureScheme,
        /// The signature.
        pub bytes: SignatureBytes,
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
        /// The lowest price wins and is paid as quoted. A window of zero clears at once against the
        /// standing quotes; a longer one collects sealed quotes.
        FirstPrice,
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

    /// What an agent may be enrolled to do.
    pub enum Role {
        /// May open RFQs.
        Buyer,
        /// May quote.
        Provider,
        /// May enrol, list, deposit and halt.
        Operator,
    }
}

/// What an RFQ asks for, and how it is awarded.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
    Serialize,
    Deserialize,
)]
#[rkyv(derive(Debug))]
#[serde(deny_unknown_fields)]
pub struct RfqTerms {
    /// The kind of work.
    pub capability: CapabilityId,
    /// What it is paid in: the capability's currency.
    pub currency: Currency,
    /// Units of work, all of them awarded to one provider.
    pub quantity: u32,
    /// The most that the buyer pays per unit. Nobody else learns it.
    pub reserve: Micros,
    /// How it is cleared.
    pub format: Format,
    /// How long it collects quotes; zero clears at once against the standing quotes.
    pub window: DurationNs,
    /// Whether standing quotes compete at the close too. They always do when the window is zero.
    pub admit_standing: bool,
    /// What providers that lose learn of the winning price.
    pub disclosure: Disclosure,
    /// How long after the award the provider may take to deliver.
    pub delivery_within: DurationNs,
    /// How long after the delivery the buyer may take to object; silence accepts.
    pub acceptance_within: DurationNs,
    /// The public part of the job spec: every agent may read it.
    pub spec: Digest,
    /// The private inputs: only the winner may read them, after the award.
    pub inputs: Option<Digest>,
    /// The terms of the contract.
    pub terms: Digest,
}

/// What the exchange charges.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
    Serialize,
    Deserialize,
)]
#[rkyv(derive(Debug))]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The provider's fee, taken at release, in parts per million of the price, rounded down.
    pub fee_ppm: u32,
}

/// A set of [`Role`]s. As JSON: a list of names.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Archive, RkyvSerialize, RkyvDeserialize,
)]
#[rkyv(derive(Debug))]
pub struct Roles(u8);

impl Roles {
    /// Buyer and provider: an ordinary agent.
    pub const TRADER: Self = Self(0b011);
    /// The operator.
    pub const OPERATOR: Self = Self(0b100);

    const fn bit(role: Role) -> u8 {
        match role {
            Role::Buyer => 0b001,
            Role::Provider => 0b010,
            Role::Operator => 0b100,
        }
    }

    /// Returns this set with `role`.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | Self::bit(role))
    }

    /// Returns whether `role` is in the set.
    pub const fn has(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }

    fn iter(self) -> impl Iterator<Item = Role> {
        [Role::Buyer, Role::Provider, Role::Operator].into_iter().filter(move |r| self.has(*r))
    }
}

impl Serialize for Roles {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Roles {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let roles = alloc::vec::Vec::<Role>::deserialize(deserializer)?;
        Ok(roles.into_iter().fold(Self::default(), Self::with))
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
            Self::EnrolAccount(c) => Some(c.client_id),
            Self::EnrolAgent(c) => Some(c.client_id),
            Self::ListCapability(c) => Some(c.client_id),
            Self::Deposit(c) => Some(c.client_id),
            Self::Halt(c) => Some(c.client_id),
            Self::Reopen(c) => Some(c.client_id),
            Self::SetStandingQuote(_)
            | Self::CancelStandingQuote(_)
            | Self::Found(_)
            | Self::Logon(_)
            | Self::SessionLost(_)
            | Self::AdvanceTime(_)
            | Self::Resume(_) => None,
        }
    }

    /// Returns whether a client may send this command, rather than only the exchange itself.
    pub fn is_on_the_wire(&self) -> bool {
        match self {
            Self::Found(_)
            | Self::Logon(_)
            | Self::SessionLost(_)
            | Self::AdvanceTime(_)
            | Self::Resume(_) => false,
            Self::OpenRfq(_)
            | Self::CancelRfq(_)
            | Self::PlaceQuote(_)
            | Self::AmendQuote(_)
            | Self::CancelQuote(_)
            | Self::SetStandingQuote(_)
            | Self::CancelStandingQuote(_)
            | Self::StartWork(_)
            | Self::Deliver(_)
            | Self::AcceptDelivery(_)
            | Self::EnrolAccount(_)
            | Self::EnrolAgent(_)
            | Self::ListCapability(_)
            | Self::Deposit(_)
            | Self::Halt(_)
            | Self::Reopen(_) => true,
        }
    }
}
