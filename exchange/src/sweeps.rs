//! Sweeps: what takes many quotes at once, in bounded steps.

use gavel_matcher::Owner;
use gavel_protocol::{
    CancelCause, Event, MassCancel, MassCanceled, QuoteId, QuoteKind, RejectReason,
};
use rkyv::{Archive, Deserialize, Serialize};

use crate::events::Events;
use crate::exchange::Exchange;
use crate::limits::SWEPT_PER_STEP_MAX;

/// Quotes of an agent that are being canceled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct Sweep {
    /// Whose.
    pub(crate) agent_slot: u32,
    /// Which.
    pub(crate) what: QuoteKind,
    /// Why.
    pub(crate) cause: CancelCause,
}

impl Exchange {
    pub(crate) fn mass_cancel(
        &mut self,
        asker: Owner,
        c: &MassCancel,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let (agent, what, cause) = (asker.agent, c.what, CancelCause::MassCancel);
        out.push(Event::MassCanceled(MassCanceled { agent, what }));
        self.sweeps.push_back(Sweep { agent_slot: asker.slots.agent, what, cause });
        Ok(())
    }

    /// Goes on with the sweeps for one step. Returns how many quotes were canceled, and sweeps ended.
    pub(crate) fn sweep(&mut self, out: &mut Events<'_>) -> u32 {
        let mut swept = 0;
        while let Some(sweep) = self.sweeps.front().copied() {
            swept += match sweep.what {
                QuoteKind::Sealed => self.sweep_sealed(sweep, SWEPT_PER_STEP_MAX - swept, out),
                QuoteKind::Standing => self.sweep_standing(sweep, SWEPT_PER_STEP_MAX - swept, out),
                QuoteKind::All => {
                    let sealed = self.sweep_sealed(sweep, SWEPT_PER_STEP_MAX - swept, out);
                    let left = SWEPT_PER_STEP_MAX - swept - sealed;
                    sealed + self.sweep_standing(sweep, left, out)
                }
            };
            // With room left, there was nothing left.
            if swept == SWEPT_PER_STEP_MAX {
                return swept;
            }
            self.sweeps.pop_front();
            swept += 1;
        }
        swept
    }

    /// Cancels sealed quotes that can still be canceled, oldest first.
    fn sweep_sealed(&mut self, sweep: Sweep, most: u32, out: &mut Events<'_>) -> u32 {
        let now = self.clock.market_now();
        let mut found = [QuoteId::new(0); SWEPT_PER_STEP_MAX as usize];
        let mut count = 0;
        for quote in self.rfqs.quotes_of(sweep.agent_slot) {
            if count == most as usize {
                break;
            }
            let rfq = self.rfqs.slot(quote.rfq);
            let rfq = self.rfqs.at(rfq.expect("invariant: a quote ends with its RFQ"));
            if quote.declined.is_none() && !rfq.closed && now < rfq.cutoff_at() {
                found[count] = quote.id;
                count += 1;
            }
        }
        for quote in &found[..count] {
            self.end_quote(*quote, sweep.cause, out);
        }
        u32::try_from(count).expect("at most SWEPT_PER_STEP_MAX")
    }

    fn sweep_standing(&mut self, sweep: Sweep, most: u32, out: &mut Events<'_>) -> u32 {
        let agent = self.directory.at(sweep.agent_slot).id;
        let mut swept = 0;
        while swept < most
            && let Some(quote) = self.standing.first_of(sweep.agent_slot)
        {
            let capability = quote.capability;
            self.end_standing(agent, capability, sweep.cause, out);
            swept += 1;
        }
        swept
    }
}
