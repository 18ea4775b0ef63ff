//! Money: millionths of a currency unit, checked, never rounded silently.

use core::fmt;
use core::str::FromStr;

use rkyv::{Archive, Deserialize as RkyvDeserialize, Serialize as RkyvSerialize};

use crate::json::as_text;

/// An amount in millionths of a currency unit. As JSON: the millionths as a decimal string.
///
/// `Display` writes units with at least two decimals (`12.50`), `FromStr` reads the JSON form and
/// [`Micros::parse_units`] the written one.
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
pub struct Micros(i64);

/// One million: the parts per million in a whole, and the millionths in a unit.
const MILLION: i64 = 1_000_000;

/// The basis points in a whole.
const TEN_THOUSAND: i64 = 10_000;

impl Micros {
    /// No money.
    pub const ZERO: Self = Self(0);

    /// Wraps millionths.
    pub const fn new(micros: i64) -> Self {
        Self(micros)
    }

    /// Returns the millionths.
    pub const fn raw(self) -> i64 {
        self.0
    }

    /// Returns the sum, or `None` if it does not fit.
    pub const fn plus(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// Returns the difference, or `None` if it does not fit.
    pub const fn minus(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(difference) => Some(Self(difference)),
            None => None,
        }
    }

    /// Returns the amount `quantity` times, or `None` if it does not fit.
    pub const fn times(self, quantity: u32) -> Option<Self> {
        match self.0.checked_mul(quantity as i64) {
            Some(product) => Some(Self(product)),
            None => None,
        }
    }

    /// Returns the exchange's fee on `self`, rounded down, so rounding favours the payer.
    ///
    /// Returns `None` if `rate_ppm` is above one million or `self` is negative.
    pub const fn fee_rounded_down(self, rate_ppm: u32) -> Option<Self> {
        if rate_ppm as i64 > MILLION || self.0 < 0 {
            return None;
        }
        let (units, rest) = (self.0 / MILLION, self.0 % MILLION);
        // units * rate <= i64::MAX because rate <= MILLION; rest * rate < 10^12.
        Some(Self(units * rate_ppm as i64 + rest * rate_ppm as i64 / MILLION))
    }

    /// Returns so many basis points of `self`, rounded down, or `None` if `self` is negative.
    pub const fn bps_rounded_down(self, bps: u16) -> Option<Self> {
        if self.0 < 0 {
            return None;
        }
        let (wholes, rest) = (self.0 / TEN_THOUSAND, self.0 % TEN_THOUSAND);
        // The rest times a u16 is below 10^9.
        match wholes.checked_mul(bps as i64) {
            Some(share) => Self(share).plus(Self(rest * bps as i64 / TEN_THOUSAND)),
            None => None,
        }
    }

    /// Returns so many basis points of `self`, rounded up, or `None` if `self` is negative or they
    /// do not fit.
    pub const fn bps_rounded_up(self, bps: u16) -> Option<Self> {
        let Some(down) = self.bps_rounded_down(bps) else { return None };
        let rest = self.0 % TEN_THOUSAND * bps as i64 % TEN_THOUSAND;
        if rest == 0 { Some(down) } else { down.plus(Self(1)) }
    }

    /// Reads an amount as people write it: `12`, `12.5`, `-0.000001`; at most six decimals.
    ///
    /// # Errors
    ///
    /// [`ParseMoneyError`] if the text is not such a number or does not fit.
    pub fn parse_units(text: &str) -> Result<Self, ParseMoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(decimals) || decimals.len() > 6 {
            return Err(ParseMoneyError);
        }
        let scale = 10_i64.pow(u32::try_from(6 - decimals.len()).map_err(|_| ParseMoneyError)?);
        let whole: i64 = whole.parse().map_err(|_| ParseMoneyError)?;
        let decimals: i64 = decimals.parse().map_err(|_| ParseMoneyError)?;
        let micros = whole
            .checked_mul(MILLION)
            .and_then(|micros| micros.checked_add(decimals * scale))
            .ok_or(ParseMoneyError)?;
        Ok(Self(if negative { -micros } else { micros }))
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let magnitude = self.0.unsigned_abs();
        let (units, mut rest) = (magnitude / 1_000_000, magnitude % 1_000_000);
        let mut width = 6;
        while width > 2 && rest.is_multiple_of(10) {
            rest /= 10;
            width -= 1;
        }
        write!(f, "{sign}{units}.{rest:0width$}")
    }
}

impl FromStr for Micros {
    type Err = core::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl serde::Serialize for Micros {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Micros {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <alloc::string::String as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an amount such as 12.50, with at most six decimals and below 9223372036854")]
pub struct ParseMoneyError;

/// A currency: three capital letters, as in ISO 4217 (`USD`), or a token's own three-letter code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Archive, RkyvSerialize)]
#[rkyv(derive(Debug))]
pub struct Currency([u8; 3]);

impl Currency {
    /// The United States dollar, the default of the command line.
    pub const USD: Self = Self(*b"USD");

    const fn is_valid(code: [u8; 3]) -> bool {
        code[0].is_ascii_uppercase() && code[1].is_ascii_uppercase() && code[2].is_ascii_uppercase()
    }

    /// Returns the code.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("???")
    }
}

// Written by hand because not every byte sequence of the right length is a Currency.
impl<D> RkyvDeserialize<Currency, D> for ArchivedCurrency
where
    D: rkyv::rancor::Fallible + ?Sized,
    D::Error: rkyv::rancor::Source,
{
    fn deserialize(&self, _: &mut D) -> Result<Currency, D::Error> {
        if Currency::is_valid(self.0) {
            return Ok(Currency(self.0));
        }
        rkyv::rancor::fail!(ParseCurrencyError)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({self})")
    }
}

/// A text that is not a currency code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a currency as three capital letters, such as USD")]
pub struct ParseCurrencyError;

impl FromStr for Currency {
    type Err = ParseCurrencyError;

    fn from_str(text: &str) -> Result<Self, ParseCurrencyError> {
        let code: [u8; 3] = text.as_bytes().try_into().map_err(|_| ParseCurrencyError)?;
        if Self::is_valid(code) { Ok(Self(code)) } else { Err(ParseCurrencyError) }
    }
}

as_text!(Currency);

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn a_fee_is_rounded_down_and_never_overflows() {
        assert_eq!(Micros::new(99).fee_rounded_down(10_000), Some(Micros::ZERO));
        assert_eq!(Micros::new(100).fee_rounded_down(10_000), Some(Micros::new(1)));
        assert_eq!(Micros::new(i64::MAX).fee_rounded_down(1_000_000), Some(Micros::new(i64::MAX)));
        assert_eq!(Micros::new(1).fee_rounded_down(1_000_001), None);
    }

    #[test]
    fn an_amount_is_read_as_it_is_written() {
        for text in ["0.00", "12.50", "-0.000001", "9223372036854.775807"] {
            assert_eq!(Micros::parse_units(text).unwrap().to_string(), text);
        }
        for text in ["", ".5", "1.", "1e3", "1.0000001", "--1", "9223372036854.775808", "+1"] {
            assert_eq!(Micros::parse_units(text), Err(ParseMoneyError), "{text}");
        }
    }

    #[test]
    fn a_currency_is_three_capitals() {
        assert_eq!("EUR".parse::<Currency>().unwrap().to_string(), "EUR");
        assert!("eur".parse::<Currency>().is_err());
    }
}
