//! What an agent may ask of its own state.

use alloc::vec::Vec;

use gavel_matcher::StandingQuote;
use gavel_protocol::limits::STATEMENT_LINES_MAX;
use gavel_protocol::{
    AccountStatement, AgentId, ContractEntry, QuoteEntry, RfqEntry, StandingEntry, Statement,
    TimestampNs,
};

use crate::exchange::Exchange;

impl Exchange {
    /// Returns the agent's state as of `ts_event`, or `None` if it is not enrolled. Each list is cut
    /// at [`STATEMENT_LINES_MAX`].
    ///
    /// The time is that of the question: the time of the last command would tell the agent when
    /// somebody else had sent one.
    pub fn statement(&self, agent: AgentId, ts_event: TimestampNs) -> Option<Statement> {
        let owner = self.directory.owner(agent)?;
        let known = self.directory.at(owner.slots.agent);
        let suspended_until = self.clock.sequenced(known.fades.suspended_until);
        let mut truncated = false;
        let rfqs = take(&mut truncated, self.rfqs.rfqs_of(owner.slots.agent), |rfq| RfqEntry {
            rfq: rfq.id,
            closes_at: self.clock.sequenced(rfq.closes_at),
            terms: rfq.terms,
        });
        let quotes = self.rfqs.quotes_of(owner.slots.agent);
        let quotes = quotes.filter(|quote| quote.declined.is_none());
        let quotes = take(&mut truncated, quotes, |quote| QuoteEntry {
            quote: quote.id,
            rfq: quote.rfq,
            offer: quote.offer,
        });
        let standing = self.standing.open_of(owner.slots.agent).filter(StandingQuote::is_live);
        let standing = take(&mut truncated, standing, |quote| StandingEntry {
            capability: quote.capability,
            provider: agent,
            revision: quote.revision,
            price: quote.price,
            latency_ms: quote.latency_ms,
            capacity: quote.capacity,
            valid_until: quote.valid_until,
        });
        let contracts = take(&mut truncated, self.contracts_of_agents.of(agent), |slot| {
            let contract = self.contracts.at(slot);
            ContractEntry {
                contract: contract.id,
                parties: contract.parties,
                state: contract.state,
                escrow: contract.escrow,
                currency: contract.currency,
                due: self.clock.sequenced(contract.deadline().0),
            }
        });
        let money = self.ledger.balances_of(owner.account);
        let accounts = take(&mut truncated, money, |(currency, balance)| AccountStatement {
            currency,
            available: balance.available,
            held: balance.held,
            escrow: balance.escrow,
            bonds: balance.bonds,
        });
        Some(Statement {
            ts_event,
            reputation_bps: known.reputation.at(self.clock.market(ts_event)),
            suspended_until: (suspended_until > ts_event).then_some(suspended_until),
            accounts,
            rfqs,
            quotes,
            standing,
            contracts,
            truncated,
        })
    }
}

fn take<T, U>(
    truncated: &mut bool,
    mut from: impl Iterator<Item = T>,
    line: impl Fn(T) -> U,
) -> Vec<U> {
    let lines = from.by_ref().take(STATEMENT_LINES_MAX).map(line).collect();
    *truncated |= from.next().is_some();
    lines
}
