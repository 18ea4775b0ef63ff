//! Who gets what of what happened: answers to whoever asked, events to the agents they concern and
//! to the public topics. Nothing about a sealed quote goes to another agent before its close.
//!
//! Runs on the journal's thread once a batch is durable, and never waits for anybody: it appends to
//! buffers, and wakes each touched connection once per batch.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dashmap::DashMap;
use gavel_protocol::{
    Accepted, AgentId, Book, Bug, CloseReason, Codec, Command, Event, MassQuote, MassQuoteAnswer,
    Name, RejectedAnswer, SequencedAnswer, ServerMessage, SessionId, StreamPosition, TimestampNs,
};
use gavel_sequencer::{
    Batch, Consumer, Origin, Part, QueryAnswer, RestoreError, StepView, StreamEvent,
};
use prometheus_client::metrics::counter::Counter;
use rustc_hash::FxBuildHasher;

use crate::answers::Answers;
use crate::blob_index::BlobIndex;
use crate::connection::{Connection, Decision};
use crate::directory::Directory;
use crate::lock::lock;
use crate::metrics::Metrics;
use crate::overheard::Overheard;
use crate::problems::{Problems, Solvers};
use crate::saved::{Edge, Saved};
use crate::sessions::Sessions;
use crate::splitter::{Sink, split_step};
use crate::streams::{StreamKey, Streams};

/// The edge's memory of the market, and its way out.
#[derive(Debug, Default)]
pub struct FanOut {
    pub(crate) directory: Directory,
    pub(crate) sessions: Sessions,
    pub(crate) streams: Mutex<Streams>,
    pub(crate) blobs: Mutex<BlobIndex>,
    pub(crate) problems: Problems,
    pub(crate) metrics: Metrics,
    pub(crate) connections: Connections,
    answers: Mutex<Answers>,
    /// The latest sequenced time that everybody may know. Not simply the latest: that would tell
    /// when somebody placed a sealed quote.
    ts_public: AtomicU64,
    journal_failed: AtomicBool,
}

/// The open connections.
#[derive(Debug, Default)]
pub(crate) struct Connections {
    open: DashMap<u64, Arc<Connection>, FxBuildHasher>,
    last: AtomicU64,
}

impl FanOut {
    /// Makes one that has seen nothing yet. It must see every batch from the first one on, or be
    /// restored to what another had seen.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Lets `solvers` solve the problems of combinatorial RFQs, those first that wait already.
    pub fn set_solvers(&self, solvers: Box<dyn Solvers>) {
        self.problems.set_solvers(solvers);
    }

    /// Returns the exchange's name, once it is founded.
    pub fn exchange(&self) -> Option<Name> {
        self.directory.exchange()
    }

    /// Returns whether the journal has failed: nothing is acknowledged any more.
    pub fn has_journal_failed(&self) -> bool {
        self.journal_failed.load(Ordering::Acquire)
    }

    /// Returns the latest sequenced time that everybody may know.
    pub(crate) fn ts_public(&self) -> TimestampNs {
        TimestampNs::from_nanos(self.ts_public.load(Ordering::Relaxed))
    }

    fn publish_step<S: Sink>(
        &self,
        step: &StepView<'_>,
        answers: &mut Answers,
        streams: &mut S,
        before: impl FnMut(&mut S, &Event),
    ) {
        if let (Some(origin), Some(first)) = (step.origin, step.events.first()) {
            self.answer(step, origin, first, answers);
        }
        if let (Command::SessionLost(lost), Some(Event::Rejected(_))) =
            (&step.stamped.request.command, step.events.first())
        {
            // The core knows no such session: then there is nothing left to end.
            self.end_session(lost.agent, lost.session);
        }
        if split_step(self, step, streams, before) {
            self.ts_public.store(step.stamped.ts_event.nanos(), Ordering::Relaxed);
        }
    }

    fn answer(&self, step: &StepView<'_>, origin: Origin, first: &Event, answers: &mut Answers) {
        let stamped = step.stamped;
        if let Command::Logon(_) = stamped.request.command {
            return self.decide(stamped.ts_event, origin, first);
        }
        if let Command::MassQuote(quote) = &stamped.request.command {
            let answer = mass_quote_answer(step, quote, origin.part);
            return answers.push(&self.connections, origin, &answer);
        }
        let answer = match first.outcome() {
            Err(reason) => ServerMessage::Rejected(RejectedAnswer::of(reason)),
            Ok(outcome) => {
                let earlier = if let Event::Repeated(e) = first { Some(e.ts_event) } else { None };
                let repeated = earlier.is_some() && !Bug::AnswerNotMarkedRepeated.is_planted();
                let ts_event = earlier.unwrap_or(stamped.ts_event);
                ServerMessage::Accepted(Accepted { ts_event, repeated, outcome })
            }
        };
        answers.push(&self.connections, origin, &answer);
    }

    /// Passes the core's word on a logon to its connection.
    fn decide(&self, ts_event: TimestampNs, origin: Origin, first: &Event) {
        let Event::LoggedOn(logged_on) = first else {
            if let Some(connection) = self.connections.find(origin.connection) {
                connection.close(CloseReason::LogonRefused);
            }
            return;
        };
        let (session, resumed) = (logged_on.session, logged_on.resumed);
        let live = || self.connections.find(origin.connection);
        let entered = self.sessions.logged_on(logged_on.agent, session, live);
        if let Some(superseded) = entered.superseded {
            superseded.close(CloseReason::Superseded);
        }
        if let Some(connection) = self.connections.find(origin.connection) {
            let numbering = entered.numbering;
            connection.decide(Decision { session, resumed, ts_event, numbering });
        }
        self.count_sessions();
    }

    fn query_answer(&self, answer: &QueryAnswer, streams: &Streams) -> ServerMessage {
        match answer {
            QueryAnswer::Statement(statement) => ServerMessage::Statement((**statement).clone()),
            QueryAnswer::Book(book) => {
                let key = StreamKey::Capability(book.capability);
                let next = StreamPosition { stream_seq: streams.next(key) };
                ServerMessage::Book(Book { next, ..(**book).clone() })
            }
            QueryAnswer::Rejected(reason) => ServerMessage::Rejected(RejectedAnswer::of(*reason)),
        }
    }

    pub(crate) fn end_session(&self, agent: AgentId, session: SessionId) {
        if let Some(connection) = self.sessions.ended(agent, session) {
            // It came back too late: the core had already been asked to end the session.
            connection.close(CloseReason::HeartbeatMissed);
        }
        self.count_sessions();
    }

    fn count_sessions(&self) {
        let count = i64::try_from(self.sessions.count()).unwrap_or(i64::MAX);
        self.metrics.sessions.set(count);
    }
}

impl Consumer for FanOut {
    fn sequenced(&self, origin: Origin, ts_event: TimestampNs) {
        if let Some(connection) = self.connections.find(origin.connection) {
            let answer = ServerMessage::Sequenced(SequencedAnswer { ts_event });
            connection.send_message(origin.session_seq, &answer);
        }
    }

    fn published(&self, batch: &Batch) {
        let mut answers = lock(&self.answers);
        {
            let mut streams = lock(&self.streams);
            for step in batch.steps() {
                self.publish_step(&step, &mut answers, &mut *streams, |_, _| ());
            }
            streams.flush();
            // Queries are answered as of the end of the batch, and so are the streams' numbers.
            for (origin, answer) in &batch.query_answers {
                answers.push(&self.connections, *origin, &self.query_answer(answer, &streams));
            }
        }
        answers.flush();
    }

    fn replayed(
        &self,
        batch: &Batch,
        wanted: fn(&Event) -> bool,
        put: &mut dyn FnMut(u64, StreamEvent),
    ) {
        let (mut answers, mut streams) = (lock(&self.answers), lock(&self.streams));
        let mut overheard = Overheard::new(&mut streams, wanted, put);
        for step in batch.steps() {
            self.publish_step(&step, &mut answers, &mut overheard, Overheard::begin);
        }
    }

    fn journal_failed(&self) {
        self.journal_failed.store(true, Ordering::Release);
        self.metrics.journal_failed.set(1);
        self.connections.close_all(CloseReason::Unavailable);
    }

    /// Saves what depends on history. Who is connected does not, and what the exchange's own solvers
    /// have taken is not here any more: save one that has neither.
    fn snapshot(&self) -> Vec<u8> {
        let edge = Edge {
            directory: self.directory.saved(),
            blobs: lock(&self.blobs).saved(),
            problems: self.problems.saved(),
            ts_public: self.ts_public(),
            counted: self.metrics.history().map(Counter::get),
        };
        edge.to_bytes(lock(&self.streams).saved())
    }

    fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        let Saved { edge, streams } = Saved::from_bytes(bytes)?;
        let Edge { directory, blobs, problems, ts_public, counted } = edge;
        self.directory.restore(directory);
        *lock(&self.blobs) = BlobIndex::restored(blobs);
        self.problems.restore(problems);
        self.ts_public.store(ts_public.nanos(), Ordering::Relaxed);
        for (counter, count) in self.metrics.history().into_iter().zip(counted) {
            counter.inner().store(count, Ordering::Relaxed);
        }
        *lock(&self.streams) = streams;
        Ok(())
    }
}

/// Answers the lines of a part of a mass quote.
fn mass_quote_answer(step: &StepView<'_>, quote: &MassQuote, part: Part) -> ServerMessage {
    let mut results = vec![None; quote.lines.len()];
    for event in step.events {
        if let Event::Rejected(rejected) = event {
            results.fill(Some(rejected.reason));
        } else if let Event::LineRejected(rejected) = event {
            results[rejected.line as usize] = Some(rejected.reason);
        }
    }
    ServerMessage::MassQuoteAnswer(MassQuoteAnswer {
        ts_event: step.stamped.ts_event,
        first_line: part.first_line,
        results,
        last: part.last,
    })
}

impl Connections {
    /// Enters a new connection.
    pub fn open(&self, codec: Codec) -> Arc<Connection> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let connection = Arc::new(Connection::new(id, codec));
        self.open.insert(id, Arc::clone(&connection));
        connection
    }

    /// Forgets a connection.
    pub fn remove(&self, id: u64) {
        self.open.remove(&id);
    }

    /// Returns an open connection.
    pub fn find(&self, id: u64) -> Option<Arc<Connection>> {
        self.open.get(&id).map(|entry| Arc::clone(&entry))
    }

    /// Tells every connection to end.
    pub fn close_all(&self, reason: CloseReason) {
        for entry in &self.open {
            entry.close(reason);
        }
    }
}

#[cfg(test)]
mod tests;
