//! Allocations that solvers propose. Nothing is taken on trust but the bound of the exchange's own
//! solvers: an allocation is worth what the exchange computes, and a bound of anybody else must come
//! with prices that prove it.

use gavel_matcher::{Phase, Problem, worth_of};
use gavel_protocol::limits::PRICE_CHECKS_PER_RFQ_MAX;
use gavel_protocol::{
    AgentId, AllocationProposed, Event, Micros, PaymentRule, ProposeAllocation, RejectReason,
};

use crate::events::Events;
use crate::exchange::Exchange;

impl Exchange {
    pub(crate) fn propose_allocation(
        &mut self,
        solver: AgentId,
        c: &ProposeAllocation,
        out: &mut Events<'_>,
    ) -> Result<(), RejectReason> {
        let is_own = solver == AgentId::EXCHANGE;
        let slot = self.open_rfq_slot(c.rfq)?;
        let rfq = *self.rfqs.at(slot);
        let at = rfq.bundles.ok_or(RejectReason::WrongFormat)?;
        let Self { rfqs, scratch, .. } = self;
        let book = rfqs.books.at_mut(at);
        if !is_own && !book.rules.external_solvers {
            return Err(RejectReason::NotInvited);
        }
        match book.clearing.phase {
            Phase::Posing(_) => return Err(RejectReason::NotClearing),
            Phase::Open => {}
            Phase::Awarding(_) | Phase::Telling(_) => return Err(RejectReason::TooLate),
        }
        let problem = book.problem();
        let surplus = problem.surplus(&c.winners, scratch);
        let surplus = surplus.ok_or(RejectReason::InfeasibleAllocation)?;
        if surplus != c.surplus {
            return Err(RejectReason::SurplusMismatch);
        }
        let reached = surplus.max(book.clearing.best.surplus);
        let proven = match &c.prices {
            Some(_) if book.clearing.price_checks >= PRICE_CHECKS_PER_RFQ_MAX => {
                return Err(RejectReason::RfqFull);
            }
            Some(prices) => {
                let proven = problem.bound(prices, scratch).ok_or(RejectReason::FalseBound)?;
                if c.bound.is_some_and(|claimed| claimed < proven) {
                    return Err(RejectReason::FalseBound);
                }
                Some(proven)
            }
            None if is_own => c.bound,
            None => None,
        };
        if c.bound.is_some_and(|bound| bound < reached) {
            return Err(RejectReason::FalseBound);
        }
        check_payments(&problem, book.rules.payment, c, is_own)?;

        let clearing = &mut book.clearing;
        let is_better = surplus > clearing.best.surplus;
        let proves_more = proven.is_some_and(|bound| clearing.bound.is_none_or(|b| bound < b));
        clearing.price_checks += u32::from(c.prices.is_some());
        // What was believed and is exceeded was no bound.
        let before = clearing.bound.filter(|bound| *bound >= reached);
        let bound = [proven, before].into_iter().flatten().min();
        // Payments are reckoned for these winners, and only for the best there are. Where nothing is
        // gained, nobody is paid more than it asks.
        let gains = surplus > Micros::ZERO && surplus >= clearing.best.surplus;
        let is_paid = !c.payments.is_empty() && gains && bound == Some(surplus);
        let brings_payments = is_paid && clearing.best.payments.is_empty();
        if !is_better && !proves_more && !brings_payments {
            return Err(RejectReason::NotBetter);
        }
        clearing.bound = bound;
        if is_better || brings_payments {
            let best = &mut clearing.best;
            (best.solver, best.surplus) = (Some(solver), surplus);
            best.winners.clear();
            best.winners.extend_from_slice(&c.winners);
            best.payments.clear();
            if is_paid {
                best.payments.extend_from_slice(&c.payments);
            }
        }
        let best = &clearing.best;
        let is_settled = book.rules.payment == PaymentRule::PayAsBid
            || !best.payments.is_empty()
            || best.surplus == Micros::ZERO;
        let is_over = clearing.is_proven() && is_settled;
        let rfq = c.rfq;
        out.push(Event::AllocationProposed(AllocationProposed { rfq, solver, surplus, bound }));
        if is_over {
            self.go_on(slot, Phase::Awarding(0));
        }
        Ok(())
    }
}

/// Checks that payments are one for each winner, between what it asks and the reserves of its items,
/// and together within the reserves of what is awarded.
fn check_payments(
    problem: &Problem<'_>,
    rule: PaymentRule,
    c: &ProposeAllocation,
    is_own: bool,
) -> Result<(), RejectReason> {
    if c.payments.is_empty() {
        return Ok(());
    }
    if !is_own || rule == PaymentRule::PayAsBid || c.payments.len() != c.winners.len() {
        return Err(RejectReason::InvalidPayments);
    }
    let mut sum = Micros::ZERO;
    for (payment, winner) in c.payments.iter().zip(&c.winners) {
        let bundle = &problem.bundles[*winner as usize];
        let most = worth_of(problem.items, &bundle.items);
        if payment.low < bundle.price || payment.low > most || payment.high < payment.low {
            return Err(RejectReason::InvalidPayments);
        }
        sum = sum.plus(payment.low).ok_or(RejectReason::InvalidPayments)?;
    }
    match sum <= worth_of(problem.items, &problem.covered(&c.winners)) {
        true => Ok(()),
        false => Err(RejectReason::InvalidPayments),
    }
}
