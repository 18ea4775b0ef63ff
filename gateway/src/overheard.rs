//! What subscribers would get of a replay, for whoever keeps it: a projection, a snapshot.

use gavel_protocol::{Codec, Event};
use gavel_sequencer::StreamEvent as OverheardEvent;

use crate::splitter::Sink;
use crate::streams::{StreamEvent, StreamKey, Streams};

/// Streams, and who gets the frames of what is pushed to them.
pub(crate) struct Overheard<'a> {
    streams: &'a mut Streams,
    wanted: fn(&Event) -> bool,
    /// Whether the event that is split is.
    is_wanted: bool,
    /// Events that were split or are.
    begun: u64,
    put: &'a mut dyn FnMut(u64, OverheardEvent),
}

impl<'a> Overheard<'a> {
    pub fn new(
        streams: &'a mut Streams,
        wanted: fn(&Event) -> bool,
        put: &'a mut dyn FnMut(u64, OverheardEvent),
    ) -> Self {
        Self { streams, wanted, is_wanted: false, begun: 0, put }
    }

    /// Takes note that an event is split.
    pub fn begin(&mut self, event: &Event) {
        self.is_wanted = (self.wanted)(event);
        self.begun += 1;
    }
}

impl Sink for Overheard<'_> {
    fn push(&mut self, key: StreamKey, event: StreamEvent) {
        if self.is_wanted {
            let (stream_seq, mut frame) = (self.streams.next(key), Vec::new());
            event.encode(Codec::Rkyv, stream_seq, &mut frame);
            let event = OverheardEvent { stream: key.to_string(), stream_seq, frame };
            (self.put)(self.begun - 1, event);
        }
        self.streams.push(key, event);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use gavel_protocol::{FRAME_HEADER_BYTES, Topic};
    use gavel_sequencer::Consumer as _;

    use super::*;
    use crate::fan_out::FanOut;
    use crate::lock::lock;
    use crate::samples::{BUYER, PROVIDER, history, listed};

    #[test]
    fn a_projection_gets_what_subscribers_get_with_the_same_numbers() {
        let (fan_out, replica) = (FanOut::new(), FanOut::new());
        let mut projected: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for batch in history() {
            fan_out.published(&batch);
            replica.replayed(&batch, |_| true, &mut |place, event| {
                assert!(place < batch.events.len() as u64);
                projected.entry(event.stream).or_default().extend(event.frame);
            });
        }
        assert_eq!(replica.snapshot(), fan_out.snapshot());
        let topics = [
            (Topic::Exchange, BUYER),
            (Topic::Capability(listed().capability), BUYER),
            (Topic::Private, BUYER),
            (Topic::Private, PROVIDER),
        ];
        for (topic, agent) in topics {
            let connection = fan_out.connections.open(Codec::Rkyv);
            let key = StreamKey::of(topic, agent);
            let subscribed = lock(&fan_out.streams).subscribe(topic, key, Some(1), &connection);
            let frames = subscribed.1.unwrap().buffer.take();
            let (opened, events) =
                frames.split_at(u32::from_le_bytes(frames[..4].try_into().unwrap()) as usize);
            assert!(opened.len() > FRAME_HEADER_BYTES && !events.is_empty(), "{topic:?}");
            assert_eq!(projected.remove(&key.to_string()).as_deref(), Some(events), "{topic:?}");
        }
        assert!(projected.is_empty(), "{projected:?}");
    }

    #[test]
    fn only_what_is_wanted_is_put_out() {
        let replica = FanOut::new();
        let mut streams = std::collections::BTreeSet::new();
        for batch in history() {
            let is_listing = |event: &Event| matches!(event, Event::CapabilityListed(_));
            replica.replayed(&batch, is_listing, &mut |place, event| {
                let place = usize::try_from(place).unwrap();
                assert!(is_listing(&batch.events[place]), "{event:?}");
                streams.insert(event.stream);
            });
        }
        assert_eq!(streams, [StreamKey::Exchange.to_string()].into());
    }
}
