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
        for mut entry in self.take_book(index) {
            let reason = entry.barred.unwrap_or("RfqPassed");
            entry.barred = Some(reason);
            self.lose_or_stand_by(index, entry, reason);
        }
        self.end_rfq(index);
    }

    /// Returns the book as it stands: scored when it was shown, but who can win is asked afresh.
    fn take_book(&mut self, index: usize) -> Vec<Entry> {
        let mut book = std::mem::take(&mut self.rfqs[index].book);
        self.bar_and_sort(&self.rfqs[index], &mut book);
        self.rfqs[index].quotes.clear();
        book
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
        if !rfq.book.iter().any(is_it) {
            return Err("UnknownQuote");
        }
        let mut book = rfq.book.clone();
        self.bar_and_sort(rfq, &mut book);
        let picked = book.iter().find(|entry| is_it(entry)).ok_or("UnknownQuote")?;
        if picked.barred.is_some() {
            return Err("NotEligible");
        }
        self.check_band(rfq.terms.capability, picked.price)?;
        let mut book = self.take_book(index);
        for entry in &mut book {
            if is_it(entry) {
                entry.won = self.rfqs[index].remaining;
                self.award(index, entry, entry.price);
            }
        }
        self.let_losers_know(index, book, true);
        self.end_rfq(index);
        Ok(())
    }
}
