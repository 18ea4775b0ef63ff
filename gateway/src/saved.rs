//! What is saved of the edge, so that a fan-out need not see the whole history again: a format number,
//! then archives, each with its length in front: one of everything but the streams, and one per
//! stream. Equal fan-outs have equal bytes.

use gavel_protocol::{RfqId, TimestampNs};
use gavel_sequencer::RestoreError;
use rkyv::rancor::Failure;
use rkyv::{Archive, Deserialize, Serialize};

use crate::blob_index::SavedBlobs;
use crate::directory::SavedDirectory;
use crate::problems::Pending;
use crate::streams::{SavedStream, Streams};

/// The format of what is saved. To be raised with every change of it, and of anything that is in it.
const FORMAT: u32 = 1;

/// Everything but the streams.
#[derive(Archive, Serialize, Deserialize)]
pub(crate) struct Edge {
    pub directory: SavedDirectory,
    pub blobs: SavedBlobs,
    pub problems: Vec<(RfqId, Pending)>,
    /// The latest sequenced time that everybody may know.
    pub ts_public: TimestampNs,
    /// What has happened in the market, counted, in the order of [`crate::metrics::Metrics::history`].
    pub counted: [u64; 8],
}

/// Everything, read back.
pub(crate) struct Saved {
    pub edge: Edge,
    pub streams: Streams,
}

impl Edge {
    /// Returns this and the streams as bytes.
    pub fn to_bytes(&self, streams: impl Iterator<Item = SavedStream>) -> Vec<u8> {
        let mut out = FORMAT.to_le_bytes().to_vec();
        let written = rkyv::to_bytes::<Failure>(self);
        add(&mut out, &written.expect("memory is the only thing that writing to a Vec needs"));
        for stream in streams {
            let written = rkyv::to_bytes::<Failure>(&stream);
            add(&mut out, &written.expect("memory is the only thing that writing to a Vec needs"));
        }
        out
    }
}

impl Saved {
    /// Reads everything back, validating every byte of it.
    ///
    /// # Errors
    ///
    /// [`RestoreError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RestoreError> {
        let cut_off = RestoreError::Damaged("it is cut off");
        let (format, mut rest) = bytes.split_first_chunk().ok_or(cut_off)?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(RestoreError::OtherFormat(format));
        }
        let edge = rkyv::from_bytes::<Edge, Failure>(next(&mut rest).ok_or(cut_off)?);
        let edge = edge.map_err(|_| RestoreError::Damaged("what it knows by heart"))?;
        let mut streams = Streams::default();
        while !rest.is_empty() {
            let stream = rkyv::from_bytes::<SavedStream, Failure>(next(&mut rest).ok_or(cut_off)?);
            let added = stream.ok().and_then(|stream| streams.restore(&stream));
            added.ok_or(RestoreError::Damaged("a stream"))?;
        }
        Ok(Self { edge, streams })
    }
}

fn add(out: &mut Vec<u8>, archive: &[u8]) {
    out.extend_from_slice(&(archive.len() as u64).to_le_bytes());
    out.extend_from_slice(archive);
}

/// Takes the next archive off the front.
fn next<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (archive, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(archive)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use gavel_protocol::{AgentId, BundleTerms, Codec, Event, Micros, Topic};
    use gavel_sequencer::{Batch, Consumer as _};

    use super::*;
    use crate::fan_out::FanOut;
    use crate::limits::EVENTS_PER_STREAM_KEPT;
    use crate::lock::lock;
    use crate::samples::{
        BUYER, Batches, CONTRACT, PROVIDER, history, rfq_opened, standing_quote_set,
    };
    use crate::session::SubscribeResult;
    use crate::streams::StreamKey;

    fn fed(batches: &[Batch]) -> Arc<FanOut> {
        let fan_out = FanOut::new();
        batches.iter().for_each(|batch| fan_out.published(batch));
        fan_out
    }

    #[test]
    fn a_restored_edge_goes_on_like_the_one_that_was_saved() {
        let history = history();
        let whole = fed(&history).snapshot();
        for saved_after in 0..=history.len() {
            let (before, after) = history.split_at(saved_after);
            let restored = FanOut::new();
            restored.restore(&fed(before).snapshot()).unwrap();
            assert_eq!(restored.snapshot(), fed(before).snapshot());
            after.iter().for_each(|batch| restored.published(batch));
            assert_eq!(restored.snapshot(), whole, "saved after {saved_after} batches");
        }
    }

    #[test]
    fn the_format_is_raised_when_what_is_saved_is_written_otherwise() {
        let saved = fed(&history()).snapshot();
        let digest = blake3::hash(&saved).to_hex();
        let of_format_1 = "2b05557836b93ebe567d4dd8506841f0b5b399c97b9be0478363e75d71cc4019";
        assert_eq!((FORMAT, digest.as_str()), (1, of_format_1));
    }

    #[test]
    fn a_subscriber_gets_from_a_restored_edge_what_it_missed() {
        let restored = FanOut::new();
        restored.restore(&fed(&history()).snapshot()).unwrap();
        let connection = restored.connections.open(Codec::Rkyv);
        let key = StreamKey::of(Topic::Private, PROVIDER);
        let mut streams = lock(&restored.streams);
        let (result, subscription) = streams.subscribe(Topic::Private, key, Some(1), &connection);
        assert!(matches!(result, SubscribeResult::Opened { next: 1 }));
        let frames = subscription.unwrap().buffer.take();
        assert_eq!(frames, {
            let fresh = fed(&history());
            let connection = fresh.connections.open(Codec::Rkyv);
            let mut streams = lock(&fresh.streams);
            let subscribed = streams.subscribe(Topic::Private, key, Some(1), &connection);
            subscribed.1.unwrap().buffer.take()
        });
        drop(streams);
        assert_eq!(restored.exchange(), fed(&history()).exchange());
        assert_eq!(restored.ts_public(), fed(&history()).ts_public());
        let index = lock(&restored.blobs);
        let source = gavel_protocol::BlobSource::Deliverable(CONTRACT);
        assert!(index.place(BUYER, source).is_some());
        assert!(index.place(AgentId::new(99), source).is_none());
    }

    #[test]
    fn a_stream_that_has_dropped_its_oldest_events_keeps_its_numbers() {
        let mut batches = Batches::default();
        let many = EVENTS_PER_STREAM_KEPT as u64 + 10;
        for revision in 1..=many {
            batches.events(&[Event::StandingQuoteSet(standing_quote_set(revision))]);
        }
        let saved = fed(&[batches.take()]).snapshot();
        let restored = FanOut::new();
        restored.restore(&saved).unwrap();
        assert_eq!(restored.snapshot(), saved);
        let key = StreamKey::Capability(standing_quote_set(1).capability);
        assert_eq!(lock(&restored.streams).next(key), many + 1);
    }

    #[test]
    fn an_open_problem_is_saved() {
        use gavel_protocol::{Item, PaymentRule};
        let fan_out = FanOut::new();
        let terms = BundleTerms {
            items: vec![Item { quantity: 1, load: 1, reserve: Micros::new(5) }],
            free_disposal: false,
            all_or_none: false,
            payment: PaymentRule::PayAsBid,
            clearing_within: gavel_protocol::limits::CLEARING_MAX,
            external_solvers: true,
        };
        let empty = fan_out.snapshot();
        fan_out.problems.opened(rfq_opened().rfq, &terms);
        let saved = fan_out.snapshot();
        assert_ne!(saved, empty);
        let restored = FanOut::new();
        restored.restore(&saved).unwrap();
        assert_eq!(restored.snapshot(), saved);
    }

    #[test]
    fn bytes_that_are_cut_off_or_of_another_format_are_refused_and_change_nothing() {
        let saved = fed(&history()).snapshot();
        let fan_out = FanOut::new();
        let empty = fan_out.snapshot();
        let mut other = saved.clone();
        other[0] = 9;
        assert_eq!(fan_out.restore(&other), Err(RestoreError::OtherFormat(9)));
        assert!(fan_out.restore(&saved[..saved.len() - 1]).is_err());
        for place in 4..saved.len() {
            let mut changed = saved.clone();
            changed[place] ^= 0x80;
            // Nothing panics; what is still a value is caught by the file's digest.
            let _ = FanOut::new().restore(&changed);
        }
        assert_eq!(fan_out.snapshot(), empty);
    }
}
