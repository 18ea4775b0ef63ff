//! When a Dutch price will have come to what a provider wants: the curve is public, so nobody has
//! to ask over and over.

use gavel_protocol::limits::BPS_MAX;
use gavel_protocol::{AgentId, CurvePoint, DurationNs, DutchTerms, Micros};

/// Returns how long after the opening `provider` gets `limit` per unit, or `None` if it never does.
pub fn reaches(dutch: &DutchTerms, provider: AgentId, limit: Micros) -> Option<DurationNs> {
    let usual = curve_reaches(&dutch.curve, i128::from(limit.raw()))?;
    let Some(first) = dutch.exclusive.filter(|first| first.provider != provider) else {
        return Some(usual);
    };
    // While another has the first word, the price is less by so much, rounded down.
    let kept = i128::from(BPS_MAX.saturating_sub(first.beatable_by_bps));
    let higher = divided_up(i128::from(limit.raw()) * i128::from(BPS_MAX), kept);
    let early = match first.beatable_by_bps {
        0 => None,
        _ => higher.and_then(|higher| curve_reaches(&dutch.curve, higher)),
    };
    match early {
        Some(early) if early < first.until => Some(early),
        Some(_) | None => Some(usual.max(first.until)),
    }
}

/// Returns when the curve comes to a price, in millionths. Between two points the exchange rounds
/// the price down, so the first instant at which it is there is rounded up.
fn curve_reaches(curve: &[CurvePoint], wanted: i128) -> Option<DurationNs> {
    let price = |point: &CurvePoint| i128::from(point.price.raw());
    if curve.first().is_some_and(|first| price(first) >= wanted) {
        return Some(DurationNs::ZERO);
    }
    let pairs = curve.iter().zip(curve.iter().skip(1));
    let (from, to) = pairs.into_iter().find(|(_, to)| price(to) >= wanted)?;
    let time = i128::from(to.after.nanos()) - i128::from(from.after.nanos());
    let (missing, rise) = (wanted - price(from), price(to) - price(from));
    let wait = u64::try_from(divided_up(missing * time, rise)?).ok()?;
    Some(from.after.plus(DurationNs::from_nanos(wait)))
}

/// Returns the quotient of numbers that are not negative, rounded up; `None` by zero.
fn divided_up(number: i128, by: i128) -> Option<i128> {
    if by <= 0 { None } else { Some((number + by - 1) / by) }
}

#[cfg(test)]
mod tests {
    use gavel_protocol::Exclusivity;

    use super::*;

    const ME: AgentId = AgentId::new(1);
    const OTHER: AgentId = AgentId::new(2);

    fn dutch(exclusive: Option<Exclusivity>) -> DutchTerms {
        let point = |after, price| CurvePoint {
            after: DurationNs::from_nanos(after),
            price: Micros::new(price),
        };
        DutchTerms { curve: vec![point(0, 100), point(10, 110), point(13, 111)], exclusive }
    }

    fn at(dutch: &DutchTerms, limit: i64) -> Option<u64> {
        reaches(dutch, ME, Micros::new(limit)).map(DurationNs::nanos)
    }

    #[test]
    fn the_price_is_there_at_the_first_instant_that_rounds_down_to_it() {
        let dutch = dutch(None);
        assert_eq!(at(&dutch, 1), Some(0));
        assert_eq!(at(&dutch, 100), Some(0));
        assert_eq!(at(&dutch, 105), Some(5));
        // From 10 to 13 it rises by one, and is 110 until the very end.
        assert_eq!(at(&dutch, 111), Some(13));
        assert_eq!(at(&dutch, 112), None);
    }

    #[test]
    fn whoever_does_not_have_the_first_word_waits_or_takes_for_less() {
        let first = |beatable_by_bps| {
            let until = DurationNs::from_nanos(9);
            Some(Exclusivity { provider: OTHER, until, beatable_by_bps })
        };
        let alone = dutch(first(0));
        assert_eq!(at(&alone, 100), Some(9));
        assert_eq!(at(&alone, 110), Some(10));
        assert_eq!(reaches(&alone, OTHER, Micros::new(100)), Some(DurationNs::ZERO));
        // Five percent less: 95 at once, 98 once the curve is at 104 (98.8, rounded down).
        let beatable = dutch(first(500));
        assert_eq!(at(&beatable, 95), Some(0));
        assert_eq!(at(&beatable, 98), Some(4));
        // 104.5 at the end of the curve would be too late: then the first word is over.
        assert_eq!(at(&beatable, 104), Some(9));
    }
}
