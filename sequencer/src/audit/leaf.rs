//! Leaves: one event each, in canonical form, with what hides it.

use std::fmt;

use gavel_protocol::{EventId, Salt, TimestampNs, TreeHash};

use super::tree::hash_of_leaf;

/// What a leaf's content begins with, so that it can be taken for nothing else.
const CONTEXT: &[u8] = b"gavel audit leaf 1\0";

/// One event of the market, as it is in the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// How people name it.
    pub event_id: EventId,
    /// When it happened.
    pub ts_event: TimestampNs,
    /// What hides it.
    pub salt: Salt,
    /// The event as JSON: the very bytes that count, however one would write it otherwise.
    pub event: String,
}

impl Leaf {
    /// Returns the bytes that the tree's leaf is the hash of: a context that ends with a zero byte, the
    /// event id (16 bytes), the salt (32), `ts_event` in nanoseconds (8, little-endian), the event's text.
    pub fn content(&self) -> Vec<u8> {
        let Self { event_id, ts_event, salt, event } = self;
        [
            CONTEXT,
            event_id.as_bytes(),
            salt.as_bytes(),
            &ts_event.nanos().to_le_bytes(),
            event.as_bytes(),
        ]
        .concat()
    }

    /// Returns the leaf's hash in the tree.
    pub fn hash(&self) -> TreeHash {
        hash_of_leaf(&self.content())
    }
}

/// Where an event is among all that are shown. Nobody outside learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The place of the event, in the order in which events are shown.
    pub position: u64,
    /// Zero for the event itself; from 1 on the entries of its ranked list.
    pub entry: u64,
}

/// Where a leaf stands in a group that is shuffled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank([u8; 16]);

/// What event ids, salts and the order of shuffled groups are derived from.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Wraps 32 random bytes.
    pub const fn new(raw: [u8; 32]) -> Self {
        Self(raw)
    }

    /// Makes the leaf of an event.
    ///
    /// Everything is derived by keyed BLAKE3 from the event and its place, so it can be made again, and
    /// by nobody without the secret. The event itself goes in as well: after a restored backup another
    /// one may come to the same place, and must not be hidden by a salt that was shown.
    pub fn leaf(&self, place: Place, ts_event: TimestampNs, event: String) -> (Leaf, Rank) {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&place.position.to_le_bytes());
        hasher.update(&place.entry.to_le_bytes());
        hasher.update(&ts_event.nanos().to_le_bytes());
        hasher.update(event.as_bytes());
        let mut derived = hasher.finalize_xof();
        let (mut event_id, mut salt, mut rank) = ([0; 16], [0; 32], [0; 16]);
        derived.fill(&mut event_id);
        derived.fill(&mut salt);
        derived.fill(&mut rank);
        let (event_id, salt) = (EventId::new(event_id), Salt::new(salt));
        (Leaf { event_id, ts_event, salt, event }, Rank(rank))
    }
}

// Not what it is: who has it can tell leaves from their hashes.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: TimestampNs = TimestampNs::from_nanos(7);

    fn leaf(secret: u8, position: u64, entry: u64, event: &str) -> (Leaf, Rank) {
        Secret::new([secret; 32]).leaf(Place { position, entry }, TIME, event.into())
    }

    #[test]
    fn a_leaf_can_be_made_again_and_only_with_the_secret_at_its_place() {
        let (one, rank) = leaf(1, 2, 3, "{}");
        assert_eq!(leaf(1, 2, 3, "{}"), (one.clone(), rank));
        for (other, other_rank) in
            [leaf(2, 2, 3, "{}"), leaf(1, 3, 3, "{}"), leaf(1, 2, 4, "{}"), leaf(1, 2, 3, "{ }")]
        {
            assert_ne!(other.event_id, one.event_id);
            assert_ne!(other.salt, one.salt);
            assert_ne!(other_rank, rank);
        }
        assert_eq!(format!("{:?}", Secret::new([1; 32])), "Secret");
    }

    #[test]
    fn all_of_a_leaf_is_in_its_content() {
        let (leaf, _) = leaf(1, 1, 0, "{\"a\":1}");
        let content = leaf.content();
        assert_eq!(content.len(), 19 + 16 + 32 + 8 + 7);
        assert!(content.starts_with(b"gavel audit leaf 1\0"));
        assert!(content.ends_with(b"\x07\0\0\0\0\0\0\0{\"a\":1}"));
        let later = Leaf { ts_event: TimestampNs::from_nanos(8), ..leaf.clone() };
        assert_ne!(later.hash(), leaf.hash());
    }
}
