//! How values are written on the command line.

use gavel_protocol::{CurvePoint, DurationNs, GroupRule, Item, Items, Micros};
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

/// Reads an item of a combinatorial RFQ, such as `10.00`, or `5.00x2@3`: two units of 5.00 each, and
/// a load of 3.
pub fn item(text: &str) -> Result<Item, String> {
    let expected = "expected RESERVE[xQUANTITY][@LOAD], such as 5.00x2@3";
    let (text, load) = text.split_once('@').unwrap_or((text, "1"));
    let (reserve, quantity) = text.split_once('x').unwrap_or((text, "1"));
    Ok(Item {
        quantity: quantity.parse().map_err(|_| expected)?,
        load: load.parse().map_err(|_| expected)?,
        reserve: money(reserve).map_err(|_| expected)?,
    })
}

/// Items, and a price for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BundleArg {
    /// The items.
    pub items: Items,
    /// The price.
    pub price: Micros,
}

/// Reads a bundle, such as `0,2:15.00`.
pub fn bundle(text: &str) -> Result<BundleArg, String> {
    let (numbers, price) = text.split_once(':').ok_or("expected ITEMS:PRICE, such as 0,2:15.00")?;
    let mut items = Items::EMPTY;
    for number in numbers.split(',') {
        let item = number.parse().map_err(|_| format!("`{number}` is no item, from 0 to 255"))?;
        if !items.insert(item) {
            return Err(format!("item {item} stands there twice"));
        }
    }
    let price = money(price).map_err(|error| error.to_string())?;
    Ok(BundleArg { items, price })
}

/// Reads how many bundles of a group may win: `xor`, or `or:10`.
pub fn group_rule(text: &str) -> Result<GroupRule, String> {
    if text == "xor" {
        return Ok(GroupRule::Xor);
    }
    let capacity = text.strip_prefix("or:").and_then(|capacity| capacity.parse().ok());
    Ok(GroupRule::Or(capacity.ok_or("expected xor, or or:CAPACITY such as or:10")?))
}

/// Reads a length of time: `0`, `500ms`, `30s`, `5m` or `1h`.
pub fn duration(text: &str) -> Result<DurationNs, String> {
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

    #[test]
    fn an_item_is_a_reserve_and_may_have_a_quantity_and_a_load() {
        let reserve = Micros::new(5_000_000);
        assert_eq!(item("5.00"), Ok(Item { quantity: 1, load: 1, reserve }));
        assert_eq!(item("5.00x2"), Ok(Item { quantity: 2, load: 1, reserve }));
        assert_eq!(item("5.00x2@3"), Ok(Item { quantity: 2, load: 3, reserve }));
        assert_eq!(item("5.00@0"), Ok(Item { quantity: 1, load: 0, reserve }));
        for wrong in ["", "x2", "5.00x", "5.00@", "5.00@2x3", "-"] {
            assert!(item(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bundle_names_each_item_once_and_has_a_price() {
        let two = bundle("2,0:15.00").unwrap();
        assert_eq!((two.items.to_string(), two.price.raw()), ("0,2".into(), 15_000_000));
        for wrong in ["", "0", ":1.00", "0,:1.00", "0,0:1.00", "256:1.00", "0:"] {
            assert!(bundle(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn at_most_one_of_a_group_wins_or_as_many_as_it_has_room_for() {
        assert_eq!(group_rule("xor"), Ok(GroupRule::Xor));
        assert_eq!(group_rule("or:10"), Ok(GroupRule::Or(10)));
        for wrong in ["", "or", "or:", "or:-1", "and"] {
            assert!(group_rule(wrong).is_err(), "{wrong}");
        }
    }
}
