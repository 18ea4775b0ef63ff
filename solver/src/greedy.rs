//! Constructive solutions: columns in an order, each taken if it still goes.
//!
//! The order is by value per item to the power of one half or one (Lehmann, O'Callaghan and Shoham
//! 2002), or by what prices leave. It comes from counting into buckets: a near order is as good,
//! and much faster.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a key within [0, 1] becomes the number of a bucket"
)]

use crate::columns::{Columns, Setting};
use crate::region::Kept;

const BUCKETS: usize = 512;

/// Makes solutions.
#[derive(Debug, Default)]
pub(crate) struct Greedy<const W: usize> {
    pub kept: Kept<W>,
    pub winners: Vec<u32>,
    key: Vec<f64>,
    order: Vec<u32>,
    bucket: Vec<u32>,
}

impl<const W: usize> Greedy<W> {
    /// Makes a solution by descending key; a column with a key below `least` is not looked at.
    pub(crate) fn construct(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        key: impl Fn(usize) -> f64,
    ) -> i64 {
        self.key.clear();
        self.key.extend((0..columns.len()).map(key));
        self.sort();
        self.kept.reset(columns, setting);
        self.winners.clear();
        for column in &self.order {
            let gain = self.kept.gain(columns, setting, *column as usize);
            if let Some(gain) = gain.filter(|gain| *gain > 0) {
                self.kept.keep(columns, *column as usize, gain);
                self.winners.push(*column);
            }
        }
        self.kept.surplus
    }

    fn sort(&mut self) {
        let (mut low, mut high) = (f64::MAX, f64::MIN);
        for key in &self.key {
            low = low.min(*key);
            high = high.max(*key);
        }
        let scale = if high > low { (BUCKETS - 1) as f64 / (high - low) } else { 0.0 };
        self.bucket.clear();
        self.bucket.resize(BUCKETS + 1, 0);
        let bucket_of = |key: f64| ((high - key) * scale) as usize;
        for key in &self.key {
            self.bucket[bucket_of(*key) + 1] += 1;
        }
        for bucket in 1..=BUCKETS {
            self.bucket[bucket] += self.bucket[bucket - 1];
        }
        self.order.resize(self.key.len(), 0);
        for (column, key) in self.key.iter().enumerate() {
            let place = &mut self.bucket[bucket_of(*key)];
            self.order[*place as usize] = column as u32;
            *place += 1;
        }
        // Within a bucket the order is that of the columns; among the first it matters.
        let first = self.order.len().min(64);
        let key = &self.key;
        self.order[..first].sort_by(|a, b| key[*b as usize].total_cmp(&key[*a as usize]));
    }
}
