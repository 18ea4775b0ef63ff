//! What happened: one variant per event, in the past tense, exactly as the core said it.
//!
//! These are the exchange's own events: they carry what nobody outside may see before the close.
//! What an agent or the public gets of them is in [`crate::PrivateEvent`] and
//! [`crate::PublicEvent`].

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::command::{Disclosure, NoQuoteReason, QuoteKind, choice};
use crate::ids::{
    AccountId, AgentId, CapabilityId, ClientId, ContractId, Digest, PublicKey, QuoteId, RfqId,
    SessionId,
};
use crate::json::u64_text;
use crate::money::{Currency, Micros};
use crate::name::Name;
use crate::reason::{LossReason, RejectReason};
use crate::roles::{Attributes, Roles};
use crate::terms::{Offer, OfferEnvelope, PriceBand, RfqTerms, Settings};
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
    /// The exchange or a capability takes no new business.
    Halted(Halted),
    /// The exchange or a capability takes new business again.
    Reopened(Reopened),
    /// The band that prices of a capability must lie in was set.
    PriceBandSet(PriceBandSet),
    /// A session was opened or resumed.
    LoggedOn(LoggedOn),
    /// A session ended.
    SessionEnded(SessionEnded),
    /// An RFQ was opened.
    RfqOpened(RfqOpened),
    /// A provider was invited to answer an RFQ.
    ProviderInvited(ProviderInvited),
    /// A provider answered an RFQ without a quote.
    RfqDeclined(RfqDeclined),
    /// Units of a Dutch RFQ were taken.
    RfqTaken(RfqTaken),
    /// The book of a buyer's-choice RFQ is open to its buyer: the ranked list of what competes.
    BookShown(BookShown),
    /// The buyer picked a quote.
    QuotePicked(QuotePicked),
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
    /// Lines of a mass quote were accepted or rejected, as the events that follow say.
    MassQuoted(MassQuoted),
    /// A line of a mass quote was rejected and changed nothing.
    LineRejected(LineRejected),
    /// The agent's quotes of a kind are being canceled.
    MassCanceled(MassCanceled),
    /// An envelope was signed.
    EnvelopeSigned(EnvelopeSigned),
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
    /// The provider did not start or deliver in time; the buyer was refunded.
    ContractExpired(ContractExpired),
    /// The provider did not start or deliver in time; a runner-up takes over.
    ContractTakenOver(ContractTakenOver),
    /// A quote that stood by has its final answer.
    StandbyEnded(StandbyEnded),
    /// An agent's reputation changed.
    ReputationChanged(ReputationChanged),
    /// A provider is kept out for a time.
    ProviderSuspended(ProviderSuspended),
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
        /// What is known to be true of it.
        pub attributes: Attributes,
    }

    /// What takes no new business.
    pub struct Halted {
        /// Which capability; without one, the whole exchange.
        pub capability: Option<CapabilityId>,
    }

    /// What takes new business again.
    pub struct Reopened {
        /// Which capability; without one, the whole exchange.
        pub capability: Option<CapabilityId>,
    }

    /// The band that prices of a capability must lie in was set.
    pub struct PriceBandSet {
        /// Which capability.
        pub capability: CapabilityId,
        /// The band; without one, any price will do.
        pub band: Option<PriceBand>,
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
        /// Units that were awarded.
        pub awarded: u32,
        /// The highest price per unit that is paid, if something was awarded.
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

    /// An agent's quotes are being canceled.
    pub struct MassCanceled {
        /// Whose.
        pub agent: AgentId,
        /// Which.
        pub what: QuoteKind,
    }

    /// An envelope was signed.
    pub struct EnvelopeSigned {
        /// Whose.
        pub provider: AgentId,
        /// Its bounds.
        pub envelope: OfferEnvelope,
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
        /// Why it won: what it asked for, and what that scored.
        pub breakdown: Breakdown,
        /// The price per unit that is paid.
        pub price: Micros,
        /// Units of work.
        pub quantity: u32,
        /// Price times quantity: what lies in escrow.
        pub total: Micros,
        /// What it is paid in.
        pub currency: Currency,
        /// What the provider has put up.
        pub bond: Micros,
        /// The work must have been started by then, if the RFQ says so.
        pub start_due: Option<TimestampNs>,
        /// The work is due by then.
        pub delivery_due: TimestampNs,
        /// The contract that it takes the place of, if its provider failed.
        pub takes_over: Option<ContractId>,
    }

    /// The parts of a score, per unit of work. Their sum decides.
    pub struct Breakdown {
        /// The price that the quote asked for.
        pub price: Micros,
        /// The latency it named.
        pub latency_ms: u32,
        /// What that latency costs.
        pub latency: Micros,
        /// The provider's reputation when it was decided.
        pub reputation_bps: u16,
        /// What is missing of the best reputation costs.
        pub reputation: Micros,
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
        /// What the buyer got back, because the work took longer than was quoted.
        pub penalty: Micros,
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
        /// What the buyer got of the provider's bond.
        pub compensation: Micros,
    }

    /// A runner-up takes over.
    pub struct ContractTakenOver {
        /// The contract that ended.
        pub contract: ContractId,
        /// Its two sides.
        pub parties: Parties,
        /// Who works now.
        pub successor: AgentId,
        /// What the defaulter's bond paid: to the successor's escrow and to the buyer.
        pub compensation: Micros,
    }

    /// A quote that stood by has its final answer.
    pub struct StandbyEnded {
        /// For which RFQ.
        pub rfq: RfqId,
        /// Whose quote.
        pub provider: AgentId,
        /// Which quote.
        pub quote: QuoteId,
        /// Why it lost; none if it took over.
        pub reason: Option<LossReason>,
        /// Its place at the close.
        pub rank: u32,
        /// The price per unit that won, where the RFQ discloses it.
        pub winning_price: Option<Micros>,
    }

    /// An agent's reputation changed.
    pub struct ReputationChanged {
        /// Whose.
        pub agent: AgentId,
        /// From so many basis points.
        pub from_bps: u16,
        /// To so many basis points.
        pub to_bps: u16,
        /// Because of what.
        pub cause: ReputationCause,
    }

    /// A provider is kept out.
    pub struct ProviderSuspended {
        /// Who.
        pub provider: AgentId,
        /// How long.
        pub until: TimestampNs,
        /// How many times it has failed, less those that were forgiven.
        pub fades: u8,
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
        /// Quotes that were canceled in this step, because their session ended or their agent asked.
        pub swept: u32,
        /// Dutch RFQs that were looked at in this step, because a halt ended.
        pub restarted: u32,
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
        /// Put up by a provider for what it offers or owes.
        Bonds,
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
        /// From escrow back to the buyer, because the work took longer than was quoted.
        Penalty,
        /// From the provider's available to its bonds.
        Bond,
        /// From the provider's bonds back to its available.
        BondReturn,
        /// From the provider's bonds to the buyer's available, because the provider failed.
        Compensation,
        /// From the provider's bonds or the buyer's available to escrow, because a runner-up takes
        /// over at a higher price.
        TopUp,
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
        /// Its agent canceled all of its kind.
        MassCancel,
    }

    /// Why a reputation changed.
    pub enum ReputationCause {
        /// Work was delivered, within the quoted latency, and paid.
        Settled,
        /// Work was delivered later than was quoted.
        Late,
        /// Work was not started or not delivered.
        Failed,
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
        /// None: it took a Dutch RFQ.
        Take,
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
    /// Units of a Dutch RFQ were taken: a contract is concluded.
    Taken(RfqTaken),
}

impl Event {
    /// Returns how many entries of the ranked list that travels beside the events belong to this one.
    pub fn ranked(&self) -> usize {
        // Only a close and an open book carry a list.
        if let Self::RfqClosed(RfqClosed { ranked, .. })
        | Self::BookShown(BookShown { ranked, .. }) = self
        {
            return *ranked as usize;
        }
        0
    }

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
            Self::RfqTaken(e) => Outcome::Taken(*e),
            Self::Founded(_)
            | Self::LoggedOn(_)
            | Self::Deposited(_)
            | Self::Halted(_)
            | Self::Reopened(_)
            | Self::PriceBandSet(_)
            | Self::ProviderInvited(_)
            | Self::RfqDeclined(_)
            | Self::BookShown(_)
            | Self::QuotePicked(_)
            | Self::MassQuoted(_)
            | Self::LineRejected(_)
            | Self::MassCanceled(_)
            | Self::EnvelopeSigned(_)
            | Self::ContractTakenOver(_)
            | Self::StandbyEnded(_)
            | Self::ReputationChanged(_)
            | Self::ProviderSuspended(_)
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
