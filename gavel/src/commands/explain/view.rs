//! Who may see what of an RFQ.
//!
//! Before its close nobody sees anything of a sealed quote, not even whose it is. After it the
//! buyer and the operator see everything, a provider what concerns itself, and anybody else what
//! the public stream has said. The quotes of an RFQ that was canceled were never opened: they stay
//! sealed but to whoever gave them.

use gavel_protocol::{
    AccountId, AgentId, Bucket, Disclosure, Event, Micros, Movement, Parties, Ranked, RfqClosed,
    RfqResult, TimestampNs,
};
use serde::Serialize;

use crate::commands::explain::history::{History, Moment, Opening, What};

/// What one of them may see of an RFQ.
pub struct View<'a> {
    /// More than may be seen.
    history: &'a History,
    /// How it was opened.
    opening: &'a Opening,
    /// Who looks.
    pub agent: AgentId,
    /// As what.
    pub role: Role,
}

/// As what somebody looks at an RFQ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The operator of the exchange.
    Operator,
    /// Whose RFQ it is.
    Buyer,
    /// Somebody who was invited, or has answered.
    Provider,
    /// Anybody else.
    Public,
}

impl<'a> View<'a> {
    /// Returns what an agent may see, or `None` if that is nothing at all.
    pub fn of(history: &'a History, agent: AgentId) -> Option<Self> {
        let opening = history.opening.as_ref()?;
        let invited = &opening.command.invited;
        let role = if history.operator == Some(agent) {
            Role::Operator
        } else if opening.opened.buyer == agent {
            Role::Buyer
        } else if invited.contains(&agent) {
            Role::Provider
        } else if !invited.is_empty() {
            return None;
        } else if history.moments.iter().any(|moment| is_own(&moment.what, agent))
            || history.ranked.iter().any(|entry| entry.provider == agent)
        {
            Role::Provider
        } else {
            Role::Public
        };
        Some(Self { history, opening, agent, role })
    }

    /// Returns everything of the RFQ, for questions whose answers may be seen.
    pub fn history(&self) -> &'a History {
        self.history
    }

    /// Returns how it was opened.
    pub fn opening(&self) -> &'a Opening {
        self.opening
    }

    /// Returns whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.history.closed.is_some()
    }

    /// Returns whether the quotes are still sealed, to everybody but their own providers.
    pub fn is_sealed(&self) -> bool {
        self.history.closed.is_none_or(|closed| closed.result == RfqResult::Canceled)
    }

    /// Returns whether all of the terms may be seen: the reserve, the inputs, who was invited.
    pub fn shows_all_terms(&self) -> bool {
        match self.role {
            Role::Buyer => true,
            Role::Operator => self.has_ended(),
            Role::Provider | Role::Public => false,
        }
    }

    /// Returns what happened, as far as it may be seen.
    pub fn moments(&self) -> impl Iterator<Item = &'a Moment> {
        self.history.moments.iter().filter(|moment| self.shows(&moment.what))
    }

    /// Returns the quotes that may be seen, best first.
    pub fn ranked(&self) -> Vec<&'a Ranked> {
        let History { book, ranked, closed, .. } = self.history;
        let all = match (self.role, closed) {
            // The book was opened to the buyer, and to nobody else.
            (Role::Buyer, None) => book,
            (_, None) => return Vec::new(),
            (_, Some(_)) => ranked,
        };
        let all = all.iter();
        match self.role {
            Role::Buyer if closed.is_none() => all.collect(),
            Role::Operator | Role::Buyer if !self.is_sealed() => all.collect(),
            Role::Operator | Role::Buyer | Role::Public => Vec::new(),
            Role::Provider => all.filter(|entry| entry.provider == self.agent).collect(),
        }
    }

    /// Returns the clearing price, if there is one that may be seen.
    pub fn clearing_price(&self) -> Option<Micros> {
        let RfqClosed { clearing_price, disclosure, .. } = self.history.closed?;
        match (self.role, disclosure) {
            (Role::Operator | Role::Buyer, _) | (_, Disclosure::ClearingPrice) => clearing_price,
            (Role::Provider | Role::Public, Disclosure::Nothing) => None,
        }
    }

    /// Returns the money that moved, as far as it may be seen.
    pub fn movements(&self) -> impl Iterator<Item = &'a (TimestampNs, Movement)> {
        let own = self.history.account(self.agent);
        self.history.movements.iter().filter(move |(_, movement)| self.shows_money(movement, own))
    }

    fn shows_money(&self, movement: &Movement, own: Option<AccountId>) -> bool {
        let is_bond = [movement.from.bucket, movement.to.bucket].contains(&Bucket::Bonds);
        // A bond that is put up tells of a sealed quote.
        let sealed = is_bond && !self.has_ended();
        let is_own = [movement.from.account, movement.to.account].map(Some).contains(&own);
        match self.role {
            Role::Operator => self.has_ended() && !(is_bond && self.is_sealed()),
            Role::Buyer => !sealed && (!self.is_sealed() || is_own),
            Role::Provider => !sealed && is_own,
            Role::Public => false,
        }
    }

    fn shows(&self, what: &What) -> bool {
        if is_public(what) {
            return true;
        }
        if is_sealed(what) {
            return self.has_ended() && (is_own(what, self.agent) || self.shows_sealed(what));
        }
        match self.role {
            Role::Operator => self.has_ended(),
            Role::Buyer => true,
            Role::Provider | Role::Public => is_own(what, self.agent),
        }
    }

    /// Returns whether what was sealed and concerns others is shown now that the RFQ has ended.
    fn shows_sealed(&self, what: &What) -> bool {
        match (self.role, what) {
            // Who was turned away is between the exchange and whoever tried.
            (Role::Operator, _) | (Role::Buyer, What::Event(_)) => !self.is_sealed(),
            (Role::Buyer, What::Refused { .. }) | (Role::Provider | Role::Public, _) => false,
        }
    }
}

/// Returns whether everybody who may answer the RFQ gets this.
fn is_public(what: &What) -> bool {
    let What::Event(event) = what else { return false };
    matches!(
        **event,
        Event::RfqOpened(_)
            | Event::RfqTaken(_)
            | Event::RfqClosed(_)
            | Event::Halted(_)
            | Event::Reopened(_)
            | Event::Resumed(_)
            | Event::Upgraded(_)
    )
}

/// Returns whether nobody may know of this before the close.
fn is_sealed(what: &What) -> bool {
    let What::Event(event) = what else { return true };
    matches!(
        **event,
        Event::QuotePlaced(_)
            | Event::BundlesQuoted(_)
            | Event::BundleQuoted(_)
            | Event::QuoteAmended(_)
            | Event::QuoteCanceled(_)
            | Event::RfqDeclined(_)
    )
}

/// Returns whether this happened to an agent's own side.
fn is_own(what: &What, agent: AgentId) -> bool {
    let of = |parties: Parties| parties.provider == agent || parties.buyer == agent;
    let event = match what {
        What::Refused { asker, .. } => return *asker == agent,
        What::Event(event) => event,
    };
    match &**event {
        Event::RfqOpened(e) => e.buyer == agent,
        Event::ProviderInvited(e) => e.provider == agent,
        Event::RfqDeclined(e) => e.provider == agent,
        Event::QuotePlaced(e) => e.provider == agent,
        Event::BundlesQuoted(e) => e.provider == agent,
        Event::BundleQuoted(e) => e.provider == agent,
        Event::BundleLost(e) => e.provider == agent,
        Event::RfqCleared(e) => e.buyer == agent,
        Event::AllocationProposed(e) => e.solver == agent,
        Event::QuoteAmended(e) => e.provider == agent,
        Event::QuoteCanceled(e) => e.provider == agent,
        Event::StandbyEnded(e) => e.provider == agent,
        Event::BookShown(e) => e.buyer == agent,
        Event::RfqCanceled(e) => e.buyer == agent,
        Event::Awarded(e) => of(e.parties),
        Event::WorkStarted(e) => of(e.parties),
        Event::Delivered(e) => of(e.parties),
        Event::ContractVerified(e) => of(e.parties),
        Event::ContractSettled(e) => of(e.parties),
        Event::ContractExpired(e) => of(e.parties),
        Event::ContractTakenOver(e) => of(e.parties) || e.successor == agent,
        Event::QuotePicked(_)
        | Event::ClearingStarted(_)
        | Event::BundlesPosed(_)
        | Event::RfqTaken(_)
        | Event::RfqClosed(_)
        | Event::Founded(_)
        | Event::AccountEnrolled(_)
        | Event::AgentEnrolled(_)
        | Event::CapabilityListed(_)
        | Event::Deposited(_)
        | Event::Halted(_)
        | Event::Reopened(_)
        | Event::PriceBandSet(_)
        | Event::LoggedOn(_)
        | Event::SessionEnded(_)
        | Event::StandingQuoteSet(_)
        | Event::StandingQuoteCanceled(_)
        | Event::MassQuoted(_)
        | Event::LineRejected(_)
        | Event::MassCanceled(_)
        | Event::EnvelopeSigned(_)
        | Event::CancelKept(_)
        | Event::ReputationChanged(_)
        | Event::ProviderSuspended(_)
        | Event::Moved(_)
        | Event::Rejected(_)
        | Event::Repeated(_)
        | Event::TimeAdvanced(_)
        | Event::Resumed(_)
        | Event::Upgraded(_) => false,
    }
}
