//! The price of a Dutch RFQ: a public, piecewise-linear function of time.

use gavel_protocol::limits::{BPS_MAX, CURVE_POINTS_MAX};
use gavel_protocol::{AgentId, CurvePoint, DurationNs, DutchTerms, Exclusivity, Micros};

/// The price curve and the first word of a Dutch RFQ, without memory of its own on the heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dutch {
    points: [CurvePoint; CURVE_POINTS_MAX],
    len: usize,
    exclusive: Option<Exclusivity>,
}

/// Another provider has the first word, and cannot be beaten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exclusive;

impl Dutch {
    /// Takes terms that were checked: 1 to [`CURVE_POINTS_MAX`] points, each later than the one
    /// before.
    pub fn new(terms: &DutchTerms) -> Self {
        let len = terms.curve.len();
        assert!((1..=CURVE_POINTS_MAX).contains(&len), "invariant: curves are checked before");
        let mut points = [terms.curve[0]; CURVE_POINTS_MAX];
        points[..len].copy_from_slice(&terms.curve);
        Self { points, len, exclusive: terms.exclusive }
    }

    /// Returns the terms it was made of.
    pub fn terms(&self) -> DutchTerms {
        DutchTerms { curve: self.points().to_vec(), exclusive: self.exclusive }
    }

    /// Returns the price so long after the opening. Before the first point it is that of the first,
    /// after the last that of the last; between two it lies on the straight line, rounded down: in
    /// the buyer's favour.
    pub fn price_at(&self, elapsed: DurationNs) -> Micros {
        let points = self.points();
        let next = points.partition_point(|point| point.after <= elapsed);
        if next == 0 {
            return points[0].price;
        }
        let from = points[next - 1];
        let Some(to) = points.get(next) else { return from.price };
        let nanos = |duration: DurationNs| i128::from(duration.nanos());
        let rise = i128::from(to.price.raw()) - i128::from(from.price.raw());
        let part = rise * (nanos(elapsed) - nanos(from.after));
        let risen = part.div_euclid(nanos(to.after) - nanos(from.after));
        let price = i64::try_from(i128::from(from.price.raw()) + risen);
        Micros::new(price.expect("a price between two prices fits like them"))
    }

    /// Returns the price that a provider gets so long after the opening. While another has the first
    /// word it is less by the stated basis points, rounded down.
    ///
    /// # Errors
    ///
    /// [`Exclusive`] if the other one cannot be beaten.
    pub fn price_for(&self, provider: AgentId, elapsed: DurationNs) -> Result<Micros, Exclusive> {
        let price = self.price_at(elapsed);
        match self.exclusive {
            Some(first) if elapsed < first.until && provider != first.provider => {
                if first.beatable_by_bps == 0 {
                    return Err(Exclusive);
                }
                let kept = price.bps_rounded_down(BPS_MAX - first.beatable_by_bps);
                Ok(kept.expect("invariant: prices are above zero, and less of one fits"))
            }
            Some(_) | None => Ok(price),
        }
    }

    fn points(&self) -> &[CurvePoint] {
        &self.points[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn dutch(points: &[(u64, i64)]) -> Dutch {
        let point = |&(after, price): &(u64, i64)| CurvePoint {
            after: DurationNs::from_nanos(after),
            price: Micros::new(price),
        };
        let curve = points.iter().map(point).collect::<Vec<_>>();
        Dutch::new(&DutchTerms { curve, exclusive: None })
    }

    fn prices(dutch: &Dutch, times: &[u64]) -> Vec<i64> {
        let price = |time: &u64| dutch.price_at(DurationNs::from_nanos(*time)).raw();
        times.iter().map(price).collect()
    }

    /// The figures of UniswapX's test of its Dutch decay (`DutchDecayLib`): from 1 to 2 over the
    /// time 100..200, and back.
    #[test]
    fn the_price_moves_like_that_of_uniswapx() {
        let times = [0, 100, 110, 150, 180, 200, 300];
        let up = dutch(&[(100, 1_000_000), (200, 2_000_000)]);
        let expected =
            [1_000_000, 1_000_000, 1_100_000, 1_500_000, 1_800_000, 2_000_000, 2_000_000];
        assert_eq!(prices(&up, &times), expected);
        let down = dutch(&[(100, 2_000_000), (200, 1_000_000)]);
        let expected =
            [2_000_000, 2_000_000, 1_900_000, 1_500_000, 1_200_000, 1_000_000, 1_000_000];
        assert_eq!(prices(&down, &times), expected);
    }

    #[test]
    fn between_two_points_it_is_rounded_down() {
        let curve = dutch(&[(0, 10), (3, 11), (5, 30)]);
        assert_eq!(prices(&curve, &[0, 1, 2, 3, 4, 5]), [10, 10, 10, 11, 20, 30]);
        let falling = dutch(&[(0, 11), (3, 10)]);
        assert_eq!(prices(&falling, &[0, 1, 2, 3]), [11, 10, 10, 10]);
    }

    #[test]
    fn whoever_has_the_first_word_gets_the_whole_price() {
        let (first, other) = (AgentId::new(1), AgentId::new(2));
        let until = DurationNs::from_nanos(100);
        let mut curve = dutch(&[(0, 999)]);
        let at = DurationNs::from_nanos;
        curve.exclusive = Some(Exclusivity { provider: first, until, beatable_by_bps: 50 });
        assert_eq!(curve.price_for(first, at(99)), Ok(Micros::new(999)));
        assert_eq!(curve.price_for(other, at(99)), Ok(Micros::new(994)));
        assert_eq!(curve.price_for(other, at(100)), Ok(Micros::new(999)));
        curve.exclusive = Some(Exclusivity { provider: first, until, beatable_by_bps: 0 });
        assert_eq!(curve.price_for(other, at(99)), Err(Exclusive));
    }
}
