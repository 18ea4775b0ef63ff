//! Numbers that look random, the same for the same seed and name.

use crate::local_search::Random;

/// Draws numbers.
pub(super) struct Draw(Random);

impl Draw {
    /// Returns draws that depend on the seed and the name alone (FNV-1a over the name).
    pub(super) fn new(seed: u64, name: &str) -> Self {
        let mut state = seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            state = (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        let mut random = Random::new(state);
        // The first numbers of near states are near each other.
        for _ in 0..8 {
            random.below(2);
        }
        Self(random)
    }

    /// Returns a number below `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    /// Returns a number from 0 to 1.
    pub(super) fn share(&mut self) -> f64 {
        self.0.below(1 << 40) as f64 / (1_u64 << 40) as f64
    }

    /// Returns a number within.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.share() * (high - low)
    }

    /// Returns a number that is normally distributed (Box and Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }

    /// Returns whether something of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// Returns an index, drawn in proportion to the weights, or `None` if all are zero.
    pub(super) fn weighted(&mut self, weights: &[f64]) -> Option<usize> {
        let mut left = self.share() * weights.iter().sum::<f64>();
        let mut last = None;
        for (index, weight) in weights.iter().enumerate().filter(|(_, weight)| **weight > 0.0) {
            last = Some(index);
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }
}
