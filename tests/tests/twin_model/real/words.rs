//! What the exchange's events are in the twin's words.

use gavel_protocol::*;

use super::Real;

impl Real {
    pub(super) fn say(&mut self, what: String) {
        self.said.push(format!("{} {what}", self.now_us));
    }

    pub(super) fn say_ranked(&mut self, rfq: RfqId, ranked: &[Ranked]) {
        let rfq = self.rfq_index(rfq);
        for entry in ranked {
            let (who, rank) = (self.who(entry.provider), entry.rank);
            let said = match entry.result {
                RankedResult::Won => continue,
                RankedResult::Declined(_) => format!("declined {rfq} {who}"),
                RankedResult::Lost(reason) => {
                    format!("lost {rfq} {who} {} {rank}", reason.info().name)
                }
                RankedResult::Standby(reason) => {
                    format!("standby {rfq} {who} {} {rank}", reason.info().name)
                }
                RankedResult::Shown => panic!("shown at the end"),
            };
            self.say(said);
        }
    }

    pub(super) fn say_book(&mut self, rfq: RfqId, ranked: &[Ranked]) {
        let rfq = self.rfq_index(rfq);
        for entry in ranked {
            let (who, rank, price) = (self.who(entry.provider), entry.rank, entry.price.raw());
            let score = entry.score.raw();
            let barred = match entry.result {
                RankedResult::Lost(reason) => Some(reason.info().name),
                RankedResult::Declined(_) => {
                    self.say(format!("declined {rfq} {who}"));
                    continue;
                }
                _ => None,
            };
            self.say(format!("shown {rfq} {who} {price} score={score} {rank} {barred:?}"));
        }
    }

    pub(super) fn words_of(&mut self, event: &Event) -> Option<String> {
        Some(match event {
            Event::RfqOpened(opened) => {
                self.rfqs.push(opened.rfq);
                return None;
            }
            Event::QuotePlaced(placed) => {
                self.quotes.push(placed.quote);
                return None;
            }
            Event::Rejected(rejected) => format!("rejected {}", rejected.reason.info().name),
            Event::RfqTaken(taken) => {
                let (rfq, price) = (self.rfq_index(taken.rfq), taken.price.raw());
                format!("taken {rfq} {price} x{} remaining={}", taken.quantity, taken.remaining)
            }
            Event::RfqClosed(closed) => {
                let (rfq, awarded) = (self.rfq_index(closed.rfq), closed.awarded);
                let paid = closed.clearing_price.map(Micros::raw);
                format!("closed {rfq} awarded={awarded} paid={paid:?}")
            }
            Event::Awarded(awarded) => self.words_of_award(awarded),
            Event::ContractSettled(settled) => {
                let (who, released) = (self.who(settled.parties.provider), settled.released.raw());
                let (penalty, fee) = (settled.penalty.raw(), settled.fee.raw());
                format!("settled {who} {released} penalty={penalty} fee={fee}")
            }
            Event::ContractExpired(expired) => {
                let (who, refunded) = (self.who(expired.parties.buyer), expired.refunded.raw());
                format!("expired {who} {refunded} {}", expired.compensation.raw())
            }
            Event::ContractTakenOver(over) => {
                let (who, by) = (self.who(over.parties.provider), self.who(over.successor));
                format!("taken_over {who} by {by} {}", over.compensation.raw())
            }
            Event::StandbyEnded(ended) => self.words_of_standby(ended),
            Event::ReputationChanged(changed) => {
                let who = self.who(changed.agent);
                format!("reputation {who} {} -> {}", changed.from_bps, changed.to_bps)
            }
            Event::ProviderSuspended(suspended) => {
                let (who, until) = (self.who(suspended.provider), Self::in_us(suspended.until));
                format!("suspended {who} {until} {}", suspended.fades)
            }
            _ => return None,
        })
    }

    fn words_of_award(&mut self, awarded: &Awarded) -> String {
        self.contracts.push(awarded.contract);
        let (rfq, who) = (self.rfq_index(awarded.rfq), self.who(awarded.parties.provider));
        let parts = awarded.breakdown;
        let score = parts.price.raw() + parts.latency.raw() + parts.reputation.raw();
        format!(
            "awarded {rfq} {who} {} x{} score={score} reputation={} bond={}{}",
            awarded.price.raw(),
            awarded.quantity,
            parts.reputation_bps,
            awarded.bond.raw(),
            if awarded.takes_over.is_some() { " takes over" } else { "" },
        )
    }

    fn words_of_standby(&self, ended: &StandbyEnded) -> String {
        let (rfq, who) = (self.rfq_index(ended.rfq), self.who(ended.provider));
        let Some(reason) = ended.reason else {
            return format!("standby_ended {rfq} {who} takes over");
        };
        let (name, paid) = (reason.info().name, ended.winning_price.map(Micros::raw));
        format!("standby_ended {rfq} {who} {name} {} {paid:?}", ended.rank)
    }
}
