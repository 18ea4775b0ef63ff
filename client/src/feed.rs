//! A subscription: the numbered events of one topic, across connections, without gap or duplicate.
//!
//! The reader of an [`EventStream`] reads the QUIC stream itself: if it falls behind, flow control
//! stops the server, and no queue grows in between. The connection's task only hands over the next
//! QUIC stream after a reconnect.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures_core::Stream;
use gavel_protocol::{
    Codec, FrameHeader, PrivateEvent, PublicEvent, ServerMessage, StreamPosition, Subscribe,
    TEMPLATE_VERSION, Topic,
};

use crate::client::Client;
use crate::error::{ClientError, CommandError};
use crate::frame_buffer::FrameBuffer;
use crate::session::{decode, wait};

/// What a subscription yields.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly every item is an event")]
pub enum StreamItem {
    /// An event, with its number in the stream. Numbers grow by one, except after a resync.
    Event(u64, StreamEvent),
    /// Events before `next` cannot be had any more: query the state. The stream goes on from there.
    Resync {
        /// The number of the event that comes next.
        next: u64,
    },
}

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEvent {
    /// Of the agent's private stream.
    Private(PrivateEvent),
    /// Of a public stream.
    Public(PublicEvent),
}

/// The events of one topic. Ends after its first error; dropping it ends the subscription.
#[must_use = "the server sends events that somebody should read"]
pub struct EventStream {
    client: Client,
    feed: Arc<Feed>,
    open: Option<Opened>,
    /// An event behind a gap that has just been yielded.
    held: Option<(u64, StreamEvent)>,
    done: bool,
}

impl EventStream {
    /// Returns the topic.
    pub fn topic(&self) -> Topic {
        self.feed.topic
    }

    /// Returns the number of the next event: what to subscribe from to go on later.
    pub fn next_stream_seq(&self) -> u64 {
        self.held.as_ref().map_or_else(|| self.feed.next(), |(number, _)| *number)
    }

    /// Waits for the next item; `None` after the stream has failed.
    pub async fn next(&mut self) -> Option<Result<StreamItem, CommandError>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// Begins to read `feed`, which the session already knows, and waits for its first answer.
    pub(crate) async fn open(client: Client, feed: Arc<Feed>) -> Result<Self, CommandError> {
        let stream = Self { client, feed, open: None, held: None, done: false };
        poll_fn(|cx| stream.feed.poll_subscribed(cx)).await?;
        Ok(stream)
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<StreamItem, CommandError>> {
        if let Some((number, event)) = self.held.take() {
            self.feed.set_next(number + 1);
            return Poll::Ready(Ok(StreamItem::Event(number, event)));
        }
        loop {
            if self.open.is_none() {
                let opened = ready!(self.feed.poll_opened(cx))?;
                let resync = self.feed.join(&opened);
                self.open = Some(opened);
                if let Some(next) = resync {
                    return Poll::Ready(Ok(StreamItem::Resync { next }));
                }
            }
            if let Some(item) = ready!(self.poll_open(cx))? {
                return Poll::Ready(Ok(item));
            }
        }
    }

    /// Reads the QUIC stream that is open. `None` means that it is not any more.
    fn poll_open(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<StreamItem>, CommandError>> {
        let Some(open) = &mut self.open else { return Poll::Ready(Ok(None)) };
        loop {
            while let Some((header, payload)) = open.frames.next_frame()? {
                let next = self.feed.next();
                match read_frame(self.client.codec(), self.feed.topic, header, payload)? {
                    Some(_) if header.number < next => {}
                    Some(event) if header.number == next => {
                        self.feed.set_next(next + 1);
                        return Poll::Ready(Ok(Some(StreamItem::Event(next, event))));
                    }
                    Some(event) => {
                        self.held = Some((header.number, event));
                        return Poll::Ready(Ok(Some(StreamItem::Resync { next: header.number })));
                    }
                    None if header.number < next => {}
                    None => {
                        self.feed.set_next(header.number + 1);
                        let next = header.number + 1;
                        return Poll::Ready(Ok(Some(StreamItem::Resync { next })));
                    }
                }
            }
            if ready!(open.frames.poll_fill(cx, &mut open.stream)).is_err() {
                // The connection is lost, or this QUIC stream belonged to an earlier subscription.
                self.open = None;
                return Poll::Ready(Ok(None));
            }
        }
    }
}

/// Reads a frame of a subscription: an event, or `None` for a heartbeat.
fn read_frame(
    codec: Codec,
    topic: Topic,
    header: FrameHeader,
    payload: &[u8],
) -> Result<Option<StreamEvent>, ClientError> {
    if header.version != TEMPLATE_VERSION {
        return Err(ClientError::Unexpected("a template version that is not spoken here"));
    }
    let event = match topic {
        Topic::Private => PrivateEvent::decode(codec, header.template, payload)
            .map(|event| event.map(StreamEvent::Private)),
        Topic::Exchange | Topic::Capability(_) | Topic::Problems => {
            PublicEvent::decode(codec, header.template, payload)
                .map(|event| event.map(StreamEvent::Public))
        }
    };
    if let Some(event) = event {
        let wrong = |_| ClientError::Unexpected("a payload that is no value of its template");
        return event.map(Some).map_err(wrong);
    }
    if let ServerMessage::Heartbeat(_) = decode(codec, header, payload)? {
        return Ok(None);
    }
    Err(ClientError::Unexpected("a message that does not belong to a subscription"))
}

impl Stream for EventStream {
    type Item = Result<StreamItem, CommandError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.done {
            return Poll::Ready(None);
        }
        let item = ready!(self.poll_item(cx));
        self.done = item.is_err();
        Poll::Ready(Some(item))
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.client.unsubscribe(&self.feed);
    }
}

/// The side of a subscription that survives connections.
pub(crate) struct Feed {
    topic: Topic,
    /// The number of the next event, or zero before it is known.
    next: AtomicU64,
    state: Mutex<FeedState>,
}

/// A QUIC stream whose first frame was read.
pub(crate) struct Opened {
    pub(crate) stream: quinn::RecvStream,
    pub(crate) frames: FrameBuffer,
    /// The number of its first event.
    pub(crate) next: u64,
}

#[derive(Default)]
struct FeedState {
    subscribed: bool,
    /// The server said where to go on, whatever the numbers were before.
    resync: bool,
    opened: Option<Opened>,
    failed: Option<CommandError>,
    refused: bool,
    waker: Option<Waker>,
}

impl Feed {
    /// Makes a subscription from the number `from`, or from whatever comes next.
    pub(crate) fn new(topic: Topic, from: Option<u64>) -> Self {
        let next = AtomicU64::new(from.unwrap_or(0));
        Self { topic, next, state: Mutex::default() }
    }

    /// Returns the topic.
    pub(crate) fn topic(&self) -> Topic {
        self.topic
    }

    /// Returns the message that goes on where the reader is.
    pub(crate) fn request(&self) -> Subscribe {
        let next = self.next();
        let from = (next > 0).then_some(StreamPosition { stream_seq: next });
        Subscribe { topic: self.topic, from }
    }

    /// The server will send events from `next` on.
    pub(crate) fn subscribed(&self, next: u64) -> Option<Waker> {
        if self.next() == 0 {
            self.set_next(next);
        }
        let mut state = self.state();
        state.subscribed = true;
        state.waker.take()
    }

    /// The server cannot go on where the reader is, but at `next`.
    pub(crate) fn resync(&self, next: u64) {
        self.set_next(next);
        self.state().resync = true;
    }

    /// Hands over the QUIC stream that goes on; a newer one replaces one that was not taken.
    pub(crate) fn hand_over(&self, opened: Opened) -> Option<Waker> {
        let mut state = self.state();
        state.opened = Some(opened);
        state.waker.take()
    }

    /// There will be no further QUIC stream.
    pub(crate) fn fail(&self, error: CommandError) -> Option<Waker> {
        let mut state = self.state();
        state.refused = matches!(error, CommandError::Rejected(_));
        state.failed = Some(error);
        state.waker.take()
    }

    /// Returns whether the server refused the subscription.
    pub(crate) fn was_refused(&self) -> bool {
        self.state().refused
    }

    fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    fn set_next(&self, next: u64) {
        self.next.store(next, Ordering::Release);
    }

    /// Waits until the server has agreed or refused.
    fn poll_subscribed(&self, cx: &mut Context<'_>) -> Poll<Result<(), CommandError>> {
        let mut state = self.state();
        if let Some(failed) = &state.failed {
            return Poll::Ready(Err(failed.clone()));
        }
        if state.subscribed {
            return Poll::Ready(Ok(()));
        }
        wait(&mut state.waker, cx);
        Poll::Pending
    }

    /// Waits for the next QUIC stream.
    fn poll_opened(&self, cx: &mut Context<'_>) -> Poll<Result<Opened, CommandError>> {
        let mut state = self.state();
        if let Some(opened) = state.opened.take() {
            return Poll::Ready(Ok(opened));
        }
        if let Some(failed) = &state.failed {
            return Poll::Ready(Err(failed.clone()));
        }
        wait(&mut state.waker, cx);
        Poll::Pending
    }

    /// Goes on with `opened`; returns the next number if events before it are missed.
    fn join(&self, opened: &Opened) -> Option<u64> {
        let resync = std::mem::take(&mut self.state().resync);
        let next = self.next();
        if resync || next == 0 || next < opened.next {
            self.set_next(opened.next);
        }
        (resync || (next > 0 && next < opened.next)).then_some(opened.next)
    }

    fn state(&self) -> MutexGuard<'_, FeedState> {
        // Nothing that is done under this lock leaves it half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
