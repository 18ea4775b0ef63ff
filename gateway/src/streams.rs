//! The numbered streams of events: one per agent, one per capability, one of
//! problems, one for the exchange. Each
//! keeps its latest events, so that a subscriber that comes back misses none.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gavel_protocol::{
    AgentId, Bug, CapabilityId, Codec, Frames, Heartbeat, PrivateEvent, PublicEvent, ServerMessage,
    StreamOpened, StreamPosition, Topic,
};
use rkyv::{Archive, Deserialize, Serialize};
use rustc_hash::FxBuildHasher;

use crate::connection::{Buffer, Connection};
use crate::limits::EVENTS_PER_STREAM_KEPT;
use crate::session::SubscribeResult;
use crate::splitter::Sink;

/// Which stream.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, Serialize, Deserialize,
)]
pub(crate) enum StreamKey {
    Exchange,
    Capability(CapabilityId),
    Problems,
    Private(AgentId),
}

impl StreamKey {
    /// Returns the stream that a topic means to an agent.
    pub fn of(topic: Topic, agent: AgentId) -> Self {
        match topic {
            Topic::Private => Self::Private(agent),
            Topic::Exchange => Self::Exchange,
            Topic::Capability(capability) => Self::Capability(capability),
            Topic::Problems => Self::Problems,
        }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchange => f.write_str("exchange"),
            Self::Problems => f.write_str("problems"),
            Self::Capability(capability) => capability.fmt(f),
            Self::Private(agent) => agent.fmt(f),
        }
    }
}

/// An event of a stream.
#[derive(Clone, Debug)]
pub(crate) enum StreamEvent {
    Private(PrivateEvent),
    Public(PublicEvent),
}

/// One subscriber of one stream.
#[derive(Debug)]
pub(crate) struct Subscription {
    connection: Arc<Connection>,
    /// Frames for the subscription's own stream.
    pub buffer: Buffer,
    /// The number of the last event in the buffer or before it.
    last: AtomicU64,
}

/// All streams.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    streams: HashMap<StreamKey, Stream, FxBuildHasher>,
    /// Streams with frames that their subscribers have not got yet.
    unsent: Vec<StreamKey>,
}

#[derive(Debug)]
struct Stream {
    /// The number of the next event.
    next: u64,
    /// The events before it, the oldest first.
    kept: VecDeque<StreamEvent>,
    subscribers: Vec<Arc<Subscription>>,
    /// How many of them listen in each codec.
    listeners: [usize; Codec::ALL.len()],
    /// Frames that the subscribers have not got yet, encoded once per codec that anybody listens in.
    unsent: [Vec<u8>; Codec::ALL.len()],
}

/// A stream as it is saved.
#[derive(Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub(crate) struct SavedStream {
    key: StreamKey,
    /// The number of the next event.
    next: u64,
    /// The frames of the events before it, the oldest first.
    kept: Vec<u8>,
}

impl Streams {
    /// Returns every stream that has had an event, by its key.
    pub fn saved(&self) -> impl Iterator<Item = SavedStream> {
        let used = self.streams.iter().filter(|(_, stream)| stream.next > 1);
        let mut used: Vec<_> = used.collect();
        used.sort_unstable_by_key(|(key, _)| **key);
        used.into_iter().map(|(key, stream)| {
            let mut kept = Vec::new();
            for (number, event) in (stream.oldest()..).zip(&stream.kept) {
                event.encode(Codec::Rkyv, number, &mut kept);
            }
            SavedStream { key: *key, next: stream.next, kept }
        })
    }

    /// Adds a stream that was saved. Returns `None` if it is not what was saved.
    pub fn restore(&mut self, saved: &SavedStream) -> Option<()> {
        let SavedStream { key, next, kept: frames } = saved;
        let (mut kept, mut numbers) = (VecDeque::new(), Vec::new());
        let mut frames_left = Frames::new(frames);
        while let Some((header, payload)) = frames_left.next_frame().ok()? {
            kept.push_back(StreamEvent::decode(*key, header.template, payload)?);
            numbers.push(header.number);
        }
        let count = kept.len() as u64;
        let is_whole =
            frames_left.consumed() == frames.len() && kept.len() <= EVENTS_PER_STREAM_KEPT;
        let is_numbered = *next > count && numbers.into_iter().eq(next - count..*next);
        if !is_whole || !is_numbered {
            return None;
        }
        let stream = Stream { next: *next, kept, ..Stream::new() };
        self.streams.insert(*key, stream).is_none().then_some(())
    }

    /// Gives subscribers what was pushed: each gets one piece and is woken once.
    pub fn flush(&mut self) {
        for key in self.unsent.drain(..) {
            if let Some(stream) = self.streams.get_mut(&key) {
                stream.flush();
            }
        }
    }

    /// Subscribes `connection` to a stream from event number `from`, or from the next one. Returns
    /// the subscription, which holds the beginning of its stream already, if there is one.
    ///
    /// Events are pushed and flushed by whoever holds `&mut self`, so no event falls between the
    /// beginning and what follows, and none comes twice.
    pub fn subscribe(
        &mut self,
        topic: Topic,
        key: StreamKey,
        from: Option<u64>,
        connection: &Arc<Connection>,
    ) -> (SubscribeResult, Option<Arc<Subscription>>) {
        let from = from.unwrap_or_else(|| self.next(key));
        match self.join(key, from, connection, opened(topic, from, connection.codec)) {
            Ok(subscription) => (SubscribeResult::Opened { next: from }, Some(subscription)),
            Err(kept) => (SubscribeResult::Resync { oldest: kept.start, next: kept.end }, None),
        }
    }

    /// Like [`Streams::subscribe`], for a subscriber who has got `frames` already, or gets them first.
    ///
    /// # Errors
    ///
    /// The numbers of the events that are kept: `from` is neither one of them nor the next.
    pub fn join(
        &mut self,
        key: StreamKey,
        from: u64,
        connection: &Arc<Connection>,
        mut frames: Vec<u8>,
    ) -> Result<Arc<Subscription>, Range<u64>> {
        let stream = self.streams.entry(key).or_insert_with(Stream::new);
        let (oldest, next) = (stream.oldest(), stream.next);
        if from < oldest || from > next {
            return Err(oldest..next);
        }
        let subscription = Arc::new(Subscription {
            connection: Arc::clone(connection),
            buffer: Buffer::default(),
            last: AtomicU64::new(next - 1),
        });
        let codec = connection.codec;
        for (number, event) in (oldest..).zip(&stream.kept).filter(|(number, _)| *number >= from) {
            if Bug::GapFillOffByOne.is_planted() && number == from && from > oldest {
                continue;
            }
            event.encode(codec, number, &mut frames);
        }
        connection.send_backlog(&subscription.buffer, &mut frames);
        stream.subscribers.push(Arc::clone(&subscription));
        stream.listeners[codec as usize] += 1;
        Ok(subscription)
    }

    /// Returns the number of a stream's next event.
    pub fn next(&self, key: StreamKey) -> u64 {
        self.streams.get(&key).map_or(1, |stream| stream.next)
    }

    /// Ends a subscription: nothing is appended to it any more.
    pub fn unsubscribe(&mut self, key: StreamKey, subscription: &Arc<Subscription>) {
        let Some(stream) = self.streams.get_mut(&key) else { return };
        let place = stream.subscribers.iter().position(|other| Arc::ptr_eq(other, subscription));
        if let Some(place) = place {
            stream.subscribers.swap_remove(place);
            stream.listeners[subscription.connection.codec as usize] -= 1;
        }
    }
}

impl Sink for Streams {
    /// Appends an event to a stream. Subscribers get it at the next [`Streams::flush`].
    fn push(&mut self, key: StreamKey, event: StreamEvent) {
        let stream = self.streams.entry(key).or_insert_with(Stream::new);
        if stream.push(event) {
            self.unsent.push(key);
        }
    }
}

/// Returns the first frame of a subscription's stream.
pub(crate) fn opened(topic: Topic, from: u64, codec: Codec) -> Vec<u8> {
    let mut frames = Vec::new();
    let next = StreamPosition { stream_seq: from };
    ServerMessage::StreamOpened(StreamOpened { topic, next }).encode(codec, 0, &mut frames);
    frames
}

impl Stream {
    fn new() -> Self {
        Self {
            next: 1,
            kept: VecDeque::new(),
            subscribers: Vec::new(),
            listeners: [0; Codec::ALL.len()],
            unsent: Default::default(),
        }
    }

    fn oldest(&self) -> u64 {
        self.next - self.kept.len() as u64
    }

    /// Returns whether this is the first event that waits to be flushed.
    fn push(&mut self, event: StreamEvent) -> bool {
        let was_idle = self.unsent.iter().all(Vec::is_empty);
        for codec in Codec::ALL {
            if self.listeners[codec as usize] > 0 {
                event.encode(codec, self.next, &mut self.unsent[codec as usize]);
            }
        }
        if self.kept.len() == EVENTS_PER_STREAM_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(event);
        self.next += 1;
        was_idle && !self.subscribers.is_empty()
    }

    fn flush(&mut self) {
        let mut frames = Vec::new();
        for subscription in &self.subscribers {
            frames.extend_from_slice(&self.unsent[subscription.connection.codec as usize]);
            subscription.connection.send(&subscription.buffer, &mut frames);
            // After the events are in the buffer, so that no heartbeat overtakes them.
            subscription.last.store(self.next - 1, Ordering::Release);
        }
        self.unsent.iter_mut().for_each(Vec::clear);
    }
}

impl StreamEvent {
    /// Reads an event of a stream from what [`StreamEvent::encode`] wrote for rkyv.
    pub fn decode(key: StreamKey, template: u16, payload: &[u8]) -> Option<Self> {
        match key {
            StreamKey::Private(_) => {
                let event = PrivateEvent::decode(Codec::Rkyv, template, payload);
                event?.ok().map(Self::Private)
            }
            StreamKey::Exchange | StreamKey::Capability(_) | StreamKey::Problems => {
                PublicEvent::decode(Codec::Rkyv, template, payload)?.ok().map(Self::Public)
            }
        }
    }

    pub fn encode(&self, codec: Codec, number: u64, out: &mut Vec<u8>) {
        match self {
            Self::Private(event) => event.encode(codec, number, out),
            Self::Public(event) => event.encode(codec, number, out),
        }
    }
}

impl Subscription {
    /// Says that `counted` bytes have left.
    pub fn sent(&self, counted: usize) {
        self.connection.sent(&self.buffer, counted);
    }

    /// Drops what nobody writes out any more.
    pub fn discard(&self) {
        self.connection.discard(&self.buffer);
    }

    /// Appends a heartbeat with the number of the last event to `frames`, unless events wait that
    /// must come first.
    pub fn heartbeat(&self, frames: &mut Vec<u8>) {
        let last = self.last.load(Ordering::Acquire);
        if self.buffer.is_empty() {
            ServerMessage::Heartbeat(Heartbeat {}).encode(self.connection.codec, last, frames);
        }
    }
}
