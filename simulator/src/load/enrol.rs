//! Before the trading: enrols the agents, credits the buyers, connects everybody.

use gavel_client::{Client, CommandError, SigningKey, Socket};
use gavel_protocol::limits::AMOUNT_MAX;
use gavel_protocol::{
    Accepted, AccountId, Attributes, Command, EnrolAccount, EnrolAgent, Micros, Outcome, PublicKey,
    RejectReason, Role, Roles,
};
use tokio::task::JoinSet;

use super::config::LoadConfig;
use super::desk::Desk;
use super::error::LoadError;
use super::operator::{Operator, TopUp, deposit, operator_refused};
use super::seed;
use crate::limits::{CONNECTING_MAX, KEY_ATTEMPTS_MAX};

/// An agent that was enrolled: the first ones are the buyers.
pub(crate) struct Enrolled {
    /// Its place among all agents.
    pub(crate) index: u32,
    /// Its account.
    pub(crate) account: AccountId,
    /// What it logs on with.
    pub(crate) key: SigningKey,
}

/// Enrols every agent, each with an account of its own.
pub(crate) async fn enrol(
    config: &LoadConfig,
    salt: u64,
    operator: &mut Operator,
) -> Result<Vec<Enrolled>, LoadError> {
    let desk = operator.desk().await.map_err(operator_refused)?;
    let mut enrolled: Vec<Enrolled> = Vec::new();
    let mut waiting = enrol_accounts(config.buyers + config.providers, desk).await?;
    for attempt in 0..KEY_ATTEMPTS_MAX {
        let tried: Vec<_> = (waiting.drain(..))
            .map(|(index, account)| {
                let key = seed::key(config.seed, salt, index, attempt);
                Enrolled { index, account, key }
            })
            .collect();
        let commands = tried.iter().map(|agent| enrol_agent(config, desk, agent));
        let answers = desk.call_all(commands).await.map_err(operator_refused)?;
        for (agent, answer) in tried.into_iter().zip(answers) {
            if was_taken(&answer) {
                waiting.push((agent.index, agent.account));
            } else {
                answer.map_err(LoadError::Enrolling)?;
                enrolled.push(agent);
            }
        }
        if waiting.is_empty() {
            enrolled.sort_unstable_by_key(|agent| agent.index);
            return Ok(enrolled);
        }
    }
    Err(LoadError::KeysTaken)
}

/// Enrols accounts, and numbers them.
async fn enrol_accounts(count: u32, desk: &Desk) -> Result<Vec<(u32, AccountId)>, LoadError> {
    let transaction_max = Micros::new(AMOUNT_MAX);
    let commands = (0..count).map(|_| {
        let client_id = desk.client.next_client_id();
        Command::EnrolAccount(EnrolAccount { client_id, transaction_max })
    });
    let mut accounts = Vec::new();
    for (index, answer) in (0..).zip(desk.call_all(commands).await.map_err(operator_refused)?) {
        if let Outcome::Account(account) = answer.map_err(LoadError::Enrolling)?.outcome {
            accounts.push((index, account));
        }
    }
    Ok(accounts)
}

fn enrol_agent(config: &LoadConfig, desk: &Desk, agent: &Enrolled) -> Command {
    let role = if agent.index < config.buyers { Role::Buyer } else { Role::Provider };
    Command::EnrolAgent(EnrolAgent {
        client_id: desk.client.next_client_id(),
        account: agent.account,
        key: PublicKey::new(agent.key.verifying_key().to_bytes()),
        roles: Roles::default().with(role),
        attributes: Attributes::default(),
    })
}

fn was_taken(answer: &Result<Accepted, CommandError>) -> bool {
    answer.as_ref().is_err_and(|error| error.reason() == Some(RejectReason::KeyTaken))
}

/// Gives every buyer its first money.
pub(crate) async fn credit(
    config: &LoadConfig,
    buyers: &[Enrolled],
    operator: &mut Operator,
) -> Result<(), LoadError> {
    let desk = operator.desk().await.map_err(operator_refused)?;
    let amount = config.deposit;
    let commands =
        buyers.iter().map(|buyer| deposit(desk, TopUp { account: buyer.account, amount }));
    for answer in desk.call_all(commands).await.map_err(operator_refused)? {
        answer.map_err(LoadError::Depositing)?;
    }
    Ok(())
}

/// Connects every agent, a few at a time, and returns the clients in the order of the agents.
pub(crate) async fn connect(
    config: &LoadConfig,
    socket: &Socket,
    agents: &[Enrolled],
) -> Result<Vec<Client>, LoadError> {
    let mut connected = Vec::new();
    let mut connecting = JoinSet::new();
    let mut waiting = agents.iter();
    loop {
        while connecting.len() < CONNECTING_MAX
            && let Some(agent) = waiting.next()
        {
            let index = agent.index;
            // A provider that is gone must not be awarded; a buyer's RFQs go on without it.
            let client = config.client(agent.key.clone(), index >= config.buyers);
            let socket = socket.clone();
            connecting.spawn(async move { (index, Client::connect_over(&socket, client).await) });
        }
        let Some(joined) = connecting.join_next().await else { break };
        let (index, client) = joined.map_err(|_| LoadError::Panicked)?;
        let refused = |source| LoadError::LoggingOn { who: "an agent", source };
        connected.push((index, client.map_err(refused)?));
    }
    connected.sort_unstable_by_key(|(index, _)| *index);
    Ok(connected.into_iter().map(|(_, client)| client).collect())
}
