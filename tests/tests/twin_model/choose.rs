//! Makes what a script says in arbitrary numbers about something that is there.

use super::*;

impl Twin {
    /// Returns the operation with the RFQ, quote or contract that it is about. Most are about
    /// something that is open, and most are done by whoever may do so.
    pub fn choose(&self, op: &Op) -> Op {
        let mut op = op.clone();
        match &mut op {
            Op::CancelRfq { who, rfq } => {
                *rfq = self.choose_rfq(*rfq, |_| true);
                *who = or_stranger(*who, self.rfqs.get(*rfq).map(|rfq| rfq.buyer));
            }
            Op::Quote { rfq, .. } | Op::Decline { rfq, .. } => {
                *rfq = self.choose_rfq(*rfq, |rfq| rfq.terms.format != Format::Dutch);
            }
            Op::Take { rfq, .. } => {
                *rfq = self.choose_rfq(*rfq, |rfq| rfq.terms.format == Format::Dutch);
            }
            Op::Pick { who, rfq, quote } => {
                *rfq = self.choose_rfq(*rfq, |rfq| rfq.state == State::Picking);
                let chosen = self.rfqs.get(*rfq);
                let quotes = chosen.map(|rfq| &rfq.quotes).filter(|quotes| !quotes.is_empty());
                if let Some(quotes) = quotes {
                    *quote = quotes[*quote % quotes.len()].id;
                }
                *who = or_stranger(*who, chosen.map(|rfq| rfq.buyer));
            }
            Op::Amend { who, quote, offer, keep } => {
                *quote = self.choose_quote(*quote);
                *who = or_stranger(*who, self.quoted.get(*quote).map(|(who, _)| *who));
                self.keep_of_quote(*quote, *keep, offer);
            }
            Op::Standing { who, capability, price, latency_ms, keep: true, .. } => {
                let is_it =
                    |quote: &&Standing| (quote.who, quote.capability) == (*who, *capability);
                if let Some(old) = self.standing.iter().find(is_it) {
                    (*price, *latency_ms) = (old.price, old.latency_ms);
                }
            }
            Op::CancelQuote { who, quote } => {
                *quote = self.choose_quote(*quote);
                *who = or_stranger(*who, self.quoted.get(*quote).map(|(who, _)| *who));
            }
            Op::Start { who, contract } | Op::Deliver { who, contract } => {
                *contract = self.choose_contract(*contract);
                *who = or_stranger(*who, self.parties.get(*contract).map(|parties| parties.1));
            }
            Op::Accept { who, contract } => {
                *contract = self.choose_contract(*contract);
                *who = or_stranger(*who, self.parties.get(*contract).map(|parties| parties.0));
            }
            _ => {}
        }
        op
    }

    fn choose_rfq(&self, number: usize, wanted: impl Fn(&Rfq) -> bool) -> usize {
        let is_open = |rfq: &Rfq| rfq.state != State::Ended && wanted(rfq);
        let open: Vec<usize> =
            (0..self.rfqs.len()).filter(|index| is_open(&self.rfqs[*index])).collect();
        choose_from(&open, number, self.rfqs.len())
    }

    fn choose_quote(&self, number: usize) -> usize {
        let live = self.rfqs.iter().filter(|rfq| rfq.state != State::Ended);
        let live: Vec<usize> = live.flat_map(|rfq| &rfq.quotes).map(|quote| quote.id).collect();
        choose_from(&live, number, self.quoted.len())
    }

    /// Leaves parts of a quote as they are: what takes a new place is a change of just one.
    fn keep_of_quote(&self, id: usize, keep: [bool; 6], offer: &mut Offer) {
        let all = self.rfqs.iter().flat_map(|rfq| &rfq.quotes);
        let Some(old) = all.into_iter().find(|quote| quote.id == id) else { return };
        let from_now = |until: u64| until.saturating_sub(self.now);
        let [price, quantity, all_or_none, latency, validity, standby] = keep;
        if price {
            offer.price = old.price;
        }
        if quantity {
            offer.quantity = old.quantity;
        }
        if all_or_none {
            offer.all_or_none = old.all_or_none;
        }
        if latency {
            offer.latency_ms = old.latency_ms;
        }
        if validity {
            offer.valid_for = from_now(old.valid_until);
        }
        if standby {
            offer.standby_for = old.standby_until.map(from_now);
        }
    }

    fn choose_contract(&self, number: usize) -> usize {
        let open: Vec<usize> =
            (0..self.contracts.len()).filter(|index| self.contracts[*index].is_some()).collect();
        choose_from(&open, number, self.contracts.len())
    }
}

/// Chooses one that is open, counted from the latest so that most is about the same few, or once in
/// a while any that ever was, or one that never was.
fn choose_from(open: &[usize], number: usize, all: usize) -> usize {
    if open.is_empty() || number % 16 == 15 {
        return number / 16 % (all + 1);
    }
    open[open.len() - 1 - number / 16 % open.len()]
}

/// Numbers that name no agent stand for whoever may do it.
fn or_stranger(who: usize, owner: Option<usize>) -> usize {
    if who < AGENTS { who } else { owner.unwrap_or(who % AGENTS) }
}
