//! Looking ahead: reads what the next commands will read, all of them at once.
//!
//! A command that comes alone waits for memory several times in a row: for the agent, for where its
//! quote is, for the quote. Read for many commands beforehand, these waits pass side by side. Nothing
//! changes and nothing is decided here: without it the same happens, slower.

use core::hint::black_box;

use gavel_protocol::{
    AgentId, CapabilityId, Command, ContractId, DurationNs, QuoteTarget, Request, RfqTarget,
};

use crate::exchange::Exchange;
use crate::limits::LOOK_AHEAD_MAX;

impl Exchange {
    /// Reads what `requests` are about, before they are applied. Worth it for a handful to a few
    /// dozen of them: what is read must still be near when its turn comes.
    pub fn look_ahead<'a>(&self, requests: impl Iterator<Item = &'a Request> + Clone) {
        let mut client_ids = 0;
        for Request { agent, command } in requests.clone() {
            self.directory.look_ahead(*agent);
            if let Some(client_id) = command.client_id() {
                self.client_ids.look_ahead(*agent, client_id);
                client_ids += 1;
            }
            if let Some(capability) = standing(command) {
                self.standing.look_ahead(*agent, capability);
            }
        }
        self.client_ids.look_ahead_oldest(client_ids);
        let mut slots = [None; LOOK_AHEAD_MAX];
        for (slot, Request { agent, command }) in slots.iter_mut().zip(requests.clone()) {
            black_box(self.directory.agent(*agent).map(|agent| agent.account));
            if let Some(client_id) = command.client_id() {
                black_box(self.client_ids.find(*agent, client_id).is_some());
            }
            if let Some(capability) = standing(command) {
                *slot = self.standing.slot(*agent, capability);
            }
        }
        for slot in slots.into_iter().flatten() {
            self.standing.look_ahead_at(slot);
        }
        for Request { agent, command } in requests {
            self.look_up_target(*agent, command);
        }
    }

    fn look_up_target(&self, agent: AgentId, command: &Command) {
        match command {
            Command::PlaceQuote(c) => {
                let rfq = self.rfqs.slot(c.rfq).map(|slot| self.rfqs.at(slot).closes_at);
                black_box(rfq);
                if let Some(owner) = self.directory.owner(agent) {
                    black_box(self.rfqs.answer_of(c.rfq, owner.account).is_some());
                    black_box(self.exposures.at(owner.slots.account).quotes);
                }
            }
            Command::OpenRfq(c) if c.rfq.window == DurationNs::ZERO => {
                self.standing.look_ahead_best(c.rfq.capability, |agent_slot| {
                    black_box(self.directory.at(agent_slot).reputation);
                });
            }
            Command::CancelRfq(c) => {
                if let RfqTarget::Id(rfq) = c.target {
                    black_box(self.rfqs.slot(rfq).map(|slot| self.rfqs.at(slot).closes_at));
                }
            }
            Command::CancelQuote(c) => {
                if let QuoteTarget::Id(quote) = c.target {
                    black_box(self.rfqs.quote(quote).map(|quote| quote.priority));
                }
            }
            Command::Deliver(c) => self.look_up_contract(c.contract),
            Command::AcceptDelivery(c) => self.look_up_contract(c.contract),
            Command::SetStandingQuote(_)
            | Command::CancelStandingQuote(_)
            | Command::OpenRfq(_)
            | Command::AmendQuote(_)
            | Command::StartWork(_)
            | Command::DeclineRfq(_)
            | Command::TakeRfq(_)
            | Command::PickQuote(_)
            | Command::MassQuote(_)
            | Command::MassCancel(_)
            | Command::QuoteBundles(_)
            | Command::ProposeAllocation(_)
            | Command::SignEnvelope(_)
            | Command::SetPriceBand(_)
            | Command::EnrolAccount(_)
            | Command::EnrolAgent(_)
            | Command::ListCapability(_)
            | Command::Deposit(_)
            | Command::Halt(_)
            | Command::Reopen(_)
            | Command::Found(_)
            | Command::Logon(_)
            | Command::SessionLost(_)
            | Command::AdvanceTime(_)
            | Command::Resume(_)
            | Command::Upgrade(_) => {}
        }
    }

    fn look_up_contract(&self, contract: ContractId) {
        black_box(self.contracts.slot(contract).map(|slot| self.contracts.at(slot).state));
    }
}

/// Returns the capability of a standing quote that is changed.
fn standing(command: &Command) -> Option<CapabilityId> {
    if let Command::SetStandingQuote(c) = command {
        return Some(c.capability);
    }
    if let Command::CancelStandingQuote(c) = command {
        return Some(c.capability);
    }
    None
}
