//! What happened: one variant per event, in the past tense, exactly as the core said it.
//!
//! These are the exchange's own events: they carry what nobody outside may see before the close.
//! What an agent or the public gets of them is in [`crate::PrivateEvent`] and
//! [`crate::PublicEvent`].

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::command::{RfqTerms, Roles, Settings, choice};
use crate::ids::{
    AccountId, AgentId, CapabilityId, ClientId, ContractId, Digest, PublicKey, QuoteId, RfqId,
    SessionId,
};
use crate::json::u64_text;
use crate::money::{Currency, Micros};
use crate::name::Name;
use crate::reason::{LossReason, RejectReason};
use crate::time::{DurationNs, TimestampNs};

/// Declares the data of an event: plain, copied freely, in both codecs.
macro_rules! happened {
    ($($(#[$doc:meta])* pub struct $name:ident { $($body:tt)* })+) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash,
            Archive, RkyvSerialize, RkyvDeserialize, Serialize, Deserialize,
        )]
        #[rkyv(derive(Debug))]
        pub struct $name { $($body)* }
    )+};
}

pub(crate) use happened;

/// An event of the exchange. The first event of a command is its outcome; the rest is what followed.
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
pub enum Event {
    /// The exchange was founded.
    Founded(Founded),
    /// An account was enrolled.
    AccountEnrolled(AccountEnrolled),
    /// An agent was enrolled.
    AgentEnrolled(AgentEnrolled),
    /// A capability was listed.
    CapabilityListed(CapabilityListed),
    /// A deposit was credited.
    Deposited(Deposited),
    /// The exchange takes no new business.
    Halted {},
    /// The exchange takes new business again.
    Reopened {},
    /// A session was opened or resumed.
    LoggedOn(LoggedOn),
    /// A session ended.
    SessionEnded(SessionEnded),
    /// An RFQ was opened.
    RfqOpened(RfqOpened),
    /// An RFQ was canceled by its buyer.
    RfqCanceled(RfqCanceled),
    /// An RFQ was closed: the ranked list of everything that competed.
    RfqClosed(RfqClosed),
    /// A sealed quote was placed.
    QuotePlaced(QuotePlaced),
    /// A sealed quote was amended.
    QuoteAmended(QuoteAmended),
    /// A sealed quote was canceled.
    QuoteCanceled(QuoteCanceled),
    /// A standing quote was set.
    StandingQuoteSet(StandingQuoteSet),
    /// A standing quote was canceled, expired or used up.
    StandingQuoteCanceled(StandingQuoteCanceled),
    /// A cancel came before its target and was kept for it.
    CancelKept(CancelKept),
    /// Work was awarded: the contract is concluded.
    Awarded(Awarded),
    /// The provider started the work.
    WorkStarted(WorkStarted),
    /// The provider delivered.
    Delivered(Delivered),
    /// The delivery was accepted.
    ContractVerified(ContractVerified),
    /// The provider was paid.
    ContractSettled(ContractSettled),
    /// The provider did not deliver in time; the buyer was refunded.
    ContractExpired(ContractExpired),
    /// Money moved.
    Moved(Movement),
    /// The command was rejected and changed nothing.
    Rejected(Rejected),
    /// The command repeats an earlier one; this was that one's outcome.
    Repeated(Repeated),
    /// Sequenced time advanced.
    TimeAdvanced(TimeAdvanced),
    /// The exchange continues after an outage.
    Resumed(Resumed),
}

happened! {
    /// The exchange was founded.
    pub struct Founded {
        /// Its public name.
        pub name: Name,
        /// The account that collects the fees.
        pub fees: AccountId,
        /// The first operator's account.
        pub operator_account: AccountId,
        /// The first operator.
        pub operator: AgentId,
        /// The operator's key.
        pub operator_key: PublicKey,
        /// What is charged.
        pub settings: Settings,
    }

    /// An account was enrolled.
    pub struct AccountEnrolled {
        /// Its id.
        pub account: AccountId,
        /// The most that one of its transactions may cost.
        pub transaction_max: Micros,
    }

    /// An agent was enrolled.
    pub struct AgentEnrolled {
        /// Its id.
        pub agent: AgentId,
        /// The account it acts for.
        pub account: AccountId,
        /// Its key.
        pub key: PublicKey,
        /// What it may do.
        pub roles: Roles,
    }

    /// A capability was listed.
    pub struct CapabilityListed {
        /// Its id.
        pub capability: CapabilityId,
        /// Its public name.
        pub name: Name,
        /// What it is traded in.
        pub currency: Currency,
        /// The terms of its standing quotes.
        pub terms: Digest,
    }

    /// A deposit was credited.
    pub struct Deposited {
        /// Whose money.
        pub account: AccountId,
        /// How much.
        pub amount: Micros,
        /// In what.
        pub currency: Currency,
    }

    /// A session was opened or resumed.
    pub struct LoggedOn {
        /// Whose session.
        pub agent: AgentId,
        /// Which session.
        pub session: SessionId,
        /// Whether it existed before.
        pub resumed: bool,
    }

    /// A session ended.
    pub struct SessionEnded {
        /// Whose session.
        pub agent: AgentId,
        /// Which session.
        pub session: SessionId,
        /// Whether its quotes are being canceled.
        pub cancels_quotes: bool,
    }

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
        /// The price per unit that is paid, if something was awarded.
        pub clearing_price: Option<Micros>,
        /// What providers that lost learn of it.
        pub disclosure: crate::command::Disclosure,
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
        /// Its place, from 1.
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
        /// The price per unit.
        pub price: Micros,
        /// Firm until then.
        pub valid_until: TimestampNs,
    }

    /// A sealed quote was amended.
    pub struct QuoteAmended {
        /// Its id.
        pub quote: QuoteId,
        /// The RFQ it answers.
        pub rfq: RfqId,
        /// Who quotes.
        pub provider: AgentId,
        /// The price per unit.
        pub price: Micros,
        /// Firm until then.
        pub valid_until: TimestampNs,
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

    /// A cancel was kept for a command that has not come yet.
    pub struct CancelKept {
        /// Whose cancel.
        pub agent: AgentId,
        /// The client id that will be rejected.
        pub target: ClientId,
    }

    /// The two sides of a contract.
    pub struct Parties {
        /// Who pays.
        pub buyer: AgentId,
        /// Who works.
        pub provider: AgentId,
    }

    /// Work was awarded.
    pub struct Awarded {
        /// The contract that is concluded by it.
        pub contract: ContractId,
        /// The RFQ it came from.
        pub rfq: RfqId,
        /// Both sides.
        pub parties: Parties,
        /// The quote that won.
        pub quote: QuoteRef,
        /// The price per unit.
        pub price: Micros,
        /// Units of work.
        pub quantity: u32,
        /// Price times quantity: what lies in escrow.
        pub total: Micros,
        /// What it is paid in.
        pub currency: Currency,
        /// The work is due by then.
        pub delivery_due: TimestampNs,
    }

    /// The provider started the work.
    pub struct WorkStarted {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
    }

    /// The provider delivered.
    pub struct Delivered {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// The digest of the deliverable.
        pub deliverable: Digest,
        /// Silence until then accepts it.
        pub acceptance_due: TimestampNs,
    }

    /// The delivery was accepted.
    pub struct ContractVerified {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// By whom.
        pub acceptance: Acceptance,
    }

    /// The provider was paid.
    pub struct ContractSettled {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// What the provider got.
        pub released: Micros,
        /// What the exchange kept of it.
        pub fee: Micros,
    }

    /// The contract ended without delivery.
    pub struct ContractExpired {
        /// Which contract.
        pub contract: ContractId,
        /// Both sides.
        pub parties: Parties,
        /// What the buyer got back.
        pub refunded: Micros,
    }

    /// One bucket of one account.
    pub struct LedgerAccount {
        /// Whose money.
        pub account: AccountId,
        /// In which bucket.
        pub bucket: Bucket,
    }

    /// A line of the ledger: two postings that cancel out.
    pub struct Movement {
        /// Why money moved.
        pub kind: MovementKind,
        /// Where it came from.
        pub from: LedgerAccount,
        /// Where it went.
        pub to: LedgerAccount,
        /// How much, never negative.
        pub amount: Micros,
        /// In what.
        pub currency: Currency,
    }

    /// The command was rejected.
    pub struct Rejected {
        /// Why.
        pub reason: RejectReason,
    }

    /// The command repeats an earlier one.
    pub struct Repeated {
        /// When the earlier one took effect.
        pub ts_event: TimestampNs,
        /// Its outcome.
        pub outcome: Outcome,
    }

    /// Sequenced time advanced.
    pub struct TimeAdvanced {
        /// Deadlines that took effect in this step.
        pub fired: u32,
        /// Quotes that ended in this step because their session had.
        pub swept: u32,
    }

    /// An open RFQ, by name and deadline.
    pub struct RfqHandle {
        /// Its id.
        pub rfq: RfqId,
        /// When it closes.
        pub closes_at: TimestampNs,
    }

    /// The exchange continues.
    pub struct Resumed {
        /// Every deadline moved by this much.
        pub gap: DurationNs,
        /// Sessions that counted as lost.
        pub sessions_lost: u32,
    }
}

choice! {
    /// A part of an account's money.
    pub enum Bucket {
        /// Free to spend.
        Available,
        /// Set aside for an open RFQ.
        Held,
        /// Owed to a provider if it delivers.
        Escrow,
        /// Earned by the exchange.
        Fees,
        /// The world outside: what came in, as a negative balance.
        External,
    }

    /// Why money moved.
    pub enum MovementKind {
        /// From outside to available.
        Deposit,
        /// From available to held.
        Hold,
        /// From held to escrow.
        Capture,
        /// Back to the buyer's available.
        Refund,
        /// From escrow to the provider's available.
        Release,
        /// From escrow to the exchange.
        Fee,
    }

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
    }

    /// Who accepted a delivery.
    pub enum Acceptance {
        /// The buyer.
        Buyer,
        /// Nobody objected in time.
        Silence,
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
    }

    /// What became of a quote at the close.
    pub enum RankedResult {
        /// It was awarded.
        Won,
        /// It lost.
        Lost(LossReason),
    }
}

/// What an accepted command brought about: enough to answer it, and to answer it again.
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
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was done; there is nothing to name.
    Done,
    /// A cancel came before its target and was kept for it.
    CancelKept,
    /// An account was enrolled.
    Account(AccountId),
    /// An agent was enrolled.
    Agent(AgentId),
    /// A capability was listed.
    Capability(CapabilityId),
    /// An RFQ was opened.
    Rfq(RfqHandle),
    /// A quote was placed or amended.
    Quote(QuoteId),
}

impl Event {
    /// Returns the outcome that this event is, when it comes first.
    ///
    /// # Errors
    ///
    /// The reason, if the command was rejected.
    pub fn outcome(&self) -> Result<Outcome, RejectReason> {
        Ok(match self {
            Self::Rejected(rejected) => return Err(rejected.reason),
            Self::Repeated(repeated) => repeated.outcome,
            Self::AccountEnrolled(e) => Outcome::Account(e.account),
            Self::AgentEnrolled(e) => Outcome::Agent(e.agent),
            Self::CapabilityListed(e) => Outcome::Capability(e.capability),
            Self::RfqOpened(e) => Outcome::Rfq(RfqHandle { rfq: e.rfq, closes_at: e.closes_at }),
            Self::QuotePlaced(e) => Outcome::Quote(e.quote),
            Self::QuoteAmended(e) => Outcome::Quote(e.quote),
            Self::CancelKept(_) => Outcome::CancelKept,
            Self::Founded(_)
            | Self::LoggedOn(_)
            | Self::Deposited(_)
            | Self::Halted {}
            | Self::Reopened {}
            | Self::SessionEnded(_)
            | Self::RfqCanceled(_)
            | Self::RfqClosed(_)
            | Self::QuoteCanceled(_)
            | Self::StandingQuoteSet(_)
            | Self::StandingQuoteCanceled(_)
            | Self::Awarded(_)
            | Self::WorkStarted(_)
            | Self::Delivered(_)
            | Self::ContractVerified(_)
            | Self::ContractSettled(_)
            | Self::ContractExpired(_)
            | Self::Moved(_)
            | Self::TimeAdvanced(_)
            | Self::Resumed(_) => Outcome::Done,
        })
    }
}
