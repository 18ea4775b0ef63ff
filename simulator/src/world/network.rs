//! A connection as its bytes travel: every stream in its order and cut anywhere, streams among each
//! other in any order, and nothing at all while the way is cut off.

use std::collections::VecDeque;

use gavel_protocol::{DurationNs, Topic};
use rand::{Rng, RngExt as _};

/// Bytes on their way, of one connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    to_exchange: Stream,
    /// By topic; none: the session stream.
    to_client: Vec<(Option<Topic>, Stream)>,
}

#[derive(Debug, Default)]
struct Stream {
    travelling: VecDeque<(DurationNs, Vec<u8>)>,
    arrives_last: DurationNs,
}

impl Link {
    /// Sends bytes to the exchange.
    pub fn send(&mut self, bytes: Vec<u8>, arrives_at: DurationNs) {
        self.to_exchange.push(bytes, arrives_at);
    }

    /// Sends bytes to the client, on one of its streams.
    pub fn send_to_client(&mut self, topic: Option<Topic>, bytes: Vec<u8>, at: DurationNs) {
        let known = self.to_client.iter().position(|(other, _)| *other == topic);
        let place = known.unwrap_or_else(|| {
            self.to_client.push((topic, Stream::default()));
            self.to_client.len() - 1
        });
        self.to_client[place].1.push(bytes, at);
    }

    /// Takes bytes that have come to the exchange at `now`.
    pub fn arrived(&mut self, now: DurationNs, rng: &mut impl Rng) -> Option<Vec<u8>> {
        self.to_exchange.pop(now, rng)
    }

    /// Takes bytes that have come to the client at `now`, and says on which stream.
    pub fn arrived_at_client(
        &mut self,
        now: DurationNs,
        rng: &mut impl Rng,
    ) -> Option<(Option<Topic>, Vec<u8>)> {
        let streams = self.to_client.len();
        let first = rng.random_range(0..streams.max(1)).min(streams);
        let (before, from) = self.to_client.split_at_mut(first);
        let mut streams = from.iter_mut().chain(before);
        streams.find_map(|(topic, stream)| Some((*topic, stream.pop(now, rng)?)))
    }
}

impl Stream {
    fn push(&mut self, bytes: Vec<u8>, arrives_at: DurationNs) {
        self.arrives_last = self.arrives_last.max(arrives_at);
        self.travelling.push_back((self.arrives_last, bytes));
    }

    fn pop(&mut self, now: DurationNs, rng: &mut impl Rng) -> Option<Vec<u8>> {
        let (_, bytes) = self.travelling.front_mut().filter(|(at, _)| *at <= now)?;
        // A piece of it comes first, now and then.
        if bytes.len() > 1 && rng.random_range(0..16) == 0 {
            let rest = bytes.split_off(rng.random_range(1..bytes.len()));
            return Some(std::mem::replace(bytes, rest));
        }
        self.travelling.pop_front().map(|(_, bytes)| bytes)
    }
}
