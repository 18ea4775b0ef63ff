//! How often something is done in a second, turn by turn.

use serde::{Serialize, Serializer};

/// Rates, one per turn. As a number: the median.
#[derive(Clone, Debug, Default)]
pub struct Rates(Vec<f64>);

impl Rates {
    /// Adds the rate of a turn.
    pub fn push(&mut self, per_second: f64) {
        self.0.push(per_second);
    }

    /// Returns the median, if there is one.
    pub fn measured(&self) -> Option<f64> {
        (!self.0.is_empty()).then(|| self.median())
    }

    /// Returns the median, or zero if there are none.
    pub fn median(&self) -> f64 {
        let mut rates = self.0.clone();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().unwrap_or(0.0)
    }
}

impl Serialize for Rates {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.median().round())
    }
}
