//! Fixed numbers of bytes that people see as lower-case hexadecimal digits, and in no other form.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

/// A text that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct ParseHexError {
    expected: &'static str,
}

macro_rules! hex {
    ($(#[$doc:meta])* $name:ident, $len:literal, $prefix:literal, $expected:literal) => {
        $(#[$doc])*
        #[doc = concat!("\n\nAs text: ", $expected, ".")]
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
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
            type Err = ParseHexError;

            fn from_str(text: &str) -> Result<Self, ParseHexError> {
                const EXPECTED: ParseHexError = ParseHexError { expected: $expected };
                let digits = text.strip_prefix($prefix).ok_or(EXPECTED)?;
                let raw = HEXLOWER.decode(digits.as_bytes()).map_err(|_| EXPECTED)?;
                raw.try_into().map(Self).map_err(|_| EXPECTED)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseHexError;

            fn try_from(text: String) -> Result<Self, ParseHexError> {
                text.parse()
            }
        }
    };
}

hex!(
    /// A hash of the tree: SHA-256, of a leaf or of two subtrees.
    TreeHash, 32, "", "64 lower-case hexadecimal digits"
);
hex!(
    /// What hides a leaf from whoever knows only its hash.
    Salt, 32, "", "64 lower-case hexadecimal digits"
);
hex!(
    /// How people name an event. It says nothing about where the event is, or how many there are.
    EventId, 16, "event_", "`event_` followed by 32 lower-case hexadecimal digits"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_text_for_each_value() {
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
