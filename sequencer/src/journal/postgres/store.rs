//! The journal's sessions: whose they are, where the journal ends, and how one logs on again.

use std::collections::VecDeque;

use super::PostgresAddress;
use super::outage::{Outage, is_final};
use super::session::{Backend, Session, Stored};
use crate::journal::{Ack, Head, JournalError, Record};
use crate::limits::{JOURNAL_ANSWER_MAX, JOURNAL_LOCK_WAIT_MAX, JOURNAL_RECORDS_IN_FLIGHT_MAX};

// Waiting for the lock is an answer, too.
const _: () = assert!(JOURNAL_LOCK_WAIT_MAX.as_millis() < JOURNAL_ANSWER_MAX.as_millis());

/// The journal, by way of whatever sessions there are.
pub(super) struct Store {
    address: PostgresAddress,
    ack: Ack,
    role: Role,
    /// The sessions that nothing is on its way by. The first one to be opened holds the lock.
    pub(super) idle: VecDeque<Session>,
    /// Sessions that were lost; the server may not have noticed.
    pub(super) lost: Vec<Backend>,
}

/// What the journal is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// To read. The writer is not disturbed.
    Reader,
    /// To append, for as long as nobody takes over.
    Writer { epoch: i64 },
}

impl Store {
    /// Makes the journal if there is none, becomes its writer, and returns where it ends.
    pub(super) async fn open(
        address: PostgresAddress,
        ack: Ack,
    ) -> Result<(Self, Head), JournalError> {
        let mut session = connect(&address, ack).await?;
        let connecting = |source| JournalError::Connecting { server: address.to_string(), source };
        if !session.lock().await.map_err(connecting)? {
            return Err(JournalError::InUseByAnother { server: address.to_string() });
        }
        session.migrate().await.map_err(JournalError::Migrating)?;
        let epoch = session.take_over().await.map_err(connecting)?;
        let head = whole(session.stored().await.map_err(connecting)?, &address)?;
        session.look_at_durability(ack).await.map_err(connecting)?;
        let further = further(&address, ack).await.map_err(connecting)?;
        let idle = std::iter::once(session).chain(further).collect();
        Ok((Self { address, ack, role: Role::Writer { epoch }, idle, lost: Vec::new() }, head))
    }

    /// Opens the journal to read it, beside its writer if there is one, and returns where it ends.
    pub(super) async fn open_to_read(
        address: PostgresAddress,
    ) -> Result<(Self, Head), JournalError> {
        // It has nothing to commit.
        let ack = Ack::default();
        let mut session = connect(&address, ack).await?;
        let stored = session.stored().await;
        let connecting = |source| JournalError::Connecting { server: address.to_string(), source };
        let head = whole(stored.map_err(connecting)?, &address)?;
        let idle = VecDeque::from([session]);
        Ok((Self { address, ack, role: Role::Reader, idle, lost: Vec::new() }, head))
    }

    /// Reads the record that begins after the command `seq`, if there is one, and some that follow it.
    pub(super) async fn read_after(&mut self, seq: u64) -> Result<VecDeque<Record>, JournalError> {
        let mut outage = Outage::new(self.role);
        loop {
            let error = match self.session().await {
                Ok(session) => match session.read_after(seq).await {
                    Ok(records) => {
                        outage.end();
                        return Ok(records);
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if is_final(&error) {
                return Err(JournalError::Reading { seq, source: error });
            }
            self.forget_sessions();
            outage.wait(error).await?;
        }
    }

    /// Deletes a bounded number of the records up to the command `seq`, the oldest first, but never the
    /// last one; none if somebody else has become the writer. Returns whether there are more of them.
    ///
    /// It can wait for another time: so a lost session is not tried again here.
    pub(super) async fn truncate(&mut self, seq: u64) -> Result<bool, JournalError> {
        let Role::Writer { epoch } = self.role else { return Ok(false) };
        let truncated = match self.session().await {
            Ok(session) => session.truncate(seq, epoch).await,
            Err(error) => Err(error),
        };
        truncated.map_err(|error| {
            self.forget_sessions();
            JournalError::Truncating(error)
        })
    }

    /// Returns the writer's epoch; `None` if the journal is open to be read.
    pub(super) fn epoch(&self) -> Option<i64> {
        match self.role {
            Role::Writer { epoch } => Some(epoch),
            Role::Reader => None,
        }
    }

    /// Returns what to do about an outage that may come.
    pub(super) fn outage(&self) -> Outage {
        Outage::new(self.role)
    }

    /// Logs off.
    pub(super) async fn close(self) -> Result<(), JournalError> {
        for session in self.idle {
            session.close().await.map_err(JournalError::Closing)?;
        }
        Ok(())
    }

    /// Returns a session that is idle, logging on again if all were lost.
    pub(super) async fn session(&mut self) -> Result<&mut Session, sqlx::Error> {
        if self.idle.is_empty() {
            self.log_on_again().await?;
        }
        Ok(self.idle.front_mut().expect("there is one since the lines above"))
    }

    async fn log_on_again(&mut self) -> Result<(), sqlx::Error> {
        let mut first = Session::open(&self.address, self.ack).await?;
        if let Role::Writer { epoch } = self.role {
            first.look_at_durability(self.ack).await?;
            for lost in &self.lost {
                first.end(lost).await?;
            }
            // The lock is for people. Whoever took over meanwhile holds it, and has another epoch.
            let is_ours = first.stored().await?.is_some_and(|stored| stored.epoch == epoch);
            if is_ours {
                if !first.lock().await? {
                    let held = "the lock of the lost session is still held";
                    return Err(sqlx::Error::Protocol(held.into()));
                }
                let further = further(&self.address, self.ack).await;
                // If there is none, the first one has to be ended, too.
                self.idle.push_back(first);
                self.idle.extend(further?);
                self.lost.clear();
                return Ok(());
            }
        }
        self.lost.clear();
        self.idle.push_back(first);
        Ok(())
    }

    /// Lets go of the sessions.
    pub(super) fn forget_sessions(&mut self) {
        self.lost.extend(self.idle.drain(..).map(|session| session.backend().clone()));
    }
}

/// Opens the sessions of a writer beside its first one.
async fn further(address: &PostgresAddress, ack: Ack) -> Result<Vec<Session>, sqlx::Error> {
    let mut further = Vec::with_capacity(JOURNAL_RECORDS_IN_FLIGHT_MAX - 1);
    for _ in 1..JOURNAL_RECORDS_IN_FLIGHT_MAX {
        further.push(Session::open(address, ack).await?);
    }
    Ok(further)
}

async fn connect(address: &PostgresAddress, ack: Ack) -> Result<Session, JournalError> {
    let connecting = |source| JournalError::Connecting { server: address.to_string(), source };
    Session::open(address, ack).await.map_err(connecting)
}

/// Returns where a journal ends, if its writer and its records agree about that.
fn whole(stored: Option<Stored>, address: &PostgresAddress) -> Result<Head, JournalError> {
    let Some(Stored { head, records_end, .. }) = stored else {
        return Err(JournalError::NoJournal { server: address.to_string() });
    };
    if head != records_end {
        return Err(JournalError::CutOff { noted: head.seq, found: records_end.seq });
    }
    Ok(head)
}
