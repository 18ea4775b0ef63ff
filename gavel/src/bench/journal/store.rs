//! A journal under load: a whole sequencer without the wire, beside bare commits of its records.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use gavel_protocol::{
    AgentId, Attributes, CapabilityId, ClientId, Command, Currency, Digest, DurationNs,
    EnrolAccount, EnrolAgent, Event, Found, ListCapability, Micros, Outcome, PublicKey,
    RejectReason, Request, Roles, SetStandingQuote, Settings, TimestampNs,
};
use gavel_sequencer::journal::{JournalPlace, Record};
use gavel_sequencer::{
    Batch, Consumer, Inbox, Layout, Origin, Part, Sequencer, SequencerConfig, Submission,
};
use serde::Serialize;

use crate::bench::bare::Store;
use crate::bench::latency::Latencies;
use crate::bench::rates::Rates;

/// Providers whose standing quotes are updated in turn.
const PROVIDERS: u64 = 1_000;

/// Submissions after which the core is woken.
const SUBMITTED_AT_ONCE: usize = 64;

/// How long the quotes are firm.
const FIRM: DurationNs = DurationNs::from_secs(24 * 3_600);

/// How long an answer may take before the bench gives up.
const ANSWER_MAX: Duration = Duration::from_secs(60);

/// A sequencer, its journal, and a bare store of the same kind.
pub struct UnderTest {
    place: JournalPlace,
    bare: Store,
    sequencer: Sequencer,
    watch: Arc<Watch>,
    asked: u64,
    quotes: Vec<Request>,
    next: usize,
    revision: u64,
    figures: Figures,
}

#[derive(Default)]
struct Figures {
    per_s: Rates,
    bare_per_s: Rates,
    commits: Latencies,
    bare_commits: Latencies,
    commands: u64,
    records: u64,
}

/// What a store came to.
#[derive(Debug, Serialize)]
pub struct StoreReport {
    /// Durable commands per second: from the inbox through the core and the journal.
    pub commands_per_s: Rates,
    /// The same records, their bytes committed one after the other.
    pub bare_commands_per_s: Rates,
    /// Commands that one commit took along.
    pub commands_per_commit: f64,
    /// One command, from the inbox to its publication.
    pub commit_p50_ns: u64,
    pub commit_p99_ns: u64,
    /// The same bytes, committed by themselves.
    pub bare_commit_p50_ns: u64,
    pub bare_commit_p99_ns: u64,
}

/// Sees what is published.
#[derive(Default)]
struct Watch {
    seen: Mutex<Seen>,
    more: Condvar,
}

#[derive(Default)]
struct Seen {
    operator: Option<AgentId>,
    answer: Option<(u64, Result<Outcome, RejectReason>)>,
    updates: u64,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something has been seen.
    fn until<T>(&self, mut seen: impl FnMut(&mut Seen) -> Option<T>) -> anyhow::Result<T> {
        let mut guard = self.lock();
        loop {
            if let Some(value) = seen(&mut guard) {
                return Ok(value);
            }
            let waited = self.more.wait_timeout(guard, ANSWER_MAX);
            let (again, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                bail!("the journal does not commit");
            }
            guard = again;
        }
    }
}

impl Consumer for Watch {
    fn sequenced(&self, _: Origin, _: TimestampNs) {}

    fn published(&self, batch: &Batch) {
        let mut seen = self.lock();
        for step in batch.steps() {
            let Some(first) = step.events.first() else { continue };
            if let Event::Founded(founded) = first {
                seen.operator = Some(founded.operator);
            }
            if let Some(origin) = step.origin {
                seen.answer = Some((origin.session_seq, first.outcome()));
            } else if let Event::StandingQuoteSet(_) = first {
                seen.updates += 1;
            }
        }
        self.more.notify_all();
    }

    fn journal_failed(&self) {}
}

impl UnderTest {
    /// Founds an exchange that keeps its journal at `place`, and enrols its providers.
    pub async fn start(place: JournalPlace, bare: Store) -> anyhow::Result<Self> {
        let (inbox, watch) = (Inbox::new(), Arc::new(Watch::default()));
        let found = Found {
            name: "bench".parse()?,
            id_key: Digest::new([7; 32]),
            operator_key: PublicKey::new([255; 32]),
            settings: Settings::fee(10_000),
        };
        let layout = Layout::Thread;
        let config =
            SequencerConfig { layout, found, alive: None, snapshots: None, quarantine: None };
        let journal = place.open().await?;
        let sequencer = Sequencer::start(config, journal, inbox, watch.clone()).await?;
        let (quotes, figures) = (Vec::new(), Figures::default());
        let mut under_test =
            Self { place, bare, sequencer, watch, asked: 0, quotes, next: 0, revision: 1, figures };
        under_test.enrol()?;
        Ok(under_test)
    }

    fn enrol(&mut self) -> anyhow::Result<()> {
        let operator = self.watch.until(|seen| seen.operator)?;
        let operate = |command| Request { agent: operator, command };
        let client_id = self.client_id();
        let (name, currency, terms) = ("quoted".parse()?, Currency::USD, Digest::new([1; 32]));
        let list = ListCapability { client_id, name, currency, terms };
        let Outcome::Capability(capability) = self.ask(operate(Command::ListCapability(list)))?
        else {
            bail!("listing a capability brought about something else");
        };
        let client_id = self.client_id();
        let enrol = EnrolAccount { client_id, transaction_max: Micros::new(1_000_000_000) };
        let Outcome::Account(account) = self.ask(operate(Command::EnrolAccount(enrol)))? else {
            bail!("enrolling an account brought about something else");
        };
        for number in 0..PROVIDERS {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_le_bytes());
            let (client_id, key, roles) = (self.client_id(), PublicKey::new(key), Roles::TRADER);
            let attributes = Attributes::default();
            let enrol = EnrolAgent { client_id, account, key, roles, attributes };
            let Outcome::Agent(agent) = self.ask(operate(Command::EnrolAgent(enrol)))? else {
                bail!("enrolling an agent brought about something else");
            };
            self.quotes.push(Request { agent, command: standing_quote(capability) });
        }
        Ok(())
    }

    /// Measures for a slice each: single commands, the same bare, as many as go in, the same bare.
    pub async fn take_turn(&mut self, slice: Duration) -> anyhow::Result<()> {
        let begun = Instant::now();
        let before = self.sequencer.status().head().seq;
        while begun.elapsed() < slice {
            let (update, sent) = (self.update(), Instant::now());
            self.ask(update)?;
            self.figures.commits.record(sent.elapsed());
        }
        let records = self.records(before).await?;
        let single = &records.first().context("nothing was committed")?.commands;
        let bare = &mut self.bare;
        self.figures.bare_commits.of_a_slice(slice, async || bare.commit(single).await).await?;

        let before = self.sequencer.status().head().seq;
        self.flood(slice)?;
        let records = self.records(before).await?;
        let (begun, mut commands) = (Instant::now(), 0);
        for record in &records {
            self.bare.commit(&record.commands).await?;
            commands += record.last_seq + 1 - record.first_seq;
        }
        self.figures.bare_per_s.push(commands as f64 / begun.elapsed().as_secs_f64());
        self.figures.commands += commands;
        self.figures.records += records.len() as u64;
        Ok(())
    }

    /// Submits as many updates as go in, and waits until they are durable.
    fn flood(&mut self, slice: Duration) -> anyhow::Result<()> {
        let inbox = self.sequencer.inbox().clone();
        let (begun, before) = (Instant::now(), self.watch.lock().updates);
        let mut submitted = 0;
        while begun.elapsed() < slice {
            for _ in 0..SUBMITTED_AT_ONCE {
                let request = self.update();
                let submission = Submission { origin: None, sequenced_answer: false, request };
                while inbox.submit(submission.clone()).is_err() {
                    inbox.wake();
                    std::thread::yield_now();
                }
                submitted += 1;
            }
            inbox.wake();
        }
        self.watch.until(|seen| (seen.updates - before == submitted).then_some(()))?;
        self.figures.per_s.push(submitted as f64 / begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// Reads what was committed after the command `seq`.
    async fn records(&self, seq: u64) -> anyhow::Result<Vec<Record>> {
        let (mut seq, until) = (seq, self.sequencer.status().head().seq);
        let mut reader = self.place.reader();
        let mut records = Vec::new();
        while seq < until {
            let record = reader.read_after(seq).await?.context("what is durable can be read")?;
            seq = record.last_seq;
            records.push(record);
        }
        reader.close().await?;
        Ok(records)
    }

    /// Submits a request and waits until it is durable.
    fn ask(&mut self, request: Request) -> anyhow::Result<Outcome> {
        self.asked += 1;
        let session_seq = self.asked;
        let origin = Some(Origin { connection: 1, session_seq, part: Part::WHOLE });
        let submission = Submission { origin, sequenced_answer: false, request };
        let inbox = self.sequencer.inbox();
        inbox.submit(submission).map_err(|reason| anyhow::anyhow!("{reason}"))?;
        inbox.wake();
        let answer = self.watch.until(|seen| {
            let (_, answer) = seen.answer.take_if(|(number, _)| *number == session_seq)?;
            Some(answer)
        })?;
        answer.map_err(|reason| anyhow::anyhow!("{reason}"))
    }

    /// Returns the next update of a standing quote.
    fn update(&mut self) -> Request {
        let mut request = self.quotes[self.next].clone();
        if let Command::SetStandingQuote(quote) = &mut request.command {
            quote.revision = self.revision;
            quote.price =
                Micros::new(1_000_000 + i64::try_from(self.revision % 1_000).unwrap_or(0));
        }
        self.next += 1;
        if self.next == self.quotes.len() {
            (self.next, self.revision) = (0, self.revision + 1);
        }
        request
    }

    fn client_id(&self) -> ClientId {
        ClientId::from_parts(now(), u128::from(self.asked) + 1)
    }

    /// Ends it, and returns what it came to.
    pub async fn stop(self) -> anyhow::Result<StoreReport> {
        self.sequencer.stop().await.context("the core has stopped by itself")?;
        let Figures { per_s, bare_per_s, commits, bare_commits, commands, records } = self.figures;
        let (commits, bare) = (commits.percentiles(), bare_commits.percentiles());
        Ok(StoreReport {
            commands_per_s: per_s,
            bare_commands_per_s: bare_per_s,
            commands_per_commit: (commands as f64 / records.max(1) as f64).round(),
            commit_p50_ns: commits.p50_ns,
            commit_p99_ns: commits.p99_ns,
            bare_commit_p50_ns: bare.p50_ns,
            bare_commit_p99_ns: bare.p99_ns,
        })
    }
}

fn standing_quote(capability: CapabilityId) -> Command {
    Command::SetStandingQuote(SetStandingQuote {
        capability,
        revision: 0,
        price: Micros::new(1_000_000),
        latency_ms: 0,
        capacity: 1_000,
        valid_until: now().after(FIRM),
        terms: Digest::new([1; 32]),
    })
}

fn now() -> TimestampNs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    TimestampNs::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}
