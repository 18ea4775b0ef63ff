//! Identities: what the exchange numbers, what a client numbers, and digests and keys.
//!
//! An id that the exchange makes is the sequence number of the command that made it, passed through
//! a permutation under the exchange's own key: it follows from the order of commands, and yet tells
//! its reader nothing about how many commands there were.

use core::fmt;
use core::str::FromStr;

use data_encoding::HEXLOWER;
use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use crate::json::as_text;
use crate::time::TimestampNs;

/// A text that is not the id it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ParseIdError {
    expected: &'static str,
}

/// The kinds of id that the exchange makes; no two kinds share a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum IdKind {
    /// [`AccountId`].
    Account = 1,
    /// [`AgentId`].
    Agent = 2,
    /// [`CapabilityId`].
    Capability = 3,
    /// [`RfqId`].
    Rfq = 4,
    /// [`QuoteId`].
    Quote = 5,
    /// [`ContractId`].
    Contract = 6,
    /// [`SessionId`].
    Session = 7,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $kind:ident, $prefix:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\nAs text: `", $prefix, "_` and 16 hexadecimal digits.")]
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            Archive, RkyvSerialize, RkyvDeserialize,
        )]
        #[rkyv(derive(Debug))]
        pub struct $name(u64);

        impl $name {
            /// Which kind of id this is.
            pub const KIND: IdKind = IdKind::$kind;

            /// Wraps a raw number.
            pub const fn new(raw: u64) -> Self {
                Self(raw)
            }

            /// Returns the raw number.
            pub const fn raw(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{:016x}"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                const EXPECTED: ParseIdError = ParseIdError {
                    expected: concat!("`", $prefix, "_` followed by 16 hexadecimal digits"),
                };
                let digits = text.strip_prefix(concat!($prefix, "_")).ok_or(EXPECTED)?;
                if digits.len() != 16 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Err(EXPECTED);
                }
                u64::from_str_radix(digits, 16).map(Self).map_err(|_| EXPECTED)
            }
        }

        as_text!($name);
    };
}

id!(
    /// An account: owns money and limits.
    AccountId, Account, "acct"
);
id!(
    /// An agent: software acting for an account.
    AgentId, Agent, "agent"
);
id!(
    /// A capability: a listed kind of work.
    CapabilityId, Capability, "cap"
);
id!(
    /// A request for quotes.
    RfqId, Rfq, "rfq"
);
id!(
    /// A sealed quote.
    QuoteId, Quote, "quote"
);
id!(
    /// A contract.
    ContractId, Contract, "contract"
);
id!(
    /// A session: a logon that survives reconnects within its grace.
    SessionId, Session, "session"
);

impl AgentId {
    /// The exchange itself: the author of time, recovery and session commands.
    pub const EXCHANGE: Self = Self(0);
}

impl AccountId {
    /// The exchange's own account: it collects the fees.
    pub const EXCHANGE: Self = Self(0);
}

/// A client's own number for one of its commands, unique per agent.
///
/// The upper 48 bits are its creation time in milliseconds since 1970, the lower 80 bits are the
/// client's to choose; a UUID of version 7 has this shape. As text: 32 hexadecimal digits.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Archive,
    RkyvSerialize,
    RkyvDeserialize,
)]
#[rkyv(derive(Debug))]
pub struct ClientId(u128);

impl ClientId {
    /// Wraps a raw number.
    pub const fn new(raw: u128) -> Self {
        Self(raw)
    }

    /// Builds an id from its creation time and the client's own 80 bits; higher bits are dropped.
    pub const fn from_parts(created: TimestampNs, unique: u128) -> Self {
        let millis = (created.nanos() / 1_000_000) as u128;
        Self((millis << 80) | (unique & ((1 << 80) - 1)))
    }

    /// Returns the raw number.
    pub const fn raw(self) -> u128 {
        self.0
    }

    /// Returns the creation time that the id carries, to the millisecond.
    pub const fn created(self) -> TimestampNs {
        // 48 bits of milliseconds are 2^48 * 10^6 < 2^68 nanoseconds: clamp instead of wrapping.
        let nanos = (self.0 >> 80) * 1_000_000;
        if nanos > u64::MAX as u128 {
            return TimestampNs::MAX;
        }
        #[expect(clippy::cast_possible_truncation, reason = "checked on the line above")]
        TimestampNs::from_nanos(nanos as u64)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for ClientId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        const EXPECTED: ParseIdError = ParseIdError { expected: "32 hexadecimal digits" };
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(EXPECTED);
        }
        u128::from_str_radix(text, 16).map(Self).map_err(|_| EXPECTED)
    }
}

as_text!(ClientId);

macro_rules! bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\nAs text: ", $expected, ".")]
        #[derive(
            Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            Archive, RkyvSerialize, RkyvDeserialize,
        )]
        #[rkyv(derive(Debug))]
        pub struct $name([u8; $len]);

        impl $name {
            /// Wraps raw bytes.
            pub const fn new(raw: [u8; $len]) -> Self {
                Self(raw)
            }

            /// Returns the raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                const EXPECTED: ParseIdError = ParseIdError { expected: $expected };
                let digits = text.strip_prefix($prefix).ok_or(EXPECTED)?;
                let raw = HEXLOWER.decode(digits.as_bytes()).map_err(|_| EXPECTED)?;
                raw.try_into().map(Self).map_err(|_| EXPECTED)
            }
        }

        as_text!($name);
    };
}

bytes!(
    /// A BLAKE3 digest: names a blob by its content.
    Digest, 32, "", "64 lower-case hexadecimal digits"
);
bytes!(
    /// An Ed25519 public key (RFC 8032): an agent's identity.
    PublicKey, 32, "", "64 lower-case hexadecimal digits"
);
bytes!(
    /// The 64 bytes of an Ed25519 signature (RFC 8032).
    SignatureBytes, 64, "", "128 lower-case hexadecimal digits"
);
bytes!(
    /// A number drawn by the server for one connection, which a logon signs.
    Nonce, 32, "", "64 lower-case hexadecimal digits"
);
bytes!(
    /// A hash of the audit log's tree: SHA-256, of a leaf or of two subtrees (RFC 6962).
    TreeHash, 32, "", "64 lower-case hexadecimal digits"
);
bytes!(
    /// What hides a leaf of the audit log from whoever knows only its hash.
    Salt, 32, "", "64 lower-case hexadecimal digits"
);
bytes!(
    /// How people name an event of the audit log. It says nothing about where the event is, or how many
    /// there are.
    EventId, 16, "event_", "`event_` followed by 32 lower-case hexadecimal digits"
);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::ToString;

    #[test]
    fn an_id_survives_its_text_and_refuses_another_kind() {
        let rfq = RfqId::new(0x1234);
        assert_eq!(rfq.to_string(), "rfq_0000000000001234");
        assert_eq!(rfq.to_string().parse(), Ok(rfq));
        assert!("quote_0000000000001234".parse::<RfqId>().is_err());
        assert!("rfq_+000000000001234".parse::<RfqId>().is_err());
    }

    #[test]
    fn a_client_id_carries_its_creation_time() {
        let created = TimestampNs::from_nanos(1_800_000_000_123_456_789);
        let id = ClientId::from_parts(created, u128::MAX);
        assert_eq!(id.created().nanos(), 1_800_000_000_123_000_000);
        assert_eq!(ClientId::new(u128::MAX).created(), TimestampNs::MAX);
    }

    #[test]
    fn an_event_id_has_one_text() {
        let id = EventId::new([0xab; 16]);
        let text = id.to_string();
        assert_eq!(text, format!("event_{}", "ab".repeat(16)));
        assert_eq!(text.parse(), Ok(id));
        for other in [text.to_uppercase(), text.replace("_ab", "_AB"), text.replace("event_", "")] {
            assert!(other.parse::<EventId>().is_err(), "{other}");
        }
        assert!("ab".parse::<Salt>().is_err());
    }
}
