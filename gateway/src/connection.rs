//! One connection as the rest of the edge sees it: where answers and events for it are left, and how
//! it is told to end. Nobody who writes here ever waits.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use gavel_protocol::{
    AgentId, CloseReason, Codec, DurationNs, ServerMessage, SessionId, TimestampNs,
};
use tokio::sync::Notify;

use crate::limits::SESSION_OUTPUT_BYTES_MAX;
use crate::lock::lock;
use crate::sessions::SharedNumbering;

/// A connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The edge's own number for it.
    pub id: u64,
    /// How its payloads are written.
    pub codec: Codec,
    /// Frames for the session stream.
    pub session_stream: Buffer,
    /// Bytes in all of its buffers, without what subscriptions catch up with.
    waiting_bytes: AtomicUsize,
    claim: OnceLock<Claim>,
    decision: Mutex<Option<Decision>>,
    decided: Notify,
    is_logged_on: AtomicBool,
    close: OnceLock<CloseReason>,
    closing: Notify,
}

/// What a verified logon request claims, until the core has decided on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub agent: AgentId,
    /// How long its session may be without a connection.
    pub grace: DurationNs,
}

/// The core's word on a logon.
#[derive(Clone, Debug)]
pub(crate) struct Decision {
    pub session: SessionId,
    pub resumed: bool,
    pub ts_event: TimestampNs,
    pub numbering: SharedNumbering,
}

/// Frames on their way to one stream: appended here, written out in one piece.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    contents: Mutex<Contents>,
    ready: Notify,
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Contents {
    bytes: Vec<u8>,
    /// How many of them count towards the connection's limit, and all that count and were drained
    /// but have not left yet.
    counted: usize,
    /// How many of `counted` are in `bytes`.
    fresh: usize,
}

impl Connection {
    pub fn new(id: u64, codec: Codec) -> Self {
        Self {
            id,
            codec,
            session_stream: Buffer::default(),
            waiting_bytes: AtomicUsize::new(0),
            claim: OnceLock::new(),
            decision: Mutex::new(None),
            decided: Notify::new(),
            is_logged_on: AtomicBool::new(false),
            close: OnceLock::new(),
            closing: Notify::new(),
        }
    }

    /// Appends `frames` to a buffer of this connection and wakes its writer; too much of it closes
    /// the connection. Leaves `frames` empty, with some memory to use again.
    pub fn send(&self, buffer: &Buffer, frames: &mut Vec<u8>) {
        let len = frames.len();
        if len == 0 || self.close.get().is_some() {
            return frames.clear();
        }
        if self.waiting_bytes.fetch_add(len, Ordering::Relaxed) + len > SESSION_OUTPUT_BYTES_MAX {
            frames.clear();
            return self.close(CloseReason::SlowConsumer);
        }
        buffer.append(frames, len);
    }

    /// Writes one message for the session stream straight into its buffer and wakes the writer.
    pub fn send_message(&self, number: u64, message: &ServerMessage) {
        if self.close.get().is_some() {
            return;
        }
        let buffer = &self.session_stream;
        let waiting = {
            let mut contents = lock(&buffer.contents);
            let before = contents.bytes.len();
            message.encode(self.codec, number, &mut contents.bytes);
            let len = contents.bytes.len() - before;
            contents.counted += len;
            contents.fresh += len;
            // Under the lock: a writer on another core could otherwise take them off the count
            // before they are on it.
            self.waiting_bytes.fetch_add(len, Ordering::Relaxed) + len
        };
        buffer.announce();
        if waiting > SESSION_OUTPUT_BYTES_MAX {
            self.close(CloseReason::SlowConsumer);
        }
    }

    /// Like [`Connection::send`], for what a new subscription catches up with: the rings bound it,
    /// and a client that comes back must not be closed for having been away.
    pub fn send_backlog(&self, buffer: &Buffer, frames: &mut Vec<u8>) {
        buffer.append(frames, 0);
    }

    /// Says that `counted` bytes that were drained from `buffer` have left.
    pub fn sent(&self, buffer: &Buffer, counted: usize) {
        let mut contents = lock(&buffer.contents);
        // A buffer that was discarded meanwhile counts nothing any more.
        let counted = counted.min(contents.counted);
        contents.counted -= counted;
        self.waiting_bytes.fetch_sub(counted, Ordering::Relaxed);
    }

    /// Drops what is in a buffer that nobody writes out any more.
    pub fn discard(&self, buffer: &Buffer) {
        let contents = std::mem::take(&mut *lock(&buffer.contents));
        self.waiting_bytes.fetch_sub(contents.counted, Ordering::Relaxed);
    }

    /// Sets what the logon claims. There is one per connection; the first call decides.
    pub fn claim(&self, claim: Claim) {
        let _first = self.claim.set(claim);
    }

    /// Returns what the logon claims, if there was one.
    pub fn claimed(&self) -> Option<Claim> {
        self.claim.get().copied()
    }

    /// Leaves the core's word on the logon for the session.
    pub fn decide(&self, decision: Decision) {
        *lock(&self.decision) = Some(decision);
        self.is_logged_on.store(true, Ordering::Release);
        self.decided.notify_one();
    }

    /// Returns the agent, once the core has opened its session.
    pub fn agent(&self) -> Option<AgentId> {
        self.is_logged_on.load(Ordering::Acquire).then(|| self.claimed())?.map(|claim| claim.agent)
    }

    /// Waits for the core's word on the logon.
    pub async fn decision(&self) -> Decision {
        loop {
            self.decided.notified().await;
            if let Some(decision) = self.take_decision() {
                return decision;
            }
        }
    }

    /// Takes the core's word on the logon, if it has come.
    pub fn take_decision(&self) -> Option<Decision> {
        lock(&self.decision).take()
    }

    /// Tells the connection to end; the first reason stays.
    pub fn close(&self, reason: CloseReason) {
        if self.close.set(reason).is_ok() {
            self.closing.notify_one();
        }
    }

    /// Returns why the connection was told to end, if it was.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.close.get().copied()
    }

    /// Waits until the connection is told to end.
    pub async fn closing(&self) -> CloseReason {
        loop {
            if let Some(reason) = self.close_reason() {
                return reason;
            }
            self.closing.notified().await;
        }
    }
}

impl Buffer {
    fn append(&self, frames: &mut Vec<u8>, counted: usize) {
        let mut contents = lock(&self.contents);
        contents.counted += counted;
        contents.fresh += counted;
        if contents.bytes.is_empty() {
            std::mem::swap(&mut contents.bytes, frames);
        } else {
            contents.bytes.extend_from_slice(frames);
        }
        drop(contents);
        frames.clear();
        self.announce();
    }

    fn announce(&self) {
        self.used.store(true, Ordering::Relaxed);
        self.ready.notify_one();
    }

    /// Waits for frames and moves them into `out`, which must be empty. Returns how many of the
    /// bytes count towards the connection's limit until [`Connection::sent`].
    pub async fn drain_into(&self, out: &mut Vec<u8>) -> usize {
        loop {
            let counted = self.drain_now(out);
            if !out.is_empty() {
                return counted;
            }
            self.ready.notified().await;
        }
    }

    /// Moves what is there into `out`, which must be empty. Returns how many of the bytes count towards
    /// the connection's limit until [`Connection::sent`].
    pub fn drain_now(&self, out: &mut Vec<u8>) -> usize {
        let mut contents = lock(&self.contents);
        std::mem::swap(&mut contents.bytes, out);
        std::mem::take(&mut contents.fresh)
    }

    /// Returns whether anything was appended since the last call.
    pub fn take_used(&self) -> bool {
        self.used.swap(false, Ordering::Relaxed)
    }

    /// Returns whether everything was drained.
    pub fn is_empty(&self) -> bool {
        lock(&self.contents).bytes.is_empty()
    }

    /// Takes what is there.
    #[cfg(test)]
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.contents).bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_does_not_read_is_closed_as_a_slow_consumer() {
        let connection = Connection::new(1, Codec::Rkyv);
        let frames = || vec![0; SESSION_OUTPUT_BYTES_MAX / 2];
        connection.send(&connection.session_stream, &mut frames());
        connection.send(&connection.session_stream, &mut frames());
        assert_eq!(connection.close_reason(), None);
        connection.send(&connection.session_stream, &mut vec![0]);
        assert_eq!(connection.close_reason(), Some(CloseReason::SlowConsumer));
    }

    #[test]
    fn bytes_that_have_left_count_no_more() {
        let connection = Connection::new(1, Codec::Rkyv);
        let buffer = &connection.session_stream;
        for _ in 0..3 {
            connection.send(buffer, &mut vec![0; SESSION_OUTPUT_BYTES_MAX]);
            buffer.take();
            connection.sent(buffer, SESSION_OUTPUT_BYTES_MAX);
        }
        assert_eq!(connection.close_reason(), None);
    }

    #[test]
    fn what_a_discarded_buffer_held_is_counted_off_once() {
        let connection = Connection::new(1, Codec::Rkyv);
        let buffer = Buffer::default();
        connection.send(&buffer, &mut vec![0; 10]);
        connection.send(&connection.session_stream, &mut vec![0; 5]);
        connection.discard(&buffer);
        connection.sent(&buffer, 10);
        assert_eq!(connection.waiting_bytes.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn what_a_subscription_catches_up_with_does_not_count() {
        let connection = Connection::new(1, Codec::Rkyv);
        let buffer = Buffer::default();
        connection.send_backlog(&buffer, &mut vec![0; SESSION_OUTPUT_BYTES_MAX + 1]);
        assert_eq!(connection.close_reason(), None);
        assert_eq!(buffer.take().len(), SESSION_OUTPUT_BYTES_MAX + 1);
    }

    #[test]
    fn the_first_reason_to_close_stays() {
        let connection = Connection::new(1, Codec::Rkyv);
        connection.close(CloseReason::Superseded);
        connection.close(CloseReason::ShuttingDown);
        assert_eq!(connection.close_reason(), Some(CloseReason::Superseded));
    }
}
