//! Buyer's choice: the book is shown at the close, and the buyer picks.

use super::*;

impl Twin {
    pub(super) fn show_book(&mut self, index: usize, entries: Vec<Entry>) {
        if entries.is_empty() {
            return self.end_rfq(index);
        }
        for entry in &entries {
            let (who, price, score) = (entry.who, entry.price, entry.score);
            let (rank, barred) = (entry.rank, entry.barred);
            self.say(format!("shown {index} {who} {price} score={score} {rank} {barred:?}"));
        }
        let due = self.due_in(self.rfqs[index].terms.pick_within);
        let rfq = &mut self.rfqs[index];
        (rfq.state, rfq.due, rfq.book) = (State::Picking, due, entries);
    }

    /// The buyer has picked nothing in time.
    pub(super) fn pass(&mut self, index: usize) {
        self.rfqs[index].quotes.clear();
        for mut entry in std::mem::take(&mut self.rfqs[index].book) {
            let reason = self.bar(&self.rfqs[index], &entry).unwrap_or("RfqPassed");
            entry.barred = Some(reason);
            self.lose_or_stand_by(index, entry, reason);
        }
        self.end_rfq(index);
    }

    pub(super) fn pick(&mut self, who: usize, index: usize, id: usize) -> Result<(), Refusal> {
        let rfq = self.live_rfq(index)?;
        if rfq.buyer != who {
            return Err("UnknownRfq");
        }
        if rfq.terms.format != Format::Choice {
            return Err("WrongFormat");
        }
        // Before the book is open nobody learns whether there is such a quote.
        if rfq.state != State::Picking {
            return Err("WrongState");
        }
        let is_it = |entry: &Entry| entry.quote.as_ref().is_some_and(|quote| quote.id == id);
        let at = rfq.book.iter().position(is_it).ok_or("UnknownQuote")?;
        let entry = &rfq.book[at];
        match self.bar(rfq, entry) {
            Some("ProviderSuspended") => return Err("ProviderSuspended"),
            Some(_) => return Err("NotEligible"),
            None => {}
        }
        self.check_band(rfq.terms.capability, entry.price)?;
        let mut picked = entry.clone();
        picked.won = self.rfqs[index].remaining;
        let mut book = std::mem::take(&mut self.rfqs[index].book);
        self.rfqs[index].quotes.clear();
        book.remove(at);
        self.award(index, &picked, picked.price);
        for entry in &mut book {
            entry.barred = self.bar(&self.rfqs[index], entry);
        }
        self.let_losers_know(index, book, true);
        self.end_rfq(index);
        Ok(())
    }
}
