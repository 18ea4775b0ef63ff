//! An agent's way to the exchange: sends commands, waits for their answers, writes down what came.

use std::sync::Arc;
use std::time::Instant;

use gavel_client::{Client, ClientError, CommandError, Pending};
use gavel_protocol::{Accepted, AgentId, Command, ContractId, DurationNs, TimestampNs};
use tokio::task::JoinSet;

use super::ack_sink::AckSink;
use super::acks::{Ack, AckKey};
use super::tally::{Latency, Tally};

/// What is written down about the load.
#[derive(Debug)]
pub(crate) struct Records {
    /// Counts and latencies.
    pub(crate) tally: Tally,
    /// Acknowledgements, if anybody wants them.
    pub(crate) acks: Option<AckSink>,
}

/// One agent's client, and where what it does is written down.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    /// The agent's client.
    pub(crate) client: Client,
    /// The agent.
    pub(crate) agent: AgentId,
    /// Where everything is written down.
    pub(crate) records: Arc<Records>,
}

/// Since when the latency of a command counts, and as which.
pub(crate) type Measure = Option<(Latency, Instant)>;

impl Desk {
    /// Sends a command. The answer is written down by whoever waits for the result.
    ///
    /// # Errors
    ///
    /// If the client has ended.
    pub(crate) async fn send(
        &self,
        command: Command,
        measure: Measure,
    ) -> Result<Awaited, ClientError> {
        let (key, template) = (AckKey::of(&command), command.template_name());
        let pending = self.client.send(command).await?;
        let (agent, records) = (self.agent, Arc::clone(&self.records));
        Ok(Awaited { pending, agent, key, template, measure, records })
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    ///
    /// If it was rejected, which is counted, or the client has ended.
    pub(crate) async fn call(&self, command: Command) -> Result<Accepted, CommandError> {
        self.send(command, None).await?.answer().await
    }

    /// Sends commands without waiting in between, and returns the answers in the same order.
    ///
    /// # Errors
    ///
    /// If the client has ended. Rejects are among the answers.
    pub(crate) async fn call_all(
        &self,
        commands: impl Iterator<Item = Command>,
    ) -> Result<Vec<Result<Accepted, CommandError>>, ClientError> {
        let mut awaited = Vec::new();
        for command in commands {
            awaited.push(self.send(command, None).await?);
        }
        let mut answers = Vec::with_capacity(awaited.len());
        for awaited in awaited {
            answers.push(awaited.answer().await);
        }
        Ok(answers)
    }
}

/// A command that was sent and not yet answered.
pub(crate) struct Awaited {
    pending: Pending,
    agent: AgentId,
    key: Option<AckKey>,
    template: &'static str,
    measure: Measure,
    records: Arc<Records>,
}

impl Awaited {
    /// Waits for the answer and writes it down.
    ///
    /// # Errors
    ///
    /// If the command was rejected or will not be answered; both are counted.
    pub(crate) async fn answer(self) -> Result<Accepted, CommandError> {
        let Self { pending, agent, key, template, measure, records } = self;
        let answer = pending.await;
        match &answer {
            Ok(accepted) => {
                if let Some((latency, since)) = measure {
                    records.tally.measure(latency, since, Instant::now());
                }
                records.tally.count(|counts| counts.acknowledged += 1);
                if let (Some(acks), Some(key)) = (&records.acks, key) {
                    acks.record(Ack::new(agent, key, template, accepted)).await;
                }
            }
            Err(error) => records.tally.refused(error),
        }
        answer
    }
}

/// What one agent has under way: commands that are not answered yet, each with a note of what it was
/// for, and work on contracts.
pub(crate) struct Trader<Note> {
    /// The way to the exchange.
    pub(crate) desk: Desk,
    /// Answers to come.
    pub(crate) answers: JoinSet<(Note, Result<Accepted, CommandError>)>,
    /// Work on contracts.
    pub(crate) jobs: JoinSet<ContractId>,
}

impl<Note: Send + 'static> Trader<Note> {
    /// Makes a trader with nothing under way.
    pub(crate) fn new(desk: Desk) -> Self {
        Self { desk, answers: JoinSet::new(), jobs: JoinSet::new() }
    }

    /// Sends a command and goes on; the answer comes among [`Trader::answers`]. Waits only while the
    /// client has too many unanswered ones.
    pub(crate) async fn send(&mut self, command: Command, measure: Measure, note: Note) {
        // A client that has ended also ends its streams, and that is where the agent learns of it.
        let Ok(awaited) = self.desk.send(command, measure).await else { return };
        if let Some((_, due)) = measure {
            self.desk.records.tally.measure(Latency::Sending, due, Instant::now());
        }
        self.answers.spawn(async move { (note, awaited.answer().await) });
    }

    /// Waits for what is under way, so that every answer is written down.
    pub(crate) async fn finish(mut self) {
        while self.jobs.join_next().await.is_some() {}
        while self.answers.join_next().await.is_some() {}
    }
}

/// Sequenced time as an agent can tell it from outside: right to about the time that the fastest of
/// its answers took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExchangeClock {
    sent_at: Instant,
    ts_event: TimestampNs,
}

impl ExchangeClock {
    /// Sets the clock by a command that was sent at `sent_at` and took effect at `ts_event`.
    pub(crate) fn new(sent_at: Instant, ts_event: TimestampNs) -> Self {
        Self { sent_at, ts_event }
    }

    /// Corrects the clock by another such command, if that tells more.
    pub(crate) fn observe(&mut self, sent_at: Instant, ts_event: TimestampNs) {
        let (observed, later) = (Self::new(sent_at, ts_event), sent_at.max(self.sent_at));
        if observed.at(later) < self.at(later) {
            *self = observed;
        }
    }

    /// Returns what it shows.
    pub(crate) fn now(self) -> TimestampNs {
        self.at(Instant::now())
    }

    fn at(self, now: Instant) -> TimestampNs {
        let since = now.saturating_duration_since(self.sent_at).as_nanos();
        self.ts_event.after(DurationNs::from_nanos(u64::try_from(since).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_fastest_answer_sets_the_clock() {
        let sent_at = Instant::now();
        let ts_event = |millis: u64| TimestampNs::from_nanos(millis * 1_000_000);
        // Took effect 30 ms after it was sent, then 10 ms, then 50 ms.
        let mut clock = ExchangeClock::new(sent_at, ts_event(1_030));
        clock.observe(sent_at + Duration::from_millis(100), ts_event(1_110));
        clock.observe(sent_at + Duration::from_millis(200), ts_event(1_250));
        assert_eq!(clock.at(sent_at + Duration::from_millis(300)), ts_event(1_310));
    }
}
