//! One module per command of the command line.

pub mod audit;
pub mod backup;
pub mod band;
pub mod book;
pub mod demo;
pub mod enrol;
pub mod explain;
pub mod halt;
pub mod list;
pub mod project;
pub mod quote;
pub mod replay;
pub mod rfq;
pub mod script;
pub mod sim;
pub mod sim_market;
pub mod sim_world;
pub mod snapshot;
pub mod solve;
pub mod up;
pub mod verify;

use std::future::Future;
use std::path::Path;

use anyhow::{Context as _, bail};
use gavel_client::{Client, EventStream, StreamEvent, StreamItem};
use gavel_protocol::{CapabilityEntry, Name, PrivateEvent};
use gavel_sequencer::{Reach, Source};

use crate::args::JournalArg;
use crate::data_dir::DataDir;

/// Runs a future on a runtime of one thread.
fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(future)
}

/// Opens the journal that a projection or an audit log is made of. What is made anew gives something up first: then
/// nobody else may write that, or delete old records, meanwhile.
async fn source(journal: &JournalArg, data: &DataDir, is_rebuilt: bool) -> anyhow::Result<Source> {
    let place = journal.place_of_existing(data)?;
    let journal = match is_rebuilt {
        true => place.open_existing().await?,
        false => place.open_to_read().await?,
    };
    let (journal, snapshots) = (journal.into_reader(), Some(data.snapshots()));
    Ok(Source { journal, snapshots, reach: Reach::default() })
}

/// Returns when the process is asked to end.
async fn asked_to_end() -> anyhow::Result<()> {
    listen_for_end()?.await;
    Ok(())
}

/// Listens from now on for the process being asked to end.
fn listen_for_end() -> anyhow::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Returns a listed capability by its name.
async fn capability(client: &Client, name: &Name) -> anyhow::Result<CapabilityEntry> {
    let listed = client.capabilities().await.context("cannot ask for the capabilities")?;
    let found = listed.into_iter().find(|entry| entry.name == *name);
    found.with_context(|| format!("no capability {name}; the operator can `gavel list {name}`"))
}

/// Reads a file.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Waits for what happens to the agent next.
async fn next_private(events: &mut EventStream) -> anyhow::Result<PrivateEvent> {
    loop {
        let item = events.next().await.context("the exchange has ended the stream")?;
        match item? {
            StreamItem::Event(_, StreamEvent::Private(event)) => return Ok(event),
            StreamItem::Event(_, StreamEvent::Public(_)) => {}
            StreamItem::Resync { .. } => bail!(
                "events were missed while the connection was away; see `gavel replay` for them"
            ),
        }
    }
}
