//! The close of a combinatorial RFQ: its problem goes out, proposals come in, the best allocation is
//! awarded, and every bundle that lost learns why.
//!
//! It goes on in steps of a bounded number of bundles. While proposals are taken, other business goes
//! on; between the steps of the other phases nothing but other deadlines takes effect.

use core::hint::black_box;
use core::ops::Range;

use gavel_matcher::{BundleBook, Candidate, Fate, GroupAtClose, Phase, Rfq, load_of, units_of};
use gavel_protocol::limits::STANDBYS_PER_RFQ_MAX;
use gavel_protocol::{
    BundleAward, BundleLost, BundlesPosed, ClearingStarted, Disclosure, Event, Items, LossReason,
    Micros, Offer, PaymentRule, QuoteId, QuoteRef, Ranked, RankedResult, RfqCleared, RfqResult,
    TimestampNs,
};

use crate::awards::Award;
use crate::closing::{Decided, Ending, declined};
use crate::deadlines::Due;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::limits::{
    BUNDLES_AWARDED_PER_STEP_MAX, BUNDLES_POSED_PER_STEP_MAX, BUNDLES_TOLD_PER_STEP_MAX,
};
use crate::standbys::{BundleStandby, Group, Standby};

impl Exchange {
    /// Goes on with the clearing of the combinatorial RFQ in `slot`, by one step.
    pub(crate) fn clear_bundles(&mut self, slot: u32, out: &mut Events<'_>) {
        self.rfqs.at_mut(slot).closed = true;
        match self.rfqs.books.at(self.bundle_book(slot)).clearing.phase {
            Phase::Posing(next) => self.pose(slot, next, out),
            Phase::Open => self.go_on(slot, Phase::Awarding(0)),
            Phase::Awarding(next) => self.award_bundles(slot, next, out),
            Phase::Telling(next) => self.tell_bundles(slot, next, out),
        }
    }

    fn bundle_book(&self, slot: u32) -> u32 {
        self.rfqs.at(slot).bundles.expect("invariant: a combinatorial RFQ has a book")
    }

    /// Enters a phase that goes on with the next step.
    pub(crate) fn go_on(&mut self, slot: u32, phase: Phase) {
        let book = self.bundle_book(slot);
        self.rfqs.books.at_mut(book).clearing.phase = phase;
        let now = self.clock.market_now();
        self.deadlines.set(Due::Rfq(slot), now);
    }

    /// Scores some bundles, and makes those that can win part of the problem.
    fn pose(&mut self, slot: u32, next: u32, out: &mut Events<'_>) {
        let book = self.bundle_book(slot);
        let len = u32::try_from(self.rfqs.books.at(book).len()).expect("fewer than 2^32");
        if next == len {
            return self.start_clearing(slot, out);
        }
        let end = len.min(next + BUNDLES_POSED_PER_STEP_MAX);
        let first = self.rfqs.books.at(book).clearing.posed.len();
        let (decided, terms) = (self.decided(slot), self.rfqs.at(slot).terms);
        let band = self.directory.capability(terms.capability).ok().and_then(|known| known.band);
        self.look_ahead_groups(book, next..end);
        for place in next..end {
            let of_rfq = self.rfqs.books.at(book);
            let group = of_rfq.at(place).group;
            if !of_rfq.group(group).at_close.seen {
                self.look_at_group(&decided, book, group);
            }
            self.rfqs.books.at_mut(book).pose(place, terms.scoring, band);
        }
        let posed = &self.rfqs.books.at(book).clearing.posed[first..];
        if !posed.is_empty() {
            out.posed.extend_from_slice(posed);
            let count = |count| u32::try_from(count).expect("fewer than 2^32");
            out.push(Event::BundlesPosed(BundlesPosed {
                rfq: self.rfqs.at(slot).id,
                first: count(first),
                bundles: count(posed.len()),
            }));
        }
        self.go_on(slot, Phase::Posing(end));
    }

    /// Reads what some bundles and their groups will be looked up by, all at once.
    fn look_ahead_groups(&self, book: u32, places: Range<u32>) {
        for group in self.rfqs.books.at(book).look_ahead(places) {
            let slots = group.owner.slots;
            black_box(self.rfqs.quote(group.quote).map(|quote| quote.priority));
            black_box(self.directory.at(slots.agent).reputation);
            black_box(self.exposures.at(slots.account).contracts);
        }
    }

    /// Notes what holds for a group at the close.
    fn look_at_group(&mut self, decided: &Decided, book: u32, group: u32) {
        let known = self.rfqs.books.at(book).group(group);
        let quote = self.rfqs.quote(known.quote).expect("invariant: a group is a live quote");
        let mut candidate = decided.candidate(quote, &self.directory);
        if !self.exposures.may_contract(known.owner.slots.account) {
            candidate.bar(LossReason::ContractLimit);
        }
        let (reputation_bps, barred) = (candidate.reputation_bps, candidate.barred);
        let reputation = decided.terms.scoring.reputation(reputation_bps);
        let reputation = reputation.expect("invariant: weights are limited");
        let seen =
            GroupAtClose { seen: true, reputation_bps, reputation, barred, ..known.at_close };
        self.rfqs.books.at_mut(book).group_mut(group).at_close = seen;
    }

    /// The problem is out: constructs a first answer, and takes proposals.
    fn start_clearing(&mut self, slot: u32, out: &mut Events<'_>) {
        let book = self.bundle_book(slot);
        let Self { rfqs, scratch, .. } = self;
        let of_rfq = rfqs.books.at_mut(book);
        of_rfq.construct(scratch);
        let bundles = u32::try_from(of_rfq.clearing.posed.len()).expect("fewer than 2^32");
        if bundles == 0 {
            self.rfqs.books.at_mut(book).clearing.bound = Some(Micros::ZERO);
        }
        if bundles == 0 || self.rfqs.books.at(book).clearing.is_again {
            return self.go_on(slot, Phase::Awarding(0));
        }
        let (id, now) = (self.rfqs.at(slot).id, self.clock.market_now());
        let book = self.rfqs.books.at_mut(book);
        book.clearing.phase = Phase::Open;
        // From now on, not from the close: who comes late to a deadline must not take the time of those
        // who search.
        let ends_at = now.after(book.rules.clearing_within);
        out.push(Event::ClearingStarted(ClearingStarted {
            rfq: id,
            ends_at: self.clock.sequenced(ends_at),
            bundles,
            groups: book.clearing.groups,
        }));
        self.deadlines.set(Due::Rfq(slot), ends_at);
    }

    /// Concludes contracts with some of the winners.
    fn award_bundles(&mut self, slot: u32, next: u32, out: &mut Events<'_>) {
        let (rfq, book) = (*self.rfqs.at(slot), self.bundle_book(slot));
        if next == 0 {
            if self.has_expired_winner(&rfq, book) {
                // Nobody is held to what it signed for a shorter time: cleared again without proposals.
                self.rfqs.books.at_mut(book).clear_again();
                return self.go_on(slot, Phase::Posing(0));
            }
            self.say_cleared(&rfq, book, out);
        }
        let clearing = &self.rfqs.books.at(book).clearing;
        let winners = u32::try_from(clearing.best.winners.len()).expect("at most ITEMS_MAX");
        let end = winners.min(next + BUNDLES_AWARDED_PER_STEP_MAX);
        for winner in next..end {
            self.award_bundle(&rfq, book, winner as usize, out);
        }
        let phase = if end == winners { Phase::Telling(0) } else { Phase::Awarding(end) };
        self.go_on(slot, phase);
    }

    /// Returns whether an outage has moved the end of the clearing beyond what a winner's quote is firm
    /// for.
    fn has_expired_winner(&self, rfq: &Rfq, book: u32) -> bool {
        let firm_until = self.clock.sequenced(self.decided_by(rfq));
        let of_rfq = self.rfqs.books.at(book);
        of_rfq.clearing.best.winners.iter().any(|winner| {
            let place = of_rfq.clearing.places[*winner as usize];
            let quote = self.rfqs.quote(of_rfq.group(of_rfq.at(place).group).quote);
            quote.expect("invariant: a group is a live quote").offer.valid_until < firm_until
        })
    }

    fn say_cleared(&mut self, rfq: &Rfq, book: u32, out: &mut Events<'_>) {
        let book = self.rfqs.books.at(book);
        let best = &book.clearing.best;
        out.push(Event::RfqCleared(RfqCleared {
            rfq: rfq.id,
            buyer: rfq.owner.agent,
            solver: best.solver,
            surplus: best.surplus,
            bound: book.clearing.bound,
            payment: paid_by(book),
            winners: u32::try_from(best.winners.len()).expect("at most ITEMS_MAX"),
            items: book.problem().covered(&best.winners),
        }));
    }

    fn award_bundle(&mut self, rfq: &Rfq, book: u32, winner: usize, out: &mut Events<'_>) {
        let of_rfq = self.rfqs.books.at(book);
        let clearing = &of_rfq.clearing;
        let number = clearing.best.winners[winner] as usize;
        let (place, posed) = (clearing.places[number], clearing.posed[number]);
        let gap = clearing.bound.map(|bound| {
            let gap = bound.minus(clearing.best.surplus);
            gap.expect("invariant: a bound is not below what was reached")
        });
        let payment = clearing.best.payments.get(winner);
        let (price, payment_high) = payment.map_or((posed.price, posed.price), |p| (p.low, p.high));
        let bundle =
            BundleAward { items: posed.items, gap, payment: paid_by(of_rfq), payment_high };
        let (group, load) = (of_rfq.at(place).group, load_of(of_rfq.posed_items(), &posed.items));
        let candidate = self.bundle_candidate(book, place);

        let of_rfq = self.rfqs.books.at_mut(book);
        of_rfq.at_mut(place).fate = Fate::Won;
        of_rfq.group_mut(group).at_close.used += units_of(posed.rule, || load).0;
        of_rfq.clearing.contracts += 1;
        let paid = of_rfq.clearing.paid.plus(price);
        of_rfq.clearing.paid = paid.expect("invariant: awards never cost more than was held");
        let takes_over = None;
        let award =
            Award { winner: candidate, quantity: 1, price, takes_over, bundle: Some(bundle) };
        self.award(rfq, award, out);
    }

    /// Returns what the bundle at a place competes with.
    fn bundle_candidate(&self, book: u32, place: u32) -> Candidate {
        let book = self.rfqs.books.at(book);
        let bundle = book.at(place);
        let group = book.group(bundle.group);
        let quote = self.rfqs.quote(group.quote).expect("invariant: a group is a live quote");
        Candidate {
            owner: group.owner,
            quote: QuoteRef::Bundle(book.name(place)),
            offer: Offer {
                price: bundle.offer.price,
                latency_ms: bundle.offer.latency_ms,
                ..quote.offer
            },
            bond: Micros::ZERO,
            reputation_bps: group.at_close.reputation_bps,
            priority: bundle.priority,
            barred: None,
        }
    }

    /// Tells some of the losers why.
    fn tell_bundles(&mut self, slot: u32, next: u32, out: &mut Events<'_>) {
        let (rfq, book) = (*self.rfqs.at(slot), self.bundle_book(slot));
        let len = u32::try_from(self.rfqs.books.at(book).len()).expect("fewer than 2^32");
        if next == len {
            return self.end_combinatorial(slot, out);
        }
        let end = len.min(next + BUNDLES_TOLD_PER_STEP_MAX);
        for place in next..end {
            let Some(lost) = self.lost(&rfq, book, place) else { continue };
            if self.may_stand_by(book, place, &lost) {
                self.rfqs.books.at_mut(book).clearing.standbys.push(place);
            } else {
                out.push(Event::BundleLost(lost));
            }
        }
        self.go_on(slot, Phase::Telling(end));
    }

    /// Returns why the bundle at a place lost, if it did.
    fn lost(&self, rfq: &Rfq, book: u32, place: u32) -> Option<BundleLost> {
        let book = self.rfqs.books.at(book);
        let (bundle, clearing) = (book.at(place), &book.clearing);
        let group = book.group(bundle.group);
        let mut lost = BundleLost {
            rfq: rfq.id,
            provider: group.owner.agent,
            bundle: book.name(place),
            reason: LossReason::BundleLost,
            lost_on: Items::EMPTY,
            price_to_win: None,
        };
        let posed = match bundle.fate {
            Fate::Won => return None,
            Fate::Open => panic!("invariant: every bundle is looked at when its RFQ closes"),
            Fate::Barred(reason) => {
                lost.reason = reason;
                return Some(lost);
            }
            Fate::Posed(number) => &clearing.posed[number as usize],
        };
        if clearing.best.winners.is_empty() {
            lost.reason = LossReason::Unfillable;
            return Some(lost);
        }
        let mut rivals = 0;
        for winner in &clearing.best.winners {
            let winner = &clearing.posed[*winner as usize];
            let shared = winner.items.and(&posed.items);
            if !shared.is_empty() {
                lost.lost_on = lost.lost_on.or(&shared);
                rivals += book.worth_of(&winner.items).raw() - winner.score.raw();
            }
        }
        let (units, most) = units_of(group.rule, || load_of(book.posed_items(), &posed.items));
        let is_used_up = group.at_close.used + units > most;
        if lost.lost_on.is_empty() && is_used_up {
            lost.reason = LossReason::GroupUsedUp;
        } else if rfq.terms.disclosure == Disclosure::ClearingPrice
            && !is_used_up
            && !book.rules.free_disposal
            && !book.rules.all_or_none
        {
            let gain = bundle.worth.raw() - posed.score.raw();
            let price = posed.price.raw() - (rivals - gain);
            // Where it is above what was asked, the allocation itself was not the best.
            let helps = price > 0 && price <= posed.price.raw();
            lost.price_to_win = helps.then_some(Micros::new(price));
        }
        Some(lost)
    }

    fn may_stand_by(&self, book: u32, place: u32, lost: &BundleLost) -> bool {
        let kept = self.rfqs.books.at(book).clearing.standbys.len();
        lost.reason == LossReason::BundleLost
            && !lost.lost_on.is_empty()
            // What is awarded twice may be delivered by the other one: nobody is to be paid for it again.
            && !self.rfqs.books.at(book).rules.free_disposal
            && kept < STANDBYS_PER_RFQ_MAX as usize
            && self.stands_by_until(lost.bundle.quote).is_some_and(|until| until > self.clock.now)
            && self.standbys.has_room(kept)
            && self.left_for_standby(book, place).is_some()
    }

    fn stands_by_until(&self, quote: QuoteId) -> Option<TimestampNs> {
        let quote = self.rfqs.quote(quote);
        quote.expect("invariant: a group is a live quote").offer.standby_until
    }

    /// Returns what a bundle takes of its group and what the winners have left of it, if that is
    /// enough.
    fn left_for_standby(&self, book: u32, place: u32) -> Option<(u32, u32)> {
        let book = self.rfqs.books.at(book);
        let bundle = book.at(place);
        let group = book.group(bundle.group);
        let load = || load_of(book.posed_items(), &bundle.offer.items);
        let (units, most) = units_of(group.rule, load);
        let left = most.checked_sub(group.at_close.used)?;
        (units <= left).then_some((units, left))
    }

    /// Says who stands by, gives back what is left of the hold, and ends the RFQ.
    fn end_combinatorial(&mut self, slot: u32, out: &mut Events<'_>) {
        let ranked_before = out.ranking.len();
        let (rfq, book) = (*self.rfqs.at(slot), self.bundle_book(slot));
        self.keep_bundle_standbys(&rfq, book, out);
        let of_rfq = self.rfqs.books.at(book);
        let awarded = of_rfq.problem().covered(&of_rfq.clearing.best.winners).len();
        let bundles = u32::try_from(of_rfq.len()).expect("fewer than 2^32");
        let (contracts, paid) = (of_rfq.clearing.contracts, of_rfq.clearing.paid);
        let promised = self.contracts_promised(&rfq);
        self.deadlines.remove(Due::Rfq(slot));
        let Self { rfqs, exposures, .. } = self;
        rfqs.close(slot, |quote| {
            exposures.quote_ended(quote.owner.slots.account);
            if let Some(reason) = quote.declined {
                out.ranking.push(declined(quote, reason));
            }
        });
        self.exposures.promise_ended(rfq.owner.slots.account, promised);
        let (result, clearing_price) = match contracts {
            0 => (RfqResult::Passed, None),
            _ => (RfqResult::Awarded, Some(paid)),
        };
        let ending = Ending { result, awarded, bundles, clearing_price };
        self.end_rfq(&rfq, ending, ranked_before, out);
    }

    fn keep_bundle_standbys(&mut self, rfq: &Rfq, book: u32, out: &mut Events<'_>) {
        let clearing = &self.rfqs.books.at(book).clearing;
        let (contracts, paid) = (clearing.contracts, clearing.paid);
        let winning_price = match rfq.terms.disclosure {
            Disclosure::Nothing => None,
            Disclosure::ClearingPrice => Some(paid),
        };
        for kept in 0..clearing.standbys.len() {
            if kept == 0 {
                let mut group = Group::new(rfq.owner, rfq.terms, contracts, winning_price);
                group.all_or_none = self.rfqs.books.at(book).rules.all_or_none;
                self.standbys.add_group(rfq.id, group);
            }
            let place = self.rfqs.books.at(book).clearing.standbys[kept];
            let candidate = self.bundle_candidate(book, place);
            let left = self.left_for_standby(book, place);
            let (units, left) = left.expect("invariant: looked at when it was told to stand by");
            let of_rfq = self.rfqs.books.at(book);
            let bundle = of_rfq.at(place);
            let gain = match bundle.fate {
                Fate::Posed(number) => {
                    bundle.worth.minus(of_rfq.clearing.posed[number as usize].score)
                }
                Fate::Open | Fate::Barred(_) | Fate::Won => None,
            };
            let gain = gain.expect("invariant: only what could have won stands by");
            let rank = u32::try_from(kept + 1).expect("at most STANDBYS_PER_RFQ_MAX");
            out.ranking.push(Ranked {
                provider: candidate.owner.agent,
                quote: candidate.quote,
                price: candidate.offer.price,
                score: bundle.worth.minus(gain).expect("a score that fits"),
                latency_ms: candidate.offer.latency_ms,
                reputation_bps: candidate.reputation_bps,
                rank,
                result: RankedResult::Standby(LossReason::BundleLost),
            });
            let (items, quantity) = (bundle.offer.items, of_rfq.quantity_of(&bundle.offer.items));
            let of_bundle = BundleStandby { items, gain, quantity, units, left };
            let until = candidate.offer.standby_until;
            let mut standby = Standby::new(rfq.id, candidate, LossReason::BundleLost, rank);
            standby.bundle = Some(of_bundle);
            let slot = self.standbys.add(standby);
            let until = until.expect("invariant: looked at when it was told to stand by");
            self.deadlines.set(Due::Standby(slot), until);
        }
    }
}

/// Returns the rule that payments follow: as bid, unless a solver has reckoned them.
fn paid_by(book: &BundleBook) -> PaymentRule {
    match book.clearing.best.payments.is_empty() {
        true => PaymentRule::PayAsBid,
        false => book.rules.payment,
    }
}
