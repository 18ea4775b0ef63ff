//! What happened: one variant per event, in the past tense, exactly as the core said it.
//!
//! These are the exchange's own events: they carry what nobody outside may see before the close.
//! What an agent or the public gets of them is in [`crate::PrivateEvent`] and
//! [`crate::PublicEvent`].

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};
use serde::{Deserialize, Serialize};

use crate::bundles::{
    AllocationProposed, BundleLost, BundleQuoted, BundlesPosed, BundlesQuoted, ClearingStarted,
    RfqCleared,
};
use crate::ids::{AccountId, AgentId, CapabilityId, QuoteId};
use crate::reason::RejectReason;

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

mod contract;
mod market;
mod operator;

pub use contract::*;
pub use market::*;
pub use operator::*;

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
    /// Bundles were quoted: one event for each of them follows.
    BundlesQuoted(BundlesQuoted),
    /// One of these bundles.
    BundleQuoted(BundleQuoted),
    /// A combinatorial RFQ is being cleared.
    ClearingStarted(ClearingStarted),
    /// Bundles of its problem, which travel beside the events.
    BundlesPosed(BundlesPosed),
    /// An allocation was proposed, and is better or proves more.
    AllocationProposed(AllocationProposed),
    /// A combinatorial RFQ was cleared: the awards follow.
    RfqCleared(RfqCleared),
    /// A bundle lost.
    BundleLost(BundleLost),
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
    /// The exchange goes on under other rules.
    Upgraded(Upgraded),
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

    /// Returns how many bundles of the list that travels beside the events belong to this one.
    pub fn posed(&self) -> usize {
        if let Self::BundlesPosed(BundlesPosed { bundles, .. }) = self {
            return *bundles as usize;
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
            Self::BundlesQuoted(e) => Outcome::Quote(e.quote),
            Self::CancelKept(_) => Outcome::CancelKept,
            Self::RfqTaken(e) => Outcome::Taken(*e),
            Self::Founded(_)
            | Self::LoggedOn(_)
            | Self::Deposited(_)
            | Self::Halted(_)
            | Self::Reopened(_)
            | Self::PriceBandSet(_)
            | Self::ProviderInvited(_)
            | Self::BundleQuoted(_)
            | Self::ClearingStarted(_)
            | Self::BundlesPosed(_)
            | Self::AllocationProposed(_)
            | Self::RfqCleared(_)
            | Self::BundleLost(_)
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
            | Self::Resumed(_)
            | Self::Upgraded(_) => Outcome::Done,
        })
    }
}
