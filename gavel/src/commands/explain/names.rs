//! The names that people have given to agents, where the data directory knows them.

use std::collections::HashMap;

use gavel_protocol::{AccountId, AgentId, PublicKey};

use crate::commands::explain::history::History;

/// Names of agents and their accounts.
#[derive(Debug, Default)]
pub struct Names {
    agents: HashMap<AgentId, String>,
    accounts: HashMap<AccountId, String>,
}

impl Names {
    /// Takes the names of keys, as far as a journal knows these.
    pub fn new(keys: Vec<(String, PublicKey)>, history: &History) -> Self {
        let mut names = Self::default();
        for (name, key) in keys {
            let Some(agent) = history.agent(&key) else { continue };
            if let Some(account) = history.account(agent) {
                names.accounts.insert(account, name.clone());
            }
            names.agents.insert(agent, name);
        }
        names
    }

    /// Returns an agent's name, or its id.
    pub fn agent(&self, agent: AgentId) -> String {
        self.agents.get(&agent).cloned().unwrap_or_else(|| agent.to_string())
    }

    /// Returns an account's name, or its id.
    pub fn account(&self, account: AccountId) -> String {
        if account == AccountId::EXCHANGE {
            return "the exchange".into();
        }
        self.accounts.get(&account).cloned().unwrap_or_else(|| account.to_string())
    }
}
