//! An outage of the server: what is tried again, how often, and for how long.

use std::time::{Duration, Instant};

use super::store::Role;
use crate::journal::JournalError;
use crate::limits::{JOURNAL_OUTAGE_MAX, JOURNAL_RETRY_FIRST, JOURNAL_RETRY_MAX};

/// An outage of the server: what is tried again, and for how long.
pub(super) struct Outage {
    role: Role,
    since: Option<Instant>,
    retries: u32,
}

impl Outage {
    pub(super) fn new(role: Role) -> Self {
        Self { role, since: None, retries: 0 }
    }

    /// Waits before the next attempt, longer each time.
    pub(super) async fn wait(&mut self, error: sqlx::Error) -> Result<(), JournalError> {
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

    /// The server does again what it is asked.
    pub(super) fn end(&mut self) {
        if let Some(since) = self.since.take() {
            self.retries = 0;
            tracing::warn!(outage = ?since.elapsed(), "the journal's server is back");
        }
    }
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
