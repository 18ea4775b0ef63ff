//! Whose a quote or an RFQ is.

use gavel_protocol::{AccountId, AgentId};
use rkyv::{Archive, Deserialize, Serialize};

/// An agent, and the account it acts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Owner {
    /// The agent.
    pub agent: AgentId,
    /// Its account.
    pub account: AccountId,
    /// Where both are kept.
    pub slots: Slots,
}

/// Where an agent and its account are kept: their places in the order of enrolment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct Slots {
    /// The agent's.
    pub agent: u32,
    /// The account's.
    pub account: u32,
}
