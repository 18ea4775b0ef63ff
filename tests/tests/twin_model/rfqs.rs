//! Opening an RFQ, canceling it, answering it without a quote.

use super::*;

impl Twin {
    pub(super) fn open(&mut self, buyer: usize, terms: &Terms) -> Result<(), Refusal> {
        self.check_halt(terms.capability)?;
        let mut accounts = vec![ACCOUNT_OF[buyer]];
        for who in &terms.invited {
            if accounts.contains(&ACCOUNT_OF[*who]) {
                return Err("InvalidInvitation");
            }
            accounts.push(ACCOUNT_OF[*who]);
        }
        let held = terms.reserve * i64::from(terms.quantity);
        if self.purse(buyer).available < held {
            return Err("InsufficientFunds");
        }
        self.purse(buyer).available -= held;
        self.purse(buyer).held += held;
        let due = self.due_in(terms.window);
        self.rfqs.push(Rfq {
            buyer,
            terms: terms.clone(),
            state: State::Open,
            due,
            held,
            remaining: terms.quantity,
            quotes: Vec::new(),
            declined: Vec::new(),
            book: Vec::new(),
            standbys: Vec::new(),
            highest_paid: None,
            opened: self.now,
            stopped: 0,
            stopped_at: None,
        });
        if terms.window == 0 {
            self.close(self.rfqs.len() - 1);
        }
        Ok(())
    }

    pub(super) fn check_halt(&self, capability: usize) -> Result<(), Refusal> {
        if self.halted || self.capability_halted[capability] { Err("Halted") } else { Ok(()) }
    }

    /// A closed RFQ is forgotten: nothing is known of it but that it was there.
    pub(super) fn live_rfq(&self, index: usize) -> Result<&Rfq, Refusal> {
        let rfq = self.rfqs.get(index).ok_or("UnknownRfq")?;
        if rfq.state == State::Ended { Err("TooLate") } else { Ok(rfq) }
    }

    pub(super) fn cancel_rfq(&mut self, who: usize, index: usize) -> Result<(), Refusal> {
        if self.live_rfq(index)?.buyer != who {
            return Err("UnknownRfq");
        }
        for quote in std::mem::take(&mut self.rfqs[index].quotes) {
            self.return_bond(quote.who, quote.bond);
            self.say(format!("lost {index} {} RfqCanceled 0", quote.who));
        }
        self.end_rfq(index);
        Ok(())
    }

    pub(super) fn decline(&mut self, who: usize, index: usize) -> Result<(), Refusal> {
        let rfq = self.live_rfq(index)?;
        if rfq.terms.format == Format::Dutch {
            return Err("WrongFormat");
        }
        if rfq.is_closed_to(who) {
            return Err("NotInvited");
        }
        if ACCOUNT_OF[rfq.buyer] == ACCOUNT_OF[who] {
            return Err("SelfTrade");
        }
        if rfq.state != State::Open {
            return Err("TooLate");
        }
        let has_declined =
            rfq.declined.iter().any(|declined| ACCOUNT_OF[*declined] == ACCOUNT_OF[who]);
        if has_declined || rfq.has_quote_of(who) {
            return Err("QuoteExists");
        }
        self.rfqs[index].declined.push(who);
        self.close_if_all_have_answered(index);
        Ok(())
    }

    pub(super) fn close_if_all_have_answered(&mut self, index: usize) {
        let rfq = &self.rfqs[index];
        let has_answered = |who: &usize| {
            rfq.declined.contains(who) || rfq.quotes.iter().any(|quote| quote.who == *who)
        };
        if rfq.terms.close_early && rfq.terms.invited.iter().all(has_answered) {
            self.close(index);
        }
    }

    /// The buyer learns who has declined.
    pub(super) fn tell_declines(&mut self, index: usize) {
        for who in std::mem::take(&mut self.rfqs[index].declined) {
            self.say(format!("declined {index} {who}"));
        }
    }

    /// Gives back what is still held. Contracts go on.
    pub(super) fn end_rfq(&mut self, index: usize) {
        self.tell_declines(index);
        let rfq = &mut self.rfqs[index];
        rfq.state = State::Ended;
        let (buyer, held) = (rfq.buyer, std::mem::take(&mut rfq.held));
        let (awarded, paid) = (rfq.terms.quantity - rfq.remaining, rfq.highest_paid);
        self.purse(buyer).held -= held;
        self.purse(buyer).available += held;
        self.say(format!("closed {index} awarded={awarded} paid={paid:?}"));
    }
}

impl Rfq {
    /// Returns whether a provider may not answer, because others are invited.
    pub(super) fn is_closed_to(&self, who: usize) -> bool {
        !self.terms.invited.is_empty() && !self.terms.invited.contains(&who)
    }

    /// An account has at most one live quote.
    pub(super) fn has_quote_of(&self, who: usize) -> bool {
        self.quotes.iter().any(|quote| ACCOUNT_OF[quote.who] == ACCOUNT_OF[who])
    }
}
