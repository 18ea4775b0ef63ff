//! The mixed flow, written into a journal.

use gavel_gateway::FanOut;
use gavel_sequencer::journal::{AnyJournal, Head, Journal as _};
use gavel_sequencer::{Snapshots, make_snapshot};

use crate::bench::market::Tape;
use crate::bench::mixed::{Mix, Model};

/// Commands that are drawn before they are written.
const DRAWN: usize = 1_000;

/// A flow and the journal that it is written into.
pub struct Flow {
    model: Model,
    journal: AnyJournal,
    seq: u64,
}

impl Flow {
    /// Makes the market that the flow continues. The journal must be empty.
    pub fn start(mix: Mix, seed: u64, journal: AnyJournal) -> anyhow::Result<Self> {
        anyhow::ensure!(journal.head() == Head::EMPTY, "there is a journal already");
        Ok(Self { model: Model::new(mix, seed, Some(Tape::default()))?, journal, seq: 0 })
    }

    /// Goes on until the journal has so many commands.
    pub async fn until(&mut self, commands: u64) -> anyhow::Result<()> {
        loop {
            let records = self.model.market.tape().map(Tape::take).unwrap_or_default();
            for record in records {
                self.journal.append(&record).await?;
                self.seq = record.last_seq;
            }
            if self.seq >= commands {
                return Ok(());
            }
            for _ in 0..DRAWN {
                self.model.draw();
            }
            self.model.stream.clear();
        }
    }

    /// Makes a snapshot of what the journal comes to, and returns the command that it stands for.
    pub async fn snapshot(&mut self, snapshots: &Snapshots) -> anyhow::Result<u64> {
        Ok(make_snapshot(&mut self.journal, Head::EMPTY, snapshots, FanOut::new()).await?)
    }

    /// Lets go of the journal.
    pub async fn stop(self) -> anyhow::Result<()> {
        Ok(self.journal.close().await?)
    }
}
