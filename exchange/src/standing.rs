//! Setting and canceling standing quotes, one or many at a time, and the envelopes they lie in.

use gavel_matcher::{Owner, StandingQuote, Update};
use gavel_protocol::{
    CancelCause, CancelStandingQuote, EnvelopeSigned, Event, LineRejected, MassQuote, MassQuoted,
    OfferEnvelope, Outcome, RejectReason, Repeated, SetStandingQuote, SignEnvelope,
    StandingQuoteSet,
};
use gavel_risk::standing_quote;

use crate::awards::standing_ended;
use crate::events::Events;
use crate::exchange::Exchange;

impl Exchange {
    pub(crate) fn set_standing_quote(
        &mut self,
        asker: Owner,
        c: &SetStandingQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let &SetStandingQuote { capability, revision, price, latency_ms, capacity, .. } = c;
        let update = Update { revision, price, latency_ms, capacity, valid_until: c.valid_until };
        let slot = self.standing.slot(asker.agent, capability);
        match slot.map(|slot| self.standing.at(slot)) {
            Some(quote) if repeats(&quote, &update) && self.lists(capability, c.terms) => {
                let (ts_event, outcome) = (self.clock.now, Outcome::Done);
                out.push(Event::Repeated(Repeated { ts_event, outcome }));
                return Ok(());
            }
            Some(_) | None => {}
        }
        self.check_not_halted(capability)?;
        let last = slot.map(|slot| self.standing.at(slot).revision);
        if last.is_some_and(|last| revision <= last) {
            return Err(RejectReason::StaleRevision);
        }
        let envelope = self.envelopes.of(asker.agent, capability).copied();
        if envelope.is_none() {
            self.check_unsigned()?;
        }
        if c.terms != self.directory.capability(capability)?.listed.terms {
            return Err(RejectReason::TermsNotListed);
        }
        if let Some(envelope) = envelope {
            self.check_envelope(asker, c, &envelope)?;
        }
        let agent = self.directory.at(asker.slots.agent);
        if agent.fades.is_suspended(self.clock.market_now()) {
            return Err(RejectReason::ProviderSuspended);
        }
        if c.valid_until <= self.clock.now {
            return Err(RejectReason::TooLate);
        }
        self.check_band(capability, price)?;
        self.check_quote_rate(asker)?;
        let provider = (asker.agent, asker.slots.agent);
        match slot {
            Some(slot) => self.standing.change(slot, update, self.seq, self.clock.now),
            None => self.standing.add(provider, capability, update, self.seq)?,
        }
        out.push(Event::StandingQuoteSet(StandingQuoteSet {
            capability,
            provider: asker.agent,
            revision,
            price,
            latency_ms,
            capacity,
            valid_until: c.valid_until,
        }));
        self.count_quote(asker);
        Ok(())
    }

    /// Takes the lines of a mass quote one after the other.
    pub(crate) fn mass_quote(
        &mut self,
        asker: Owner,
        c: &MassQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let first = out.len();
        let mut quoted = MassQuoted { accepted: 0, rejected: 0 };
        out.push(Event::MassQuoted(quoted));
        for (line, quote) in (0..).zip(&c.lines) {
            let checked = standing_quote(quote);
            match checked.and_then(|()| self.set_standing_quote(asker, quote, out)) {
                Ok(()) => quoted.accepted += 1,
                Err(reason) => {
                    quoted.rejected += 1;
                    out.push(Event::LineRejected(LineRejected { line, reason }));
                }
            }
        }
        out.replace(first, Event::MassQuoted(quoted));
        Ok(())
    }

    pub(crate) fn cancel_standing_quote(
        &mut self,
        asker: Owner,
        c: &CancelStandingQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let &CancelStandingQuote { capability, revision } = c;
        match self.standing.of(asker.agent, capability) {
            Some(quote) if quote.revision == revision && quote.offered == 0 => {
                let (ts_event, outcome) = (self.clock.now, Outcome::Done);
                out.push(Event::Repeated(Repeated { ts_event, outcome }));
                return Ok(());
            }
            Some(quote) if revision <= quote.revision => return Err(RejectReason::StaleRevision),
            Some(_) | None => {}
        }
        let provider = (asker.agent, asker.slots.agent);
        self.standing.cancel(provider, capability, revision)?;
        out.push(standing_ended(asker.agent, capability, revision, CancelCause::Agent));
        Ok(())
    }

    pub(crate) fn sign_envelope(
        &mut self,
        asker: Owner,
        c: &SignEnvelope,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let envelope = c.envelope;
        let session = self.directory.at(asker.slots.agent).session;
        if session.is_none_or(|session| session.id != envelope.session) {
            return Err(RejectReason::UnknownSession);
        }
        let listed = self.directory.capability(envelope.capability)?.listed;
        if envelope.terms != listed.terms {
            return Err(RejectReason::TermsNotListed);
        }
        if envelope.valid_until <= self.clock.now {
            return Err(RejectReason::TooLate);
        }
        self.envelopes.sign(asker.agent, envelope)?;
        let provider = asker.agent;
        out.push(Event::EnvelopeSigned(EnvelopeSigned { provider, envelope }));
        Ok(())
    }

    /// Checks that a standing quote lies in its envelope, and that the session that moves it is the
    /// mandated one.
    fn check_envelope(
        &self,
        asker: Owner,
        c: &SetStandingQuote,
        envelope: &OfferEnvelope,
    ) -> Result<(), RejectReason> {
        let session = self.directory.at(asker.slots.agent).session;
        let OfferEnvelope { terms, price_min, capacity_max, valid_until, .. } = *envelope;
        if session.is_none_or(|session| session.id != envelope.session)
            || c.terms != terms
            || c.price < price_min
            || c.capacity > capacity_max
            || c.valid_until > valid_until
        {
            return Err(RejectReason::EnvelopeExceeded);
        }
        Ok(())
    }
}

/// Returns whether the update is the one that made the quote what it is.
fn repeats(quote: &StandingQuote, update: &Update) -> bool {
    quote.revision == update.revision
        && quote.price == update.price
        && quote.latency_ms == update.latency_ms
        && quote.offered == update.capacity
        && quote.valid_until == update.valid_until
}
