//! Setting and canceling standing quotes.

use gavel_matcher::{StandingQuote, Update};
use gavel_protocol::{
    CancelCause, CancelStandingQuote, Event, Outcome, RejectReason, Repeated, SetStandingQuote,
    StandingQuoteCanceled, StandingQuoteSet,
};

use crate::apply::Asker;
use crate::events::Events;
use crate::exchange::Exchange;

impl Exchange {
    pub(crate) fn set_standing_quote(
        &mut self,
        asker: Asker,
        c: &SetStandingQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let Asker { agent: provider, account } = asker;
        let &SetStandingQuote { capability, revision, price, capacity, valid_until, .. } = c;
        let update = Update { revision, price, capacity, valid_until };
        let slot = self.standing.slot(provider, capability);
        match slot.map(|slot| self.standing.at(slot)) {
            Some(quote) if repeats(&quote, &update) => {
                let (ts_event, outcome) = (self.clock.now, Outcome::Done);
                out.push(Event::Repeated(Repeated { ts_event, outcome }));
                return Ok(());
            }
            Some(quote) if revision <= quote.revision => return Err(RejectReason::StaleRevision),
            Some(_) | None => {}
        }
        let listed = self.directory.capability(capability)?;
        if c.terms != listed.terms {
            return Err(RejectReason::TermsNotListed);
        }
        if valid_until <= self.clock.now {
            return Err(RejectReason::TooLate);
        }
        match slot {
            Some(slot) => self.standing.change(slot, update, self.seq),
            None => self.standing.add((provider, account), capability, update, self.seq)?,
        }
        out.push(Event::StandingQuoteSet(StandingQuoteSet {
            capability,
            provider,
            revision,
            price,
            capacity,
            valid_until,
        }));
        Ok(())
    }

    pub(crate) fn cancel_standing_quote(
        &mut self,
        asker: Asker,
        c: &CancelStandingQuote,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let &CancelStandingQuote { capability, revision } = c;
        let Asker { agent: provider, account } = asker;
        match self.standing.of(provider, capability) {
            Some(quote) if quote.revision == revision && quote.offered == 0 => {
                let (ts_event, outcome) = (self.clock.now, Outcome::Done);
                out.push(Event::Repeated(Repeated { ts_event, outcome }));
                return Ok(());
            }
            Some(quote) if revision <= quote.revision => return Err(RejectReason::StaleRevision),
            Some(_) | None => {}
        }
        self.standing.cancel((provider, account), capability, revision)?;
        let cause = CancelCause::Agent;
        out.push(Event::StandingQuoteCanceled(StandingQuoteCanceled {
            capability,
            provider,
            revision,
            cause,
        }));
        Ok(())
    }
}

/// Returns whether the update is the one that made the quote what it is.
fn repeats(quote: &StandingQuote, update: &Update) -> bool {
    quote.revision == update.revision
        && quote.price == update.price
        && quote.offered == update.capacity
        && quote.valid_until == update.valid_until
}
