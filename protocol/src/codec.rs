//! The two codecs: the same types as rkyv archives or as JSON.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// How payloads are written. Chosen once per connection, by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    /// rkyv archives, little-endian and unaligned: ALPN `gavel/1`.
    Rkyv,
    /// JSON: ALPN `gavel-json/1`.
    Json,
}

impl Codec {
    /// Both codecs.
    pub const ALL: [Self; 2] = [Self::Rkyv, Self::Json];

    /// Returns the ALPN identifier.
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Rkyv => b"gavel/1",
            Self::Json => b"gavel-json/1",
        }
    }

    /// Returns the codec that an ALPN identifier chooses.
    pub fn from_alpn(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.alpn() == alpn)
    }
}

/// Bytes that are not a value of the template they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the payload is not a value of its template")]
pub struct DecodeError;

/// What travels in a frame.
pub(crate) trait Payload: Sized {
    /// Appends the payload to `out`.
    fn write(&self, codec: Codec, out: &mut Vec<u8>);

    /// Reads a payload, validating every byte of it.
    fn read(codec: Codec, bytes: &[u8]) -> Result<Self, DecodeError>;
}

impl<T: Payload> Payload for Box<T> {
    fn write(&self, codec: Codec, out: &mut Vec<u8>) {
        T::write(self, codec, out);
    }

    fn read(codec: Codec, bytes: &[u8]) -> Result<Self, DecodeError> {
        T::read(codec, bytes).map(Box::new)
    }
}

/// Makes types [`Payload`]s. A macro, because rkyv's bounds do not fit into a trait's.
macro_rules! payloads {
    ($($name:ident),+ $(,)?) => {$(
        impl crate::codec::Payload for $name {
            fn write(&self, codec: crate::codec::Codec, out: &mut alloc::vec::Vec<u8>) {
                match codec {
                    crate::codec::Codec::Rkyv => {
                        rkyv::util::with_arena(|arena| {
                            rkyv::api::low::to_bytes_in_with_alloc::<_, _, rkyv::rancor::Failure>(
                                self,
                                &mut *out,
                                arena.acquire(),
                            )
                        })
                        .expect("memory is the only thing that writing to a Vec needs");
                    }
                    crate::codec::Codec::Json => {
                        let json = serde_json::to_vec(self)
                            .expect("no map keys and no fallible Serialize in the vocabulary");
                        out.extend_from_slice(&json);
                    }
                }
            }

            fn read(
                codec: crate::codec::Codec,
                bytes: &[u8],
            ) -> Result<Self, crate::codec::DecodeError> {
                match codec {
                    crate::codec::Codec::Rkyv => {
                        rkyv::api::low::from_bytes::<Self, rkyv::rancor::Failure>(bytes)
                            .map_err(|_| crate::codec::DecodeError)
                    }
                    crate::codec::Codec::Json => {
                        serde_json::from_slice(bytes).map_err(|_| crate::codec::DecodeError)
                    }
                }
            }
        }
    )+};
}

pub(crate) use payloads;
