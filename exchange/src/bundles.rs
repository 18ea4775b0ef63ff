//! Quoting bundles for combinatorial RFQs.

use gavel_matcher::{BundlesOfQuote, GroupAtClose, Owner, Quote, Rfq};
use gavel_protocol::limits::{BUNDLES_PER_ACCOUNT_MAX, BUNDLES_PER_RFQ_MAX};
use gavel_protocol::{
    BundleGroup, BundleQuoted, BundlesQuoted, Event, IdKind, Items, Micros, NewGroup, Offer,
    QuoteBundles, QuoteId, RejectReason,
};

use crate::events::Events;
use crate::exchange::Exchange;
use crate::quotes::check_signature;

impl Exchange {
    pub(crate) fn quote_bundles(
        &mut self,
        asker: Owner,
        c: &QuoteBundles,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        if c.signature.is_none() {
            self.check_unsigned()?;
        }
        let slot = self.open_rfq_slot(c.rfq)?;
        let rfq = *self.rfqs.at(slot);
        self.check_not_halted(rfq.terms.capability)?;
        check_signature(&rfq, c.signature.as_deref())?;
        let book = rfq.bundles.ok_or(RejectReason::WrongFormat)?;
        let existing = self.existing_group(asker, &rfq, &c.group)?;
        self.check_may_answer(asker, &rfq)?;
        if rfq.closed {
            return Err(RejectReason::TooLate);
        }
        self.check_bundles(&rfq, book, c)?;
        self.check_quote_rate(asker)?;
        let declined = self.rfqs.answer_of(c.rfq, asker.account);
        let declined = declined.filter(|answer| answer.declined.is_some()).map(|answer| answer.id);
        if existing.is_none() && declined.is_none() {
            self.exposures.check_quote(asker.slots.account)?;
            self.rfqs.check_room(slot)?;
        }
        // By its own count: nobody can fill an RFQ alone, nor learn from that how many others there are.
        let own = self.rfqs.books.at(book).bundles_of(asker.account);
        if own + c.bundles.len() > BUNDLES_PER_ACCOUNT_MAX {
            return Err(RejectReason::QuoteLimit);
        }
        if self.rfqs.books.at(book).len() + c.bundles.len() > BUNDLES_PER_RFQ_MAX {
            return Err(RejectReason::RfqFull);
        }

        if let Some(declined) = declined {
            self.forget_answer(declined);
        }
        let (quote, group) = match (existing, c.group) {
            (Some(group), _) => (self.rfqs.books.at(book).group(group).quote, group),
            (None, BundleGroup::New(new)) => self.add_group(slot, asker, new),
            (None, BundleGroup::Existing(_)) => {
                panic!("invariant: a group that is named was looked up")
            }
        };
        self.count_quote(asker);
        let rule = self.rfqs.books.at(book).group(group).rule;
        out.push(Event::BundlesQuoted(BundlesQuoted {
            quote,
            rfq: c.rfq,
            provider: asker.agent,
            rule,
            bundles: u32::try_from(c.bundles.len()).expect("at most BUNDLES_PER_COMMAND_MAX"),
        }));
        for offer in &c.bundles {
            let by = (rfq.terms.scoring, self.seq);
            let bundle = self.rfqs.books.at_mut(book).add(group, *offer, by);
            let (rfq, provider, offer) = (c.rfq, asker.agent, *offer);
            out.push(Event::BundleQuoted(BundleQuoted { bundle, rfq, provider, offer }));
        }
        Ok(())
    }

    /// Adds a group, which is a quote, and returns both.
    fn add_group(&mut self, slot: u32, asker: Owner, new: NewGroup) -> (QuoteId, u32) {
        let id = QuoteId::new(self.mint(IdKind::Quote));
        let offer = Offer {
            standby_until: new.standby_until,
            quantity: 1,
            ..Offer::new(Micros::ZERO, new.valid_until)
        };
        let Rfq { id: rfq, bundles, .. } = *self.rfqs.at(slot);
        let book = bundles.expect("invariant: checked before");
        let group = self.rfqs.books.at_mut(book).add_group(BundlesOfQuote {
            quote: id,
            owner: asker,
            rule: new.rule,
            bundles: 0,
            at_close: GroupAtClose::default(),
        });
        self.add_answer(slot, Quote::new(id, rfq, asker, offer, self.seq));
        (id, group)
    }

    /// Returns where the group is that a command names. Somebody else's is as unknown as one that
    /// never was.
    fn existing_group(
        &self,
        asker: Owner,
        rfq: &Rfq,
        group: &BundleGroup,
    ) -> Result<Option<u32>, RejectReason> {
        let BundleGroup::Existing(quote) = *group else { return Ok(None) };
        if self.own_quote(asker, quote)?.rfq != rfq.id {
            return Err(RejectReason::UnknownQuote);
        }
        let book = rfq.bundles.ok_or(RejectReason::WrongFormat)?;
        let group = self.rfqs.books.at(book).group_of(quote);
        group.map(Some).ok_or(RejectReason::UnknownQuote)
    }

    fn check_bundles(&self, rfq: &Rfq, book: u32, c: &QuoteBundles) -> Result<(), RejectReason> {
        let items = self.rfqs.books.at(book).items();
        let all = Items::first(items.len());
        if !c.bundles.iter().all(|bundle| bundle.items.is_within(&all)) {
            return Err(RejectReason::InvalidBundle);
        }
        if let BundleGroup::New(new) = c.group
            && new.valid_until < self.clock.sequenced(self.decided_by(rfq))
        {
            return Err(RejectReason::ValidUntilTooShort);
        }
        let book = self.rfqs.books.at(book);
        c.bundles.iter().try_for_each(|bundle| {
            let priced = (bundle.price, book.quantity_of(&bundle.items));
            self.check_band_of(rfq.terms.capability, priced)
        })
    }
}
