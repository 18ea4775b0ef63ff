//! Time as the exchange knows it: nanoseconds that somebody else read from a clock.

use core::fmt;
use core::str::FromStr;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use crate::json::as_text;

/// A point in time: nanoseconds since 1970-01-01 UTC. As JSON: a decimal string.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
pub struct TimestampNs(u64);

/// A length of time in nanoseconds. As JSON: a decimal string.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
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
pub struct DurationNs(u64);

impl TimestampNs {
    /// The last instant that can be named.
    pub const MAX: Self = Self(u64::MAX);

    /// Wraps nanoseconds since 1970-01-01 UTC.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns nanoseconds since 1970-01-01 UTC.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Returns the instant `duration` later, or [`TimestampNs::MAX`] when that cannot be named: an
    /// instant so far away is never reached, so the limit changes nothing.
    pub const fn after(self, duration: DurationNs) -> Self {
        Self(self.0.saturating_add(duration.0))
    }

    /// Returns how long after `earlier` this is, or zero if it is not after it.
    pub const fn since(self, earlier: Self) -> DurationNs {
        DurationNs(self.0.saturating_sub(earlier.0))
    }

    /// Returns the instant `duration` earlier, or 1970 when that is earlier still.
    pub const fn before(self, duration: DurationNs) -> Self {
        Self(self.0.saturating_sub(duration.0))
    }
}

impl DurationNs {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// Wraps nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Wraps milliseconds; the longest nameable duration if they do not fit.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1_000_000))
    }

    /// Wraps seconds; the longest nameable duration if they do not fit.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Returns nanoseconds.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Returns the sum; the longest nameable duration if it does not fit.
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

macro_rules! decimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = core::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        as_text!($name);
    };
}

decimal!(TimestampNs);
decimal!(DurationNs);
