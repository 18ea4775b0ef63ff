//! An answer that has not come yet. It waits in a slot of the session, so that asking allocates
//! nothing and a reconnect does not disturb who waits.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use gavel_protocol::{Accepted, SequencedAnswer, ServerMessage};

use crate::client::Client;
use crate::error::{ClientError, CommandError};
use crate::session::Slot;

/// The answer to a command, in the future. Dropping it does not take the command back.
#[must_use = "the command may be rejected"]
pub struct Pending {
    answer: Answer,
}

impl Pending {
    pub(crate) fn new(answer: Answer) -> Self {
        Self { answer }
    }

    /// Waits for the early answer, which promises the command's place in the order but not that it
    /// survives: see `Config::sequenced_answers`.
    ///
    /// Returns `None` if the final answer, or the end of the client, came without it.
    pub async fn sequenced(&mut self) -> Option<SequencedAnswer> {
        poll_fn(|cx| self.answer.poll_sequenced(cx)).await
    }
}

impl Future for Pending {
    type Output = Result<Accepted, CommandError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(Pin::new(&mut self.answer).poll(cx))?;
        if let ServerMessage::Accepted(accepted) = answer {
            return Poll::Ready(Ok(accepted));
        }
        Poll::Ready(Err(CommandError::of(answer)))
    }
}

/// Whatever the exchange answers to one request.
pub(crate) struct Answer {
    client: Client,
    /// Empty once the answer was taken.
    slot: Option<Slot>,
}

impl Answer {
    pub(crate) fn new(client: Client, slot: Slot) -> Self {
        Self { client, slot: Some(slot) }
    }

    fn poll_sequenced(&mut self, cx: &mut Context<'_>) -> Poll<Option<SequencedAnswer>> {
        match self.slot {
            Some(slot) => self.client.session().poll_sequenced(slot, cx),
            None => Poll::Ready(None),
        }
    }
}

impl Future for Answer {
    type Output = Result<ServerMessage, ClientError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let slot = self.slot.expect("invariant: a future is not polled after it is ready");
        let answer = ready!(self.client.session().poll_answer(slot, cx));
        self.slot = None;
        Poll::Ready(answer)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.client.session().abandon(slot);
        }
    }
}
