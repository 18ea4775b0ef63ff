//! A short name with a fixed place in memory, so that the core can carry it.

use core::fmt;
use core::str::FromStr;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use crate::json::as_text;
use crate::limits::NAME_BYTES_MAX;

/// A name of 1 to 40 characters: lower-case letters, digits, `.`, `-` and `_`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, RkyvSerialize)]
#[rkyv(derive(Debug))]
pub struct Name {
    // Bytes after the name are zero, so that equal names have equal bytes.
    bytes: [u8; NAME_BYTES_MAX],
}

/// A text that is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a name of 1 to 40 characters out of a-z, 0-9, `.`, `-`, `_`")]
pub struct NameError;

impl Name {
    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        let len = self.bytes.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES_MAX);
        core::str::from_utf8(&self.bytes[..len]).unwrap_or("")
    }

    fn is_valid(bytes: &[u8; NAME_BYTES_MAX]) -> bool {
        let len = bytes.iter().position(|b| *b == 0).unwrap_or(NAME_BYTES_MAX);
        let allowed = |b: &u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        len > 0 && bytes[..len].iter().all(allowed) && bytes[len..].iter().all(|b| *b == 0)
    }
}

// Written by hand because not every byte sequence of the right length is a Name.
impl<D> RkyvDeserialize<Name, D> for ArchivedName
where
    D: rkyv::rancor::Fallible + ?Sized,
    D::Error: rkyv::rancor::Source,
{
    fn deserialize(&self, _: &mut D) -> Result<Name, D::Error> {
        if Name::is_valid(&self.bytes) {
            return Ok(Name { bytes: self.bytes });
        }
        rkyv::rancor::fail!(NameError)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut bytes = [0; NAME_BYTES_MAX];
        bytes.get_mut(..text.len()).ok_or(NameError)?.copy_from_slice(text.as_bytes());
        if Self::is_valid(&bytes) && !text.as_bytes().contains(&0) {
            return Ok(Self { bytes });
        }
        Err(NameError)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

as_text!(Name);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_plain() {
        assert_eq!("ocr.invoice-vi_1".parse::<Name>().unwrap().as_str(), "ocr.invoice-vi_1");
        for text in
            ["", "Upper", "with space", "nul\0", "a23456789012345678901234567890123456789012"]
        {
            assert_eq!(text.parse::<Name>(), Err(NameError), "{text:?}");
        }
    }
}
