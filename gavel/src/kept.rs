//! What a journal keeps of what clients were told: every acknowledged command must be in it, with
//! the outcome that was acknowledged.

use std::collections::HashMap;

use gavel_protocol::{AgentId, Outcome};
use gavel_sequencer::Batch;
use gavel_simulator::load::{Ack, AckKey};

/// The accepted commands of a journal.
#[derive(Debug, Default)]
pub struct Kept {
    outcomes: HashMap<(AgentId, AckKey), Outcome>,
}

impl Kept {
    /// Adds the accepted commands of a batch.
    pub fn add(&mut self, batch: &Batch) {
        for step in batch.steps() {
            let request = &step.stamped.request;
            let outcome = step.events.first().map(|event| event.outcome());
            if let (Some(key), Some(Ok(outcome))) = (AckKey::of(&request.command), outcome) {
                self.outcomes.insert((request.agent, key), outcome);
            }
        }
    }

    /// Returns how many commands were accepted.
    pub fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// Returns whether an acknowledged command is in the journal as it was acknowledged.
    pub fn has(&self, ack: &Ack) -> bool {
        self.outcomes.get(&(ack.agent, ack.key)) == Some(&ack.outcome)
    }
}
