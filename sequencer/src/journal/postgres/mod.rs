//! The journal on a PostgreSQL server: one row per record, and one that says where they end and whose
//! they are.
//!
//! Its sessions belong to a thread of its own, which the journal asks: so the journal may be used
//! from any runtime, and nothing that is on its way is forgotten when whoever waits for it is.

mod address;
mod outage;
mod pipeline;
mod session;
mod store;

use std::collections::VecDeque;
use std::future::Future;
use std::thread;

use tokio::sync::{mpsc, oneshot};

use crate::journal::{Ack, Closing, Head, Journal, JournalError, JournalReader, Reading, Record};
use crate::limits::JOURNAL_RECORDS_IN_FLIGHT_MAX;

pub use address::{AddressError, PostgresAddress};

pub(crate) use outage::is_final;
use pipeline::Pipeline;
use store::Store;

/// The journal on a server. Holding it for writing excludes every other exchange.
#[derive(Debug)]
pub struct PostgresJournal {
    address: PostgresAddress,
    requests: mpsc::Sender<Request>,
    head: Head,
    /// Where the journal will end with each of the records that are on their way, and what says so.
    begun: VecDeque<(Head, Answered<()>)>,
    /// Records that were read with one that was asked for, and come after it.
    ahead: VecDeque<Record>,
}

/// Reads a journal beside its writer, by way of a session of its own. Logs on when it is first asked.
#[derive(Debug)]
pub struct PostgresReader {
    address: PostgresAddress,
    journal: Option<PostgresJournal>,
}

/// What the thread is asked, and whom it answers.
#[derive(Debug)]
enum Request {
    Append { record: Record, before: Head, answer: Answer<()> },
    ReadAfter { seq: u64, answer: Answer<VecDeque<Record>> },
    Truncate { seq: u64, answer: Answer<bool> },
    Close { answer: Answer<()> },
}

type Answer<T> = oneshot::Sender<Result<T, JournalError>>;
type Answered<T> = oneshot::Receiver<Result<T, JournalError>>;

const ANSWERS: &str = "invariant: the thread answers what it takes";

impl PostgresJournal {
    /// Opens the journal, making it if there is none, and becomes its writer.
    ///
    /// # Errors
    ///
    /// [`JournalError::InUseByAnother`] if another exchange has it, or what the server says.
    pub async fn open(address: &PostgresAddress, ack: Ack) -> Result<Self, JournalError> {
        Self::start(address, move |address| Store::open(address, ack)).await
    }

    /// Opens the journal to read it. Its writer, if there is one, goes on; whatever is to be appended
    /// here is refused as [`JournalError::Superseded`].
    ///
    /// # Errors
    ///
    /// [`JournalError::NoJournal`] if there is none, or what the server says.
    pub async fn open_to_read(address: &PostgresAddress) -> Result<Self, JournalError> {
        Self::start(address, Store::open_to_read).await
    }

    /// Returns where the journal ends.
    pub fn head(&self) -> Head {
        self.head
    }

    async fn start<O>(
        address: &PostgresAddress,
        open: impl FnOnce(PostgresAddress) -> O + Send + 'static,
    ) -> Result<Self, JournalError>
    where
        O: Future<Output = Result<(Store, Head), JournalError>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(JournalError::Thread)?;
        let (requests, asked) = mpsc::channel(JOURNAL_RECORDS_IN_FLIGHT_MAX);
        let (opened_in, opened) = oneshot::channel();
        let of = address.clone();
        let run = move || {
            runtime.block_on(async {
                match open(of).await {
                    Ok((store, head)) => {
                        if opened_in.send(Ok(head)).is_ok() {
                            serve(Pipeline::new(store), asked).await;
                        }
                    }
                    // Whoever has asked may be gone.
                    Err(error) => drop(opened_in.send(Err(error))),
                }
            });
        };
        thread::Builder::new().name("postgres".into()).spawn(run).map_err(JournalError::Thread)?;
        let head = opened.await.expect("invariant: the thread answers before it ends")?;
        let (begun, ahead) = (VecDeque::new(), VecDeque::new());
        Ok(Self { address: address.clone(), requests, head, begun, ahead })
    }

    /// Asks the thread, and returns what will have its answer.
    async fn send<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Answered<T> {
        let (answer, answered) = oneshot::channel();
        let sent = self.requests.send(request(answer)).await;
        sent.expect("invariant: the thread lives as long as the journal");
        answered
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, JournalError> {
        self.send(request).await.await.expect(ANSWERS)
    }
}

impl Journal for PostgresJournal {
    async fn append(&mut self, record: &Record) -> Result<(), JournalError> {
        self.begin_append(record).await?;
        while !self.begun.is_empty() {
            self.end_append().await?;
        }
        Ok(())
    }

    fn in_flight_max(&self) -> usize {
        JOURNAL_RECORDS_IN_FLIGHT_MAX
    }

    async fn begin_append(&mut self, record: &Record) -> Result<(), JournalError> {
        let before = self.begun.back().map_or(self.head, |(head, _)| *head);
        if !record.follows(&before) {
            return Err(JournalError::Superseded { seq: record.first_seq });
        }
        let (head, record) = (record.head(), record.clone());
        let answered = self.send(|answer| Request::Append { record, before, answer }).await;
        self.begun.push_back((head, answered));
        Ok(())
    }

    async fn end_append(&mut self) -> Result<(), JournalError> {
        let Some((head, answered)) = self.begun.front_mut() else { return Ok(()) };
        let (head, appended) = (*head, answered.await.expect(ANSWERS));
        self.begun.pop_front();
        if appended.is_ok() {
            self.head = head;
        }
        appended
    }

    async fn read_after(&mut self, seq: u64) -> Result<Option<Record>, JournalError> {
        // A gap in what was read ahead is the server's to explain.
        if self.ahead.front().is_none_or(|record| record.first_seq != seq + 1) {
            self.ahead = self.ask(|answer| Request::ReadAfter { seq, answer }).await?;
        }
        Ok(self.ahead.pop_front())
    }

    fn reader(&self) -> Option<Box<dyn JournalReader>> {
        Some(Box::new(PostgresReader::new(&self.address)))
    }

    async fn truncate(&mut self, seq: u64) -> Result<bool, JournalError> {
        self.ask(|answer| Request::Truncate { seq, answer }).await
    }

    async fn close(self) -> Result<(), JournalError> {
        self.ask(|answer| Request::Close { answer }).await
    }
}

impl PostgresReader {
    /// Names the journal on a server, whether an exchange is running there or not.
    pub fn new(address: &PostgresAddress) -> Self {
        Self { address: address.clone(), journal: None }
    }

    async fn open(&mut self) -> Result<&mut PostgresJournal, JournalError> {
        if self.journal.is_none() {
            self.journal = Some(PostgresJournal::open_to_read(&self.address).await?);
        }
        Ok(self.journal.as_mut().expect("it was opened on the lines above"))
    }
}

impl JournalReader for PostgresReader {
    fn read_after(&mut self, seq: u64) -> Reading<'_> {
        Box::pin(async move { self.open().await?.read_after(seq).await })
    }

    fn close(self: Box<Self>) -> Closing {
        Box::pin(async move {
            match self.journal {
                Some(journal) => journal.close().await,
                None => Ok(()),
            }
        })
    }
}

/// Answers until there is nobody left to ask.
async fn serve(mut pipeline: Pipeline, mut asked: mpsc::Receiver<Request>) {
    loop {
        let request = tokio::select! {
            biased;
            outcome = pipeline.oldest(), if pipeline.is_under_way() => {
                pipeline.settle(outcome).await;
                continue;
            }
            request = asked.recv(), if pipeline.has_room() => request,
        };
        // Whoever has asked may be gone; what was asked is done all the same.
        match request {
            Some(Request::Append { record, before, answer }) => {
                pipeline.begin(record, before, answer).await;
            }
            Some(Request::ReadAfter { seq, answer }) => {
                drop(answer.send(pipeline.drained().await.read_after(seq).await));
            }
            Some(Request::Truncate { seq, answer }) => {
                drop(answer.send(pipeline.drained().await.truncate(seq).await));
            }
            Some(Request::Close { answer }) => {
                drop(answer.send(pipeline.close().await));
                return;
            }
            None => break,
        }
    }
    if let Err(error) = pipeline.close().await {
        tracing::debug!(%error, "the server notices by itself that the journal is closed");
    }
}
