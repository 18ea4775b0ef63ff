//! The answers of one batch, gathered per connection, so that a connection is looked up, locked and
//! woken once per batch however many answers it gets.

use std::collections::HashMap;
use std::sync::Arc;

use gavel_protocol::ServerMessage;
use gavel_sequencer::Origin;
use rustc_hash::FxBuildHasher;

use crate::connection::Connection;
use crate::fan_out::Connections;

/// Answers that wait to be flushed.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Where a connection's answers are; none for a connection that has ended.
    places: HashMap<u64, Option<usize>, FxBuildHasher>,
    gathered: Vec<Gathered>,
    /// Memory to use again.
    spare: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Gathered {
    connection: Arc<Connection>,
    frames: Vec<u8>,
}

impl Answers {
    /// Adds an answer to `origin`.
    pub fn push(&mut self, connections: &Connections, origin: Origin, answer: &ServerMessage) {
        let Self { places, gathered, spare } = self;
        let place = *places.entry(origin.connection).or_insert_with(|| {
            let connection = connections.find(origin.connection)?;
            gathered.push(Gathered { connection, frames: spare.pop().unwrap_or_default() });
            Some(gathered.len() - 1)
        });
        if let Some(place) = place {
            let Gathered { connection, frames } = &mut gathered[place];
            answer.encode(connection.codec, origin.session_seq, frames);
        }
    }

    /// Leaves each connection its answers.
    pub fn flush(&mut self) {
        self.places.clear();
        for Gathered { connection, mut frames } in self.gathered.drain(..) {
            connection.send(&connection.session_stream, &mut frames);
            self.spare.push(frames);
        }
    }
}
