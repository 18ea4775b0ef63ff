//! The sequencer without its threads and without a clock: whoever calls it says what time it is, when
//! the core works and when the journal commits.

use std::collections::VecDeque;
use std::sync::Arc;

use gavel_exchange::Exchange;
use gavel_protocol::{Bug, Found};

use crate::alive::Note;
use crate::batch::Batch;
use crate::clock::Now;
use crate::core::Core;
use crate::inbox::Inbox;
use crate::journal::{Head, Journal, JournalError};
use crate::limits::BATCHES_IN_FLIGHT_MAX;
use crate::publish::Consumer;
use crate::recovery::RecoveryError;
use crate::restart::recover;
use crate::run::first_commands;
use crate::writer::Committer;

/// See the module.
pub struct Stepper<J> {
    core: Core,
    committer: Committer<J>,
    consumer: Arc<dyn Consumer>,
    /// Applied, and not durable yet.
    sealed: VecDeque<Batch>,
    /// How many of them the commit that has begun takes along.
    committing: usize,
    emptied: Vec<Batch>,
}

impl<J: Journal> Stepper<J> {
    /// Recovers what the journal holds, and founds or resumes the exchange.
    ///
    /// # Errors
    ///
    /// [`RecoveryError`].
    pub async fn start(
        mut journal: J,
        inbox: Inbox,
        consumer: Arc<dyn Consumer>,
        (found, note): (Found, Note),
        now: Now,
    ) -> Result<Self, RecoveryError> {
        let recovered = recover(&mut journal, note.head, None, &*consumer).await?;
        let head = recovered.head;
        let first = first_commands(&recovered, found, note.alive_at, now.wall);
        let mut stepper = Self {
            core: Core::new(recovered.exchange, inbox),
            committer: Committer::new(journal, head),
            consumer,
            sealed: VecDeque::with_capacity(BATCHES_IN_FLIGHT_MAX),
            committing: 0,
            emptied: (0..BATCHES_IN_FLIGHT_MAX).map(|_| Batch::default()).collect(),
        };
        let mut batch = stepper.emptied.pop().expect("they were just put there");
        stepper.core.begin(first, now, &mut batch);
        stepper.sealed.push_back(batch);
        Ok(stepper)
    }

    /// Returns whether the core has something to do at `now`, and room to do it.
    pub fn has_work(&self, now: Now) -> bool {
        !self.emptied.is_empty() && self.core.has_work(now)
    }

    /// Applies what is due at `now` and what waits in the inbox, up to a batch, if there is room for one.
    pub fn work(&mut self, now: Now) {
        if !self.core.has_work(now) {
            return;
        }
        let Some(mut batch) = self.emptied.pop() else { return };
        self.core.fill(now, &mut batch, &*self.consumer);
        self.sealed.push_back(batch);
    }

    /// Begins to commit what has gathered. Returns whether there is anything, and no commit under way.
    pub fn begin_commit(&mut self) -> bool {
        let begins = self.committing == 0 && !self.sealed.is_empty();
        if begins {
            self.committing = self.sealed.len();
            if Bug::PublishedBeforeDurable.is_planted() {
                self.sealed.iter().for_each(|batch| self.consumer.published(batch));
            }
        }
        begins
    }

    /// Ends the commit that was begun, and publishes what is durable.
    ///
    /// # Errors
    ///
    /// [`JournalError`]: then nothing may be published any more, and the consumer has been told so.
    pub async fn end_commit(&mut self) -> Result<(), JournalError> {
        let batches = self.sealed.iter().take(self.committing);
        if let Err(error) = self.committer.commit(batches).await {
            self.consumer.journal_failed();
            return Err(error);
        }
        for mut batch in self.sealed.drain(..self.committing) {
            if !Bug::PublishedBeforeDurable.is_planted() {
                self.consumer.published(&batch);
            }
            batch.clear();
            self.emptied.push(batch);
        }
        self.committing = 0;
        Ok(())
    }

    /// Returns where the journal ends.
    pub fn head(&self) -> Head {
        self.committer.head()
    }

    /// Returns the exchange, which may be ahead of the journal.
    pub fn exchange(&self) -> &Exchange {
        self.core.exchange()
    }

    /// Returns whether time stands still because the clock has jumped.
    pub fn has_clock_jumped(&self) -> bool {
        self.core.has_clock_jumped()
    }

    /// Returns whether everything that was applied is durable.
    pub fn is_settled(&self) -> bool {
        self.sealed.is_empty()
    }
}
