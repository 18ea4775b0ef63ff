//! Sealed quotes.

use super::*;

#[derive(Clone)]
pub(super) struct Quote {
    /// Its place in the list of all quotes.
    pub id: usize,
    pub who: usize,
    pub price: i64,
    pub quantity: u32,
    pub all_or_none: bool,
    pub latency_ms: u32,
    pub valid_until: u64,
    pub standby_until: Option<u64>,
    pub place: u64,
    pub bond: i64,
}

impl Twin {
    pub(super) fn place_quote(
        &mut self,
        who: usize,
        index: usize,
        offer: Offer,
    ) -> Result<(), Refusal> {
        if self.halted {
            return Err("Halted");
        }
        let rfq = self.live_rfq(index)?;
        self.check_halt(rfq.terms.capability)?;
        check_format(rfq, offer)?;
        self.check_provider(who, rfq)?;
        if rfq.state != State::Open {
            return Err("TooLate");
        }
        self.check_offer(rfq, offer)?;
        if rfq.has_quote_of(who) {
            return Err("QuoteExists");
        }
        let bond = bond_of(rfq, offer);
        if !self.put_up(who, bond) {
            return Err("InsufficientFunds");
        }
        let (id, place) = (self.quoted.len(), self.next_tick());
        self.quoted.push((who, index));
        let quote = self.quote_of(id, who, offer, place, bond);
        let rfq = &mut self.rfqs[index];
        rfq.quotes.push(quote);
        rfq.declined.retain(|declined| ACCOUNT_OF[*declined] != ACCOUNT_OF[who]);
        self.close_if_all_have_answered(index);
        Ok(())
    }

    fn quote_of(&self, id: usize, who: usize, offer: Offer, place: u64, bond: i64) -> Quote {
        Quote {
            id,
            who,
            price: offer.price,
            quantity: offer.quantity,
            all_or_none: offer.all_or_none,
            latency_ms: offer.latency_ms,
            valid_until: self.now + offer.valid_for,
            standby_until: offer.standby_for.map(|time| self.now + time),
            place,
            bond,
        }
    }

    /// Returns whether a provider may answer: invited, eligible, not kept out, not the buyer itself.
    pub(super) fn check_provider(&self, who: usize, rfq: &Rfq) -> Result<(), Refusal> {
        if rfq.is_closed_to(who) {
            return Err("NotInvited");
        }
        if !self.is_eligible(who, &rfq.terms) {
            return Err("NotEligible");
        }
        if self.is_suspended(who) {
            return Err("ProviderSuspended");
        }
        if ACCOUNT_OF[rfq.buyer] == ACCOUNT_OF[who] {
            return Err("SelfTrade");
        }
        Ok(())
    }

    /// A quote is firm until the RFQ is decided, offers all units unless they may be split, and has
    /// a price within the band.
    fn check_offer(&self, rfq: &Rfq, offer: Offer) -> Result<(), Refusal> {
        if self.now + offer.valid_for < rfq.due.0 + rfq.terms.pick_within {
            return Err("ValidUntilTooShort");
        }
        if offer.quantity < rfq.terms.quantity && !rfq.terms.split {
            return Err("QuantityTooSmall");
        }
        self.check_band(rfq.terms.capability, offer.price)
    }

    pub(super) fn check_band(&self, capability: usize, price: i64) -> Result<(), Refusal> {
        match self.bands[capability] {
            Some((low, high)) if price < low || price > high => Err("PriceOutsideBand"),
            _ => Ok(()),
        }
    }

    /// Returns the RFQ and the place in it of an agent's live quote.
    fn live_quote(&self, who: usize, id: usize) -> Result<(usize, usize), Refusal> {
        let (owner, index) = *self.quoted.get(id).ok_or("UnknownQuote")?;
        let rfq = &self.rfqs[index];
        let at = rfq.quotes.iter().position(|quote| quote.id == id).ok_or("UnknownQuote")?;
        if owner != who || rfq.state == State::Ended {
            Err("UnknownQuote")
        } else {
            Ok((index, at))
        }
    }

    pub(super) fn amend_quote(
        &mut self,
        who: usize,
        id: usize,
        offer: Offer,
    ) -> Result<(), Refusal> {
        if self.halted {
            return Err("Halted");
        }
        let (index, at) = self.live_quote(who, id)?;
        let rfq = &self.rfqs[index];
        self.check_halt(rfq.terms.capability)?;
        check_format(rfq, offer)?;
        // Whether it is eligible is asked when a provider quotes and at the close, not here.
        if self.is_suspended(who) {
            return Err("ProviderSuspended");
        }
        let old = rfq.quotes[at].clone();
        let mut new = self.quote_of(id, who, offer, old.place, bond_of(rfq, offer));
        if rfq.state != State::Open || (self.is_after_cutoff(rfq) && !is_improved(&old, &new)) {
            return Err("TooLate");
        }
        self.check_offer(rfq, offer)?;
        if self.purse(who).available + old.bond < new.bond {
            return Err("InsufficientFunds");
        }
        self.return_bond(who, old.bond);
        self.put_up(who, new.bond);
        if !keeps_place(&old, &new) {
            new.place = self.next_tick();
        }
        self.rfqs[index].quotes[at] = new;
        Ok(())
    }

    fn is_after_cutoff(&self, rfq: &Rfq) -> bool {
        self.now >= rfq.due.0 - rfq.terms.cutoff
    }

    pub(super) fn cancel_quote(&mut self, who: usize, id: usize) -> Result<(), Refusal> {
        let (index, at) = self.live_quote(who, id)?;
        let rfq = &self.rfqs[index];
        if rfq.state != State::Open || self.is_after_cutoff(rfq) {
            return Err("TooLate");
        }
        let quote = self.rfqs[index].quotes.remove(at);
        self.return_bond(who, quote.bond);
        Ok(())
    }
}

/// A Dutch RFQ takes no quotes, and a second price none that are `all_or_none`.
fn check_format(rfq: &Rfq, offer: Offer) -> Result<(), Refusal> {
    let is_second = rfq.terms.format == Format::Second;
    if rfq.terms.format == Format::Dutch || (is_second && offer.all_or_none) {
        return Err("WrongFormat");
    }
    Ok(())
}

/// What a quote puts up: a part of what it asks for the units that it can get.
fn bond_of(rfq: &Rfq, offer: Offer) -> i64 {
    let units = offer.quantity.min(rfq.terms.quantity);
    bps_rounded_up(offer.price * i64::from(units), rfq.terms.bond_bps)
}

/// Returns whether a quote is nowhere worse than before.
fn is_improved(old: &Quote, new: &Quote) -> bool {
    new.price <= old.price
        && new.quantity >= old.quantity
        && (new.quantity == old.quantity || !new.all_or_none)
        && new.all_or_none <= old.all_or_none
        && new.latency_ms <= old.latency_ms
        && new.valid_until >= old.valid_until
        && new.standby_until >= old.standby_until
}

/// Returns whether nothing changed but a smaller quantity, a longer validity, or how long it stands by.
fn keeps_place(old: &Quote, new: &Quote) -> bool {
    new.price == old.price
        && new.quantity <= old.quantity
        && new.all_or_none == old.all_or_none
        && new.latency_ms == old.latency_ms
        && new.valid_until >= old.valid_until
}
