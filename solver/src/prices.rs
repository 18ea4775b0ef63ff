//! Prices of items: a bound on what any solution can be worth, and which columns cannot be in a
//! better one.
//!
//! Lagrangian relaxation (Held and Karp 1971; for set packing Fisher 1981): let every item have a
//! price that whoever wins it pays. Then no choice is worth more than the sum of all prices and,
//! for each group, the best of its columns' values less the prices of its items. The prices that
//! make this smallest are sought along a deflected subgradient (Camerini, Fratta and Maffioli 1975)
//! in steps of Polyak's length. A column whose choice would push the bound below what is already
//! had is left out (reduced-cost fixing). The search for prices is in floating point; every bound
//! that counts is formed again from rounded prices in integers.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "prices are sought in floating point, and rounded within the bounds of an amount"
)]

use crate::columns::{Columns, Setting};
use crate::limits::ITEMS_MAX;

/// Bits after the point of an integer price, so that rounding costs no bound.
pub(crate) const FINE: u32 = 8;
/// How much of the last direction goes into the next.
const DEFLECTION: f64 = 0.6;
/// The length of the first steps, beside Polyak's.
const LENGTH: f64 = 0.7;
/// The length of the steps after rows were added.
const ADDED_LENGTH: f64 = 0.3;
/// A row beyond the last, which fills up a column's last four.
const NO_ROW: u16 = ITEMS_MAX as u16;
const PADDED: usize = 2 * ITEMS_MAX;
/// How much shorter steps become.
const SHORTER: f64 = 0.75;

/// The search for prices.
#[derive(Debug, Default)]
pub(crate) struct Prices {
    price: Vec<f64>,
    best: Vec<f64>,
    most: Vec<f64>,
    value: Vec<f64>,
    /// Per column: its first four rows.
    firsts: Vec<[u16; 4]>,
    /// The further rows of the columns that have more, in fours: whose they are, and where they end.
    longer: Vec<(u32, u32)>,
    fours: Vec<[u16; 4]>,
    /// Where each group's columns end, unless every column is in one of its own.
    ends: Vec<u32>,
    /// Per column: where its further fours end.
    four_ends: Vec<u32>,
    /// Per column: what prices leave of its value.
    left: Vec<f64>,
    direction: Vec<f64>,
    count: Vec<f64>,
    /// The prices, and zero for [`NO_ROW`].
    padded: Vec<f64>,
    slack: Vec<f64>,
    pub best_bound: f64,
    length: f64,
    unimproved: u32,
    /// The columns that the last step would choose.
    pub chosen: Vec<u32>,
    /// Per column: how often steps chose it lately, and what always would be.
    often: Vec<f64>,
    always: f64,
}

impl Prices {
    /// Begins with the given prices.
    pub(crate) fn begin(&mut self, setting: &Setting, price: impl Iterator<Item = f64>) {
        let most =
            |item: usize| if setting.exact { f64::MAX } else { setting.reserve[item] as f64 };
        self.most = (0..setting.rows).map(most).collect();
        self.price.clear();
        self.price.extend(price.zip(&self.most).map(|(price, most)| price.clamp(0.0, *most)));
        self.best.clone_from(&self.price);
        self.best_bound = f64::MAX;
        self.direction = vec![0.0; setting.rows];
        self.count = vec![0.0; NO_ROW as usize + 1];
        self.padded.clear();
        self.padded.resize(PADDED, 0.0);
        self.length = LENGTH;
        self.unimproved = 0;
    }

    /// Takes note of other columns.
    pub(crate) fn take<const W: usize>(&mut self, columns: &Columns<W>) {
        self.value.clear();
        self.value.extend(columns.value.iter().map(|value| *value as f64));
        self.pack(columns);
        self.forget();
    }

    /// Begins to count anew how often columns are chosen.
    pub(crate) fn forget(&mut self) {
        self.often.clear();
        self.often.resize(self.value.len(), 0.0);
        self.always = 0.0;
    }

    /// Leaves out the columns that are not to be kept.
    pub(crate) fn retain<const W: usize>(&mut self, columns: &Columns<W>, keep: &[bool]) {
        let mut kept = keep.iter();
        self.value.retain(|_| *kept.next().unwrap_or(&false));
        let mut kept = keep.iter();
        self.often.retain(|_| *kept.next().unwrap_or(&false));
        self.pack(columns);
    }

    /// Lets what was chosen before count for less.
    pub(crate) fn fade(&mut self) {
        self.always *= 0.5;
        for often in &mut self.often {
            *often *= 0.5;
        }
    }

    /// Returns how often each column was chosen: one is always.
    pub(crate) fn shares(&mut self) -> &[f64] {
        let scale = 1.0 / self.always.max(1.0);
        for often in &mut self.often {
            *often *= scale;
        }
        self.always = 1.0;
        &self.often
    }

    /// Takes note of rows that were added: they have no price yet.
    pub(crate) fn add_rows<const W: usize>(&mut self, columns: &Columns<W>, setting: &Setting) {
        self.pack(columns);
        self.price.clone_from(&self.best);
        self.price.resize(setting.rows, 0.0);
        self.best.resize(setting.rows, 0.0);
        self.most.resize(setting.rows, f64::MAX);
        self.direction.clear();
        self.direction.resize(setting.rows, 0.0);
        self.length = ADDED_LENGTH;
        self.unimproved = 0;
        self.forget();
    }

    /// Keeps the prices of rows, and of the items that they bear on, within the reserves.
    fn keep_within(&mut self, setting: &Setting) {
        if setting.cuts.is_empty() {
            return;
        }
        self.slack.clear();
        self.slack.extend(self.most.iter().zip(&self.price).map(|(most, price)| most - price));
        for (row, items) in (setting.items..).zip(&setting.cuts) {
            let slack = items.iter().map(|item| self.slack[usize::from(*item)]);
            let price = slack.fold(self.price[row], f64::min).max(0.0);
            self.price[row] = price;
            for item in items {
                self.slack[usize::from(*item)] -= price;
            }
        }
    }

    /// Goes back to the best prices, with steps of the given length.
    pub(crate) fn restart(&mut self, length: f64) {
        self.price.clone_from(&self.best);
        self.direction.fill(0.0);
        self.best_bound = f64::MAX;
        self.length = length;
        self.unimproved = 0;
    }

    /// Returns whether further steps are too short to matter.
    pub(crate) fn is_settled(&self) -> bool {
        self.length < 0.004
    }

    /// Returns after how many steps without a better bound they become shorter: long ones soon.
    fn patience(&self) -> u32 {
        match self.length {
            long if long > 0.2 => 2,
            middle if middle > 0.05 => 4,
            _ => 5,
        }
    }

    /// Makes one step towards the target; returns the bound at the prices it began with.
    pub(crate) fn step(&mut self, setting: &Setting, target: f64) -> f64 {
        let bound = self.evaluate();
        if bound < self.best_bound {
            if bound < self.best_bound - (bound.abs() * 1e-5) {
                self.unimproved = 0;
            } else {
                self.unimproved += 1;
            }
            self.best_bound = bound;
            self.best.copy_from_slice(&self.price);
        } else {
            self.unimproved += 1;
        }
        if self.unimproved >= self.patience() {
            self.unimproved = 0;
            self.length *= SHORTER;
        }
        self.count.fill(1.0);
        self.always += 1.0;
        for column in &self.chosen {
            self.often[*column as usize] += 1.0;
            let column = *column as usize;
            let from = if column == 0 { 0 } else { self.four_ends[column - 1] as usize };
            let further = &self.fours[from..self.four_ends[column] as usize];
            for row in self.firsts[column].iter().chain(further.as_flattened()) {
                self.count[usize::from(*row)] -= 1.0;
            }
        }
        let mut norm = 0.0;
        for item in 0..self.price.len() {
            let mut direction = self.count[item] + DEFLECTION * self.direction[item];
            // A price that cannot go there takes no part.
            if (direction > 0.0 && self.price[item] <= 0.0)
                || (direction < 0.0 && self.price[item] >= self.most[item])
            {
                direction = 0.0;
            }
            self.direction[item] = direction;
            norm += direction * direction;
        }
        if norm > 0.0 {
            let step = self.length * (bound - target).max(0.0) / norm;
            for item in 0..self.price.len() {
                let price = self.price[item] - step * self.direction[item];
                self.price[item] = price.clamp(0.0, self.most[item]);
            }
            self.keep_within(setting);
        }
        bound
    }

    /// Forms the bound at the prices there are, and notes the columns that it would choose.
    ///
    /// One pass each for what all columns have, for what few have and for the groups: what is the
    /// same for all needs no branches that go wrong.
    fn evaluate(&mut self) -> f64 {
        let sum: f64 = self.price.iter().sum();
        self.padded[..self.price.len()].copy_from_slice(&self.price);
        let price = self.padded.first_chunk::<PADDED>().expect("it is as long");
        let paid = |four: &[u16; 4]| {
            // The remainder is the number itself, as the compiler cannot know.
            let [a, b, c, d] = four.map(|row| price[usize::from(row) % PADDED]);
            (a + b) + (c + d)
        };
        self.left.clear();
        let firsts = self.value.iter().zip(&self.firsts);
        self.left.extend(firsts.map(|(value, four)| value - paid(four)));
        let mut from = 0;
        for (column, end) in &self.longer {
            let further = self.fours[from..*end as usize].iter();
            self.left[*column as usize] -= further.map(paid).sum::<f64>();
            from = *end as usize;
        }
        sum + if self.ends.is_empty() { self.choose_each() } else { self.choose_by_group() }
    }

    /// Chooses every column that prices leave something of; returns what they leave in all.
    fn choose_each(&mut self) -> f64 {
        self.chosen.resize(self.left.len(), 0);
        let mut count = 0;
        let mut sums = [0.0; 4];
        for (column, left) in (0..).zip(&self.left) {
            self.chosen[count] = column;
            count += usize::from(*left > 0.0);
            sums[column as usize % 4] += left.max(0.0);
        }
        self.chosen.truncate(count);
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }

    /// Chooses the best column of each group; returns what prices leave of them in all.
    fn choose_by_group(&mut self) -> f64 {
        self.chosen.clear();
        let (mut from, mut sum) = (0, 0.0);
        for end in &self.ends {
            let (mut best, mut chosen) = (0.0, u32::MAX);
            for (column, left) in (from..).zip(&self.left[from as usize..*end as usize]) {
                if *left > best {
                    (best, chosen) = (*left, column);
                }
            }
            if chosen != u32::MAX {
                sum += best;
                self.chosen.push(chosen);
            }
            from = *end;
        }
        sum
    }

    /// Lays out each column's rows in fours.
    fn pack<const W: usize>(&mut self, columns: &Columns<W>) {
        self.firsts.clear();
        self.longer.clear();
        self.fours.clear();
        self.four_ends.clear();
        self.ends.clear();
        let mut groups = 0;
        for column in 0..columns.len() {
            let rows = columns.rows_of(column);
            let (first, further) = rows.split_at(rows.len().min(4));
            self.firsts.push(four(first));
            if !further.is_empty() {
                self.fours.extend(further.chunks(4).map(four));
                self.longer.push((column as u32, self.fours.len() as u32));
            }
            self.four_ends.push(self.fours.len() as u32);
            if column > 0 && columns.group[column] != columns.group[column - 1] {
                self.ends.push(column as u32);
                groups += 1;
            }
        }
        match groups + 1 >= columns.len() {
            true => self.ends.clear(),
            false => self.ends.push(columns.len() as u32),
        }
    }
}

/// Lays out four rows at most.
fn four(rows: &[u8]) -> [u16; 4] {
    std::array::from_fn(|index| rows.get(index).map_or(NO_ROW, |row| u16::from(*row)))
}

/// Integer prices, with [`FINE`] bits after the point, and the bound they prove.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proven {
    pub price: Vec<i64>,
    /// Per row: what a second award takes off at least, where it may be awarded twice.
    pub over: Vec<i64>,
    /// Per column: its value less its items' prices.
    pub left: Vec<i64>,
    /// Per column: the best of its group's, or zero.
    pub group_left: Vec<i64>,
    /// The bound: no solution of these columns is worth more.
    pub bound: i64,
}

impl Proven {
    /// Rounds the best prices, and forms the bound.
    pub(crate) fn round<const W: usize>(
        &mut self,
        prices: &Prices,
        setting: &Setting,
        columns: &Columns<W>,
    ) {
        let scale = (1_u64 << FINE) as f64;
        self.price.clear();
        self.price.extend(prices.best.iter().enumerate().map(|(row, price)| {
            let price = (price * scale).round() as i64;
            let most = match setting.exact || row >= setting.items {
                true => i64::MAX,
                false => setting.reserve[row] << FINE,
            };
            price.clamp(0, most)
        }));
        self.keep_within(setting);
        self.evaluate(columns);
    }

    /// Keeps the prices of rows, and of the items that they bear on, within the reserves.
    fn keep_within(&mut self, setting: &Setting) {
        self.over.clear();
        if setting.exact {
            self.over.resize(setting.rows, i64::MAX);
            return;
        }
        let items = self.price.iter().zip(&setting.reserve).take(setting.items);
        self.over.extend(items.map(|(price, reserve)| (reserve << FINE) - price));
        self.over.resize(setting.rows, 0);
        for (row, items) in (setting.items..).zip(&setting.cuts) {
            let free = items.iter().map(|item| self.over[usize::from(*item)]);
            let price = free.fold(self.price[row], i64::min);
            self.price[row] = price;
            for item in items {
                self.over[usize::from(*item)] -= price;
            }
        }
    }

    /// Forms the bound again, for other columns.
    pub(crate) fn evaluate<const W: usize>(&mut self, columns: &Columns<W>) {
        self.left.clear();
        self.group_left.clear();
        self.bound = self.price.iter().sum();
        let mut price = [0; ITEMS_MAX];
        price[..self.price.len()].copy_from_slice(&self.price);
        let mut from = 0;
        for column in 0..columns.len() {
            let mut left = columns.value[column] << FINE;
            for row in columns.rows_of(column) {
                left -= price[usize::from(*row)];
            }
            self.left.push(left);
            let ends =
                column + 1 == columns.len() || columns.group[column + 1] != columns.group[column];
            if ends {
                let best = self.left[from..].iter().copied().max().unwrap_or(0).max(0);
                self.group_left.resize(column + 1, best);
                self.bound += best;
                from = column + 1;
            }
        }
    }

    /// Returns, for each column, whether it can be in a solution worth more than `had`.
    pub(crate) fn promising(&self, had: i64, keep: &mut Vec<bool>) -> usize {
        let least = (had + 1) << FINE;
        keep.clear();
        keep.extend(
            self.left
                .iter()
                .zip(&self.group_left)
                .map(|(left, best)| self.bound - best + left >= least),
        );
        keep.iter().filter(|keep| **keep).count()
    }

    /// Returns how far a column's choice pushes the bound down.
    pub(crate) fn reduced_cost(&self, column: usize) -> i64 {
        self.group_left[column] - self.left[column]
    }
}
