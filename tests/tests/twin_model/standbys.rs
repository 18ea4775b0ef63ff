//! Losers that stand by, and take over from a winner that fails.

use super::*;

pub(super) struct Standby {
    pub entry: Entry,
    pub quote: Quote,
    /// Why it lost.
    pub reason: Refusal,
    pub due: Due,
}

impl Twin {
    pub(super) fn lose_or_stand_by(&mut self, index: usize, entry: Entry, reason: Refusal) {
        let (who, rank) = (entry.who, entry.rank);
        let lost_to_others = entry.barred.is_none();
        let Some(quote) = entry.quote.clone() else {
            return self.say(format!("lost {index} {who} {reason} {rank}"));
        };
        if let Some(until) = quote.standby_until
            && lost_to_others
            && until > self.now
        {
            self.say(format!("standby {index} {who} {reason} {rank}"));
            let due = (until, self.next_tick());
            return self.rfqs[index].standbys.push(Standby { entry, quote, reason, due });
        }
        self.return_bond(who, quote.bond);
        self.say(format!("lost {index} {who} {reason} {rank}"));
    }

    pub(super) fn end_standby(&mut self, index: usize, at: usize) {
        let standby = self.rfqs[index].standbys.remove(at);
        let (who, rank, reason) = (standby.entry.who, standby.entry.rank, standby.reason);
        self.return_bond(who, standby.quote.bond);
        let paid = self.disclosed_price(index);
        self.say(format!("standby_ended {index} {who} {reason} {rank} {paid:?}"));
    }

    /// Returns the highest price that was paid, if losers may know it.
    fn disclosed_price(&self, index: usize) -> Option<i64> {
        self.rfqs[index].highest_paid.filter(|_| self.rfqs[index].terms.disclose)
    }

    /// Nobody stands by for an RFQ without contracts.
    pub(super) fn end_standbys_without_contract(&mut self, index: usize) {
        let mut open = self.contracts.iter().flatten();
        if open.any(|contract| contract.rfq == index) {
            return;
        }
        while !self.rfqs[index].standbys.is_empty() {
            self.end_standby(index, 0);
        }
    }

    /// Lets the best that is ready take over from a provider that failed. Returns whether one did.
    pub(super) fn take_over(&mut self, failed: &Contract) -> bool {
        let index = failed.rfq;
        let ready = |standby: &Standby| self.is_ready(failed, standby);
        let Some(at) = self.rfqs[index].standbys.iter().position(ready) else {
            return false;
        };
        let mut standby = self.rfqs[index].standbys.remove(at);
        standby.entry.won = failed.quantity;
        let (price, successor) = (standby.quote.price, standby.entry.who);
        let buyer = self.rfqs[index].buyer;
        let more = price * i64::from(failed.quantity) - failed.escrow();
        self.purse(buyer).escrow += more;
        self.purse(failed.provider).bonds -= failed.bond;
        self.purse(buyer).available += failed.bond - more;
        let provider = failed.provider;
        self.say(format!("taken_over {provider} by {successor} {}", failed.bond));
        self.say(format!("standby_ended {index} {successor} takes over"));
        let bond = self.bond_of_award(index, &standby.entry);
        self.conclude(index, &standby.entry, price, bond, " takes over");
        true
    }

    /// Returns whether a quote can take over: still standing by, not kept out, of another account,
    /// for exactly these units, and paid for.
    fn is_ready(&self, failed: &Contract, standby: &Standby) -> bool {
        let rfq = &self.rfqs[failed.rfq];
        let quote = &standby.quote;
        let units = quote.quantity.min(rfq.terms.quantity);
        let fits = units >= failed.quantity && (!quote.all_or_none || units == failed.quantity);
        let more = quote.price * i64::from(failed.quantity) - failed.escrow();
        let of_buyer = more - failed.bond;
        let is_paid = of_buyer <= 0
            || (rfq.terms.top_up && of_buyer <= self.money[ACCOUNT_OF[rfq.buyer]].available);
        standby.due.0 > self.now
            && !self.is_suspended(quote.who)
            && self.is_eligible(quote.who, &rfq.terms)
            && self.check_band(rfq.terms.capability, quote.price).is_ok()
            && ACCOUNT_OF[quote.who] != ACCOUNT_OF[failed.provider]
            && fits
            && is_paid
    }
}
