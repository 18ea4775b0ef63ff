//! The close: who competes, who cannot win, who wins and at which price.

use super::*;

/// A quote at the close, with everything that decides.
#[derive(Clone)]
pub(super) struct Entry {
    pub who: usize,
    /// The sealed quote; none if it is a standing one.
    pub quote: Option<Quote>,
    /// The revision of the standing quote.
    pub standing: Option<u64>,
    pub price: i64,
    pub quantity: u32,
    pub all_or_none: bool,
    pub latency_ms: u32,
    pub place: u64,
    pub reputation: i64,
    /// The price with what latency and reputation are worth.
    pub score: i64,
    /// Why it cannot win.
    pub barred: Option<Refusal>,
    /// From 1: what cannot win comes last.
    pub rank: usize,
    /// Units that it won.
    pub won: u32,
    /// Units that were left were too few for it.
    pub passed_over: bool,
}

impl Twin {
    pub(super) fn close(&mut self, index: usize) {
        // In buyer's choice the RFQ ends with the pick.
        if self.rfqs[index].terms.format != Format::Choice {
            self.tell_declines(index);
        }
        if self.rfqs[index].terms.admit {
            self.end_expired(self.rfqs[index].terms.capability);
        }
        let mut entries = self.rank(index);
        if self.rfqs[index].terms.format == Format::Choice {
            return self.show_book(index, entries);
        }
        self.rfqs[index].quotes.clear();
        self.fill(index, &mut entries);
        let prices: Vec<i64> =
            entries.iter().map(|entry| self.price_of(index, entry, &entries)).collect();
        for (entry, price) in entries.iter().zip(prices) {
            if entry.won > 0 {
                self.award(index, entry, price);
            }
        }
        self.let_losers_know(index, entries, false);
        self.end_rfq(index);
    }

    /// Returns what competes, ranked.
    fn rank(&self, index: usize) -> Vec<Entry> {
        let rfq = &self.rfqs[index];
        let mut entries: Vec<Entry> =
            rfq.quotes.iter().map(|quote| self.sealed_entry(rfq, quote)).collect();
        if rfq.terms.admit {
            let competes =
                |quote: &&Standing| quote.capability == rfq.terms.capability && quote.capacity > 0;
            let standing = self.standing.iter().filter(competes);
            entries.extend(standing.map(|quote| self.standing_entry(rfq, quote)));
        }
        self.bar_and_sort(rfq, &mut entries);
        entries
    }

    /// Puts what can win first, by score and then by place.
    pub(super) fn bar_and_sort(&self, rfq: &Rfq, entries: &mut [Entry]) {
        for entry in &mut *entries {
            entry.barred = self.bar(rfq, entry);
        }
        entries.sort_by_key(|entry| (entry.barred.is_some(), entry.score, entry.place));
        for (at, entry) in entries.iter_mut().enumerate() {
            entry.rank = at + 1;
        }
    }

    fn sealed_entry(&self, rfq: &Rfq, quote: &Quote) -> Entry {
        let reputation = self.reputation(quote.who);
        Entry {
            who: quote.who,
            quote: Some(quote.clone()),
            standing: None,
            price: quote.price,
            quantity: quote.quantity.min(rfq.terms.quantity),
            all_or_none: quote.all_or_none,
            latency_ms: quote.latency_ms,
            place: quote.place,
            reputation,
            score: quote.price + besides_price(&rfq.terms, quote.latency_ms, reputation),
            barred: None,
            rank: 0,
            won: 0,
            passed_over: false,
        }
    }

    fn standing_entry(&self, rfq: &Rfq, quote: &Standing) -> Entry {
        let reputation = self.reputation(quote.who);
        Entry {
            who: quote.who,
            quote: None,
            standing: Some(quote.revision),
            price: quote.price,
            quantity: quote.capacity.min(rfq.terms.quantity),
            all_or_none: false,
            latency_ms: quote.latency_ms,
            place: quote.place,
            reputation,
            score: quote.price + besides_price(&rfq.terms, quote.latency_ms, reputation),
            barred: None,
            rank: 0,
            won: 0,
            passed_over: false,
        }
    }

    /// Returns the first reason, in order of their numbers, why a quote cannot win.
    fn bar(&self, rfq: &Rfq, entry: &Entry) -> Option<Refusal> {
        if ACCOUNT_OF[entry.who] == ACCOUNT_OF[rfq.buyer] {
            return Some("SelfTrade");
        }
        if entry.quote.as_ref().is_some_and(|quote| quote.valid_until < self.now) {
            return Some("QuoteExpired");
        }
        if self.is_suspended(entry.who) {
            return Some("ProviderSuspended");
        }
        if !self.is_eligible(entry.who, &rfq.terms) {
            return Some("Ineligible");
        }
        if entry.price > self.reserve_now(rfq) {
            return Some("AboveReserve");
        }
        if entry.quantity < rfq.terms.quantity && !rfq.terms.split {
            return Some("Unfillable");
        }
        None
    }

    /// The band's upper end counts as the reserve where that is higher.
    fn reserve_now(&self, rfq: &Rfq) -> i64 {
        let high = self.bands[rfq.terms.capability].map_or(i64::MAX, |(_, high)| high);
        rfq.terms.reserve.min(high)
    }

    /// Gives out the units, by score. What does not fit is passed over.
    fn fill(&mut self, index: usize, entries: &mut [Entry]) {
        let mut remaining = self.rfqs[index].remaining;
        for entry in entries.iter_mut().filter(|entry| entry.barred.is_none()) {
            if remaining == 0 {
                break;
            }
            if entry.all_or_none && entry.quantity > remaining {
                entry.passed_over = true;
                continue;
            }
            let units = entry.quantity.min(remaining);
            entry.won = units;
            remaining -= units;
        }
    }

    /// Returns what a winner is paid per unit.
    fn price_of(&self, index: usize, winner: &Entry, entries: &[Entry]) -> i64 {
        let rfq = &self.rfqs[index];
        if rfq.terms.format == Format::First {
            return winner.price;
        }
        let has_losing_unit = |entry: &&Entry| {
            ACCOUNT_OF[entry.who] != ACCOUNT_OF[winner.who]
                && entry.barred.is_none()
                && !entry.passed_over
                && entry.won < entry.quantity
        };
        let reserve = self.reserve_now(rfq);
        let cover = entries.iter().filter(has_losing_unit).map(|entry| entry.score).min();
        let besides = winner.score - winner.price;
        cover.map_or(reserve, |score| (score - besides).min(reserve))
    }

    /// Concludes a contract. The bond of a standing quote or a take has been put up already.
    pub(super) fn award(&mut self, index: usize, entry: &Entry, price: i64) {
        let bond = self.bond_of_award(index, entry);
        if let Some(revision) = entry.standing
            && let Some(quote) = self.standing_mut(revision)
        {
            quote.capacity -= entry.won;
        }
        let escrow = price * i64::from(entry.won);
        let rfq = &mut self.rfqs[index];
        rfq.held -= escrow;
        rfq.remaining -= entry.won;
        rfq.highest_paid = rfq.highest_paid.max(Some(price));
        let buyer = rfq.buyer;
        self.purse(buyer).held -= escrow;
        self.purse(buyer).escrow += escrow;
        self.conclude(index, entry, price, bond, "");
    }

    /// Returns the bond for the units that were won. A sealed quote gets back what it has put up for
    /// others.
    pub(super) fn bond_of_award(&mut self, index: usize, entry: &Entry) -> i64 {
        let bond_bps = self.rfqs[index].terms.bond_bps;
        let bond = bps_rounded_up(entry.price * i64::from(entry.won), bond_bps);
        if let Some(quote) = &entry.quote {
            self.return_bond(entry.who, quote.bond - bond);
        }
        bond
    }

    /// Tells each loser why. Those that offer to stand by instead.
    pub(super) fn let_losers_know(&mut self, index: usize, entries: Vec<Entry>, done_away: bool) {
        let last_score =
            entries.iter().filter(|entry| entry.won > 0).map(|entry| entry.score).max();
        let mut cover_is_known = false;
        for entry in entries.into_iter().filter(|entry| entry.won == 0) {
            let reason = match entry.barred {
                Some(reason) => reason,
                None if entry.passed_over => "Unfillable",
                None if done_away => "DoneAway",
                None => {
                    let first = !std::mem::replace(&mut cover_is_known, true);
                    match last_score {
                        Some(score) if score == entry.score => "Tied",
                        _ if first => "Cover",
                        _ => "Outscored",
                    }
                }
            };
            self.lose_or_stand_by(index, entry, reason);
        }
    }
}

/// Returns what latency and missing reputation are worth.
fn besides_price(terms: &Terms, latency_ms: u32, reputation: i64) -> i64 {
    i64::from(latency_ms) * terms.latency_per_ms + (10_000 - reputation) * terms.reputation_per_bps
}
