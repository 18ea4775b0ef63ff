//! How values are written on the command line.

use gavel_protocol::{CurvePoint, DurationNs, Micros};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Reads an amount such as `12.50`.
pub fn money(text: &str) -> Result<Micros, gavel_protocol::ParseMoneyError> {
    Micros::parse_units(text)
}

/// Reads a choice by its name in JSON; `-` will do for `_`.
pub fn choice<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let name = Value::String(text.replace('-', "_"));
    serde_json::from_value(name).map_err(|error| error.to_string())
}

/// Reads a point of a price curve, such as `30s:40.00`.
pub fn curve_point(text: &str) -> Result<CurvePoint, String> {
    let (after, price) = text.split_once(':').ok_or("expected TIME:PRICE, such as 30s:40.00")?;
    let price = money(price).map_err(|error| error.to_string())?;
    Ok(CurvePoint { after: duration(after)?, price })
}

/// Reads a length of time: `0`, `500ms`, `30s`, `5m` or `1h`.
fn duration(text: &str) -> Result<DurationNs, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "expected a time such as 500ms, 30s or 5m")?;
    match &text[digits.len()..] {
        "ms" => Ok(DurationNs::from_millis(number)),
        "s" => Ok(DurationNs::from_secs(number)),
        "m" => Ok(DurationNs::from_secs(number.saturating_mul(60))),
        "h" => Ok(DurationNs::from_secs(number.saturating_mul(3_600))),
        "" if number == 0 => Ok(DurationNs::ZERO),
        _ => Err("expected a unit: ms, s, m or h".into()),
    }
}

#[cfg(test)]
mod tests {
    use gavel_protocol::{Attribute, NoQuoteReason};

    use super::*;

    #[test]
    fn a_point_of_a_curve_is_a_time_and_a_price() {
        let point = curve_point("1500ms:12.50").unwrap();
        assert_eq!(point.after, DurationNs::from_millis(1_500));
        assert_eq!(point.price, Micros::new(12_500_000));
        assert_eq!(curve_point("0:1.00").unwrap().after, DurationNs::ZERO);
        assert_eq!(curve_point("2m:1.00").unwrap().after, DurationNs::from_secs(120));
        for wrong in ["10.00", "30:10.00", "s:1.00", "30s:x", "30d:1.00", "-1s:1.00"] {
            assert!(curve_point(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_choice_is_named_as_in_json_or_with_dashes() {
        assert_eq!(choice("data_in_eu"), Ok(Attribute::DataInEu));
        assert_eq!(choice("no-capacity"), Ok(NoQuoteReason::NoCapacity));
        let error = choice::<Attribute>("data_on_mars").unwrap_err();
        assert!(error.contains("data_in_eu"), "it says what there is: {error}");
    }
}
