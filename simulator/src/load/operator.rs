//! The operator of a load: lists capabilities, and tops up buyers that have spent their money.

use std::sync::Arc;

use gavel_client::{Client, ClientError, CommandError, Config, Socket};
use gavel_protocol::{AccountId, CapabilityEntry, Command, Deposit, ListCapability, Micros, Name};
use tokio::sync::mpsc;

use super::blobs::{TERMS, digest_of};
use super::config::CURRENCY;
use super::desk::{Desk, Records};
use super::error::LoadError;

/// Kinds of work that agents do.
const CAPABILITIES: [&str; 8] =
    ["ocr", "translate", "summarise", "transcribe", "classify", "extract", "proofread", "research"];

/// Money that a buyer asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopUp {
    /// Whose account.
    pub(crate) account: AccountId,
    /// How much.
    pub(crate) amount: Micros,
}

/// The operator, connected when it has something to do.
pub(crate) struct Operator {
    socket: Socket,
    config: Config,
    records: Arc<Records>,
    desk: Option<Desk>,
}

impl Operator {
    /// Makes an operator that is not connected yet.
    pub(crate) fn new(socket: Socket, config: Config, records: Arc<Records>) -> Self {
        Self { socket, config, records, desk: None }
    }

    /// Returns the operator's desk, connecting if the last connection ended: an operator has one
    /// session, and a person with the same key may have taken it over.
    pub(crate) async fn desk(&mut self) -> Result<&Desk, ClientError> {
        let desk = match self.desk.take() {
            Some(desk) => desk,
            None => {
                let client = Client::connect_over(&self.socket, self.config.clone()).await?;
                let (agent, records) = (client.identity().agent, Arc::clone(&self.records));
                Desk { client, agent, records }
            }
        };
        Ok(self.desk.insert(desk))
    }

    /// Returns `count` capabilities, listing those that are not listed yet.
    pub(crate) async fn capabilities(
        &mut self,
        count: u32,
    ) -> Result<Vec<CapabilityEntry>, LoadError> {
        let desk = self.desk().await.map_err(operator_refused)?;
        let terms = digest_of(TERMS);
        let names: Vec<Name> = (0..count as usize).map(capability_name).collect();
        let listed = desk.client.capabilities().await.map_err(LoadError::Listing)?;
        for name in names.iter().filter(|name| listed.iter().all(|entry| entry.name != **name)) {
            let (client_id, currency) = (desk.client.next_client_id(), CURRENCY);
            let list = ListCapability { client_id, name: *name, currency, terms };
            desk.call(Command::ListCapability(list)).await.map_err(LoadError::Listing)?;
        }
        let mut listed = desk.client.capabilities().await.map_err(LoadError::Listing)?;
        listed.retain(|entry| names.contains(&entry.name));
        match listed.iter().find(|entry| entry.currency != CURRENCY) {
            Some(&CapabilityEntry { name, currency, .. }) => {
                Err(LoadError::OtherCurrency { name, currency })
            }
            None => Ok(listed),
        }
    }

    /// Tops up whoever asks, until nobody can ask any more.
    pub(crate) async fn run(mut self, mut requests: mpsc::Receiver<TopUp>) {
        while let Some(top_up) = requests.recv().await {
            self.top_up(top_up).await;
        }
        if let Some(desk) = self.desk {
            desk.client.close().await;
        }
    }

    async fn top_up(&mut self, top_up: TopUp) {
        let mut answer = self.try_top_up(top_up).await;
        if let Err(CommandError::Connection(_)) = answer {
            // Somebody else has taken the session over: a new one will do.
            answer = self.try_top_up(top_up).await;
        }
        if let Err(error) = answer {
            tracing::warn!(%error, account = %top_up.account, "cannot top up a buyer");
        }
    }

    async fn try_top_up(&mut self, top_up: TopUp) -> Result<(), CommandError> {
        let desk = self.desk().await?;
        let answer = desk.call(deposit(desk, top_up)).await;
        if let Err(CommandError::Connection(_)) = answer {
            self.desk = None;
        }
        answer.map(|_| ())
    }
}

/// Returns the command that credits money.
pub(crate) fn deposit(desk: &Desk, TopUp { account, amount }: TopUp) -> Command {
    let client_id = desk.client.next_client_id();
    Command::Deposit(Deposit { client_id, account, amount, currency: CURRENCY })
}

/// Returns why there is no market.
pub(crate) fn operator_refused(source: ClientError) -> LoadError {
    LoadError::LoggingOn { who: "the operator", source }
}

/// Returns the name of a capability: plain at first, then numbered.
fn capability_name(index: usize) -> Name {
    let (kind, round) = (CAPABILITIES[index % CAPABILITIES.len()], index / CAPABILITIES.len());
    let name = if round == 0 { kind.to_owned() } else { format!("{kind}-{}", round + 1) };
    name.parse().expect("every kind of work is a name, and stays one with a short number")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CAPABILITIES_MAX;
    use std::collections::BTreeSet;

    #[test]
    fn every_capability_has_a_name_of_its_own() {
        let names: BTreeSet<_> = (0..CAPABILITIES_MAX as usize).map(capability_name).collect();
        assert_eq!(names.len(), CAPABILITIES_MAX as usize);
        assert!(names.contains(&"ocr".parse().unwrap()));
        assert!(names.contains(&"translate-2".parse().unwrap()));
    }
}
