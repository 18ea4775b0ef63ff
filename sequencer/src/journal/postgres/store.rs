//! The journal's side of a session: whose it is, where it ends, and what is done when it is lost.
//!
//! A session that is lost while a record was on its way leaves two possibilities, and only the
//! server knows which. So the head is read back before anything is sent again: it is either the
//! record, or what was before it, or somebody else's.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::PostgresAddress;
use super::session::{Backend, Session, Stored};
use crate::journal::{Ack, Head, JournalError, Record};
use crate::limits::{
    JOURNAL_ANSWER_MAX, JOURNAL_LOCK_WAIT_MAX, JOURNAL_OUTAGE_MAX, JOURNAL_RETRY_FIRST,
    JOURNAL_RETRY_MAX,
};

// Waiting for the lock is an answer, too.
const _: () = assert!(JOURNAL_LOCK_WAIT_MAX.as_millis() < JOURNAL_ANSWER_MAX.as_millis());

/// The journal, by way of whatever session there is.
pub(super) struct Store {
    address: PostgresAddress,
    ack: Ack,
    role: Role,
    session: Option<Session>,
    /// The session that was lost last; the server may not have noticed.
    lost: Option<Backend>,
}

/// What the journal is open for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// To read. The writer is not disturbed.
    Reader,
    /// To append, for as long as nobody takes over.
    Writer { epoch: i64 },
}

/// Where a record is after an attempt to append it.
enum Attempt {
    /// In the journal.
    Appended,
    /// Nowhere, and it never will be.
    Superseded,
}

/// An outage of the server: what is tried again, and for how long.
struct Outage {
    role: Role,
    since: Option<Instant>,
    retries: u32,
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
        let role = Role::Writer { epoch };
        Ok((Self { address, ack, role, session: Some(session), lost: None }, head))
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
        let role = Role::Reader;
        Ok((Self { address, ack, role, session: Some(session), lost: None }, head))
    }

    /// Appends a record that follows `before`.
    pub(super) async fn append(
        &mut self,
        record: &Record,
        before: &Head,
    ) -> Result<(), JournalError> {
        let superseded = JournalError::Superseded { seq: record.first_seq };
        let Role::Writer { epoch } = self.role else { return Err(superseded) };
        let mut outage = Outage::new(self.role);
        loop {
            match self.attempt(record, epoch, before).await {
                Ok(Attempt::Appended) => {
                    outage.end();
                    return Ok(());
                }
                Ok(Attempt::Superseded) => return Err(superseded),
                Err(error) if is_final(&error) => return Err(JournalError::Appending(error)),
                Err(error) => self.lose_session(error, &mut outage).await?,
            }
        }
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
            self.lose_session(error, &mut outage).await?;
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
            self.forget_session();
            JournalError::Truncating(error)
        })
    }

    /// Logs off.
    pub(super) async fn close(self) -> Result<(), JournalError> {
        match self.session {
            Some(session) => session.close().await.map_err(JournalError::Closing),
            None => Ok(()),
        }
    }

    /// Finds out where the record is, and sends it if that is nowhere.
    async fn attempt(
        &mut self,
        record: &Record,
        epoch: i64,
        before: &Head,
    ) -> Result<Attempt, sqlx::Error> {
        let is_new = self.session.is_none();
        let session = self.session().await?;
        let mut is_sent = false;
        if is_new {
            is_sent = match session.stored().await? {
                Some(stored) if stored.epoch != epoch => return Ok(Attempt::Superseded),
                Some(stored) if stored.head == record.head() => true,
                Some(stored) if stored.head == *before => false,
                Some(_) | None => return Ok(Attempt::Superseded),
            }
        }
        if !is_sent && session.append(record, epoch, before).await? {
            return Ok(Attempt::Appended);
        }
        // If it was moved, then by what was sent by way of a lost session, or by somebody else.
        let is_there = session.confirm(&record.head(), epoch).await?;
        Ok(if is_there { Attempt::Appended } else { Attempt::Superseded })
    }

    /// Returns the session, logging on again if it was lost.
    async fn session(&mut self) -> Result<&mut Session, sqlx::Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.open_session_again().await?,
        };
        Ok(self.session.insert(session))
    }

    async fn open_session_again(&self) -> Result<Session, sqlx::Error> {
        let mut session = Session::open(&self.address, self.ack).await?;
        let Role::Writer { epoch } = self.role else { return Ok(session) };
        if let Some(lost) = &self.lost {
            session.end(lost).await?;
        }
        // The lock is for people. Whoever took over meanwhile holds it, and has another epoch.
        let is_ours = session.stored().await?.is_some_and(|stored| stored.epoch == epoch);
        if is_ours && !session.lock().await? {
            return Err(sqlx::Error::Protocol("the lock of the lost session is still held".into()));
        }
        Ok(session)
    }

    /// Lets go of the session, and waits before the next attempt.
    async fn lose_session(
        &mut self,
        error: sqlx::Error,
        outage: &mut Outage,
    ) -> Result<(), JournalError> {
        self.forget_session();
        outage.wait(error).await
    }

    fn forget_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.lost = Some(session.backend().clone());
        }
    }
}

impl Outage {
    fn new(role: Role) -> Self {
        Self { role, since: None, retries: 0 }
    }

    /// Waits before the next attempt, longer each time.
    async fn wait(&mut self, error: sqlx::Error) -> Result<(), JournalError> {
        let role = self.role;
        let since = *self.since.get_or_insert_with(|| {
            match role {
                Role::Writer { .. } => tracing::warn!(
                    %error,
                    "the journal's server is gone: nothing is acknowledged meanwhile"
                ),
                Role::Reader => tracing::warn!(
                    %error,
                    "the journal's server is gone: what reads the journal waits meanwhile"
                ),
            }
            Instant::now()
        });
        let Some(wait) = self.next_wait(since.elapsed()) else {
            return Err(JournalError::Outage { outage: JOURNAL_OUTAGE_MAX, source: error });
        };
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Returns how long to wait before the next attempt, if there is still one to make.
    fn next_wait(&mut self, elapsed: Duration) -> Option<Duration> {
        let doubled = JOURNAL_RETRY_FIRST.saturating_mul(1 << self.retries.min(16));
        self.retries += 1;
        (elapsed < JOURNAL_OUTAGE_MAX).then_some(doubled.min(JOURNAL_RETRY_MAX))
    }

    fn end(&self) {
        if let Some(since) = self.since {
            tracing::warn!(outage = ?since.elapsed(), "the journal's server is back");
        }
    }
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

/// Returns whether asking again would be answered the same: what was sent makes no sense to the
/// server, or may not be done.
pub(crate) fn is_final(error: &sqlx::Error) -> bool {
    const DATA: &str = "22";
    const INTEGRITY: &str = "23";
    const SYNTAX_OR_ACCESS: &str = "42";
    let code = error.as_database_error().and_then(|error| error.code());
    let class = code.as_ref().and_then(|code| code.get(..2));
    class.is_some_and(|class| [DATA, INTEGRITY, SYNTAX_OR_ACCESS].contains(&class))
        || matches!(error, sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attempt_waits_longer_until_the_outage_is_too_long() {
        let mut outage = Outage::new(Role::Reader);
        let (mut elapsed, mut waits) = (Duration::ZERO, Vec::new());
        while let Some(wait) = outage.next_wait(elapsed) {
            elapsed += wait;
            waits.push(wait);
        }
        assert_eq!(waits[..2], [JOURNAL_RETRY_FIRST, 2 * JOURNAL_RETRY_FIRST]);
        assert!(waits.is_sorted());
        assert_eq!(waits.last(), Some(&JOURNAL_RETRY_MAX));
        assert!(elapsed >= JOURNAL_OUTAGE_MAX && elapsed < JOURNAL_OUTAGE_MAX + JOURNAL_RETRY_MAX);
    }

    #[test]
    fn a_lost_connection_is_tried_again_and_nonsense_is_not() {
        assert!(!is_final(&sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        assert!(is_final(&sqlx::Error::Decode("nonsense".into())));
    }
}
