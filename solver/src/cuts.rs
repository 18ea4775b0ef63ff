//! Rows that no item stands for, but that prices make use of like items.
//!
//! The bound of item and group prices is that of the linear relaxation. It falls further with rows
//! of columns of which at most one can be chosen although no single item or group says so: cliques
//! of the conflict graph (Padberg 1973), found greedily in what the price search has chosen most
//! often (a guess at the primal solution, as in the volume algorithm of Barahona and Anbil 2000).
//!
//! Where items may be awarded twice, nothing excludes anything. There a row is of the columns that
//! have at least two of three items or groups (a Chvátal–Gomory cut): of these two can only be
//! chosen if one of the items is awarded twice, so that the row's price must be within what that
//! takes off. Every item of a row thus keeps its price, and those of its rows, within its reserve.

use crate::columns::{Columns, Setting};
use crate::items::{each_bit, meets};

/// Columns that rows are sought in: the bits of a set.
const SUPPORT_MAX: usize = 128;
/// Rows that are added at once.
const ADDED_MAX: usize = 8;
/// How much more than one the columns of a row must be chosen.
const VIOLATION_LEAST: f64 = 0.04;
/// Items and groups of which three are looked at together.
const TRIPLE_ROWS_MAX: usize = 64;

/// The search for such rows.
#[derive(Debug, Default)]
pub(crate) struct Cuts {
    /// Columns that were chosen most often, and how often: one is always.
    support: Vec<(f64, u32)>,
    /// Per such column: those that it excludes.
    excluded: Vec<u128>,
    /// What was found: how far beyond one, the columns of the support, the items or groups.
    found: Vec<(f64, u128, [u32; 3])>,
    /// Per row that is added: whether each column is in it.
    members: Vec<Vec<bool>>,
    together: Vec<f64>,
    active: Vec<u32>,
    active_of: Vec<u8>,
    of_active: Vec<u128>,
}

impl Cuts {
    /// Adds rows that the columns chosen so often break; returns how many.
    pub(crate) fn add<const W: usize>(
        &mut self,
        columns: &mut Columns<W>,
        setting: &mut Setting,
        often: &[f64],
        work: &mut u64,
    ) -> usize {
        let room = (64 * W).min(256) - setting.rows;
        if room == 0 {
            return 0;
        }
        self.collect(often);
        self.found.clear();
        if setting.exact {
            self.find_cliques(columns);
            *work += 8 * self.support.len() as u64 * self.support.len() as u64 / 4;
        } else {
            *work += self.find_triples(columns, setting);
        }
        *work += often.len() as u64;
        self.found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.members.clear();
        let mut taken: Vec<(u128, [u32; 3])> = Vec::new();
        for index in 0..self.found.len() {
            let (_, set, triple) = self.found[index];
            let like = |(other, others): &(u128, [u32; 3])| {
                let least = set.count_ones().min(other.count_ones());
                match setting.exact {
                    true => 10 * (set & other).count_ones() >= 7 * least,
                    false => triple.iter().filter(|row| others.contains(row)).count() >= 2,
                }
            };
            if taken.iter().any(like) {
                continue;
            }
            taken.push((set, triple));
            let members = match setting.exact {
                true => self.extended(columns, set, often),
                false => with_two_of(columns, setting, triple),
            };
            *work += 4 * columns.len() as u64;
            self.members.push(members);
            if !setting.exact {
                let items = triple.into_iter().filter_map(|row| u8::try_from(row).ok());
                setting.cuts.push(items.filter(|row| usize::from(*row) < setting.items).collect());
            }
            if self.members.len() == room.min(ADDED_MAX) {
                break;
            }
        }
        columns.add_rows(setting.rows, &self.members);
        setting.rows += self.members.len();
        setting.reserve.resize(setting.rows, 0);
        *work += 2 * columns.rows.len() as u64;
        self.members.len()
    }

    fn collect(&mut self, often: &[f64]) {
        self.support.clear();
        let chosen = (0..).zip(often).filter(|(_, often)| **often > 0.02);
        self.support.extend(chosen.map(|(column, often)| (*often, column)));
        self.support.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.support.truncate(SUPPORT_MAX);
    }

    /// Grows a clique from each column of the support, the most chosen first.
    fn find_cliques<const W: usize>(&mut self, columns: &Columns<W>) {
        self.excluded.clear();
        self.excluded.resize(self.support.len(), 0);
        for (index, (_, one)) in self.support.iter().enumerate() {
            let (mask, group) = (&columns.mask[*one as usize], columns.group[*one as usize]);
            for (other_index, (_, other)) in self.support[..index].iter().enumerate() {
                let other = *other as usize;
                if columns.group[other] == group || meets(mask, &columns.mask[other]) {
                    self.excluded[index] |= 1 << other_index;
                    self.excluded[other_index] |= 1 << index;
                }
            }
        }
        for seed in 0..self.support.len() {
            let mut set = 1_u128 << seed;
            let mut sum = self.support[seed].0;
            let mut left = self.excluded[seed];
            while left != 0 {
                let next = left.trailing_zeros() as usize;
                set |= 1 << next;
                sum += self.support[next].0;
                left &= self.excluded[next];
            }
            if sum > 1.0 + VIOLATION_LEAST && self.found.iter().all(|(_, other, _)| *other != set) {
                self.found.push((sum - 1.0, set, [0; 3]));
            }
        }
    }

    /// Returns a clique with whatever column goes into it, those chosen most first.
    fn extended<const W: usize>(
        &self,
        columns: &Columns<W>,
        set: u128,
        often: &[f64],
    ) -> Vec<bool> {
        let mut members = vec![false; often.len()];
        let mut clique: Vec<usize> = Vec::new();
        each_bit(&halves(set), |index| {
            let column = self.support[index].1 as usize;
            members[column] = true;
            clique.push(column);
        });
        for (column, (mask, is_in)) in columns.mask.iter().zip(&mut members).enumerate() {
            let excludes = |other: &usize| {
                columns.group[*other] == columns.group[column] || meets(mask, &columns.mask[*other])
            };
            if !*is_in && clique.iter().all(excludes) {
                *is_in = true;
                clique.push(column);
            }
        }
        members
    }

    /// Finds three items or groups of which columns that have two are chosen more than once.
    fn find_triples<const W: usize>(&mut self, columns: &Columns<W>, setting: &Setting) -> u64 {
        // An item is its number, a group its number after those of the items.
        let groups = columns.group.last().map_or(0, |last| *last as usize + 1);
        let base = setting.items;
        let mut weight = vec![0.0; base + groups];
        for (often, column) in &self.support {
            let column = *column as usize;
            for row in columns.rows_of(column) {
                if usize::from(*row) < base {
                    weight[usize::from(*row)] += often;
                }
            }
            weight[base + columns.group[column] as usize] += often;
        }
        self.active.clear();
        let active = (0..).zip(&weight).filter(|(_, weight)| **weight > 0.25);
        self.active.extend(active.map(|(row, _)| row));
        self.active.truncate(TRIPLE_ROWS_MAX);
        let count = self.active.len();
        self.active_of.clear();
        self.active_of.resize(weight.len(), u8::MAX);
        for (place, row) in (0..).zip(&self.active) {
            self.active_of[*row as usize] = place;
        }
        self.of_active.clear();
        self.of_active.resize(count, 0);
        self.together.clear();
        self.together.resize(count * count, 0.0);
        for (index, (often, column)) in self.support.iter().enumerate() {
            let column = *column as usize;
            let items = columns.rows_of(column).iter().map(|row| usize::from(*row));
            let group = base + columns.group[column] as usize;
            let rows: Vec<_> = items
                .filter(|row| *row < base)
                .chain([group])
                .map(|row| usize::from(self.active_of[row]))
                .filter(|place| *place < count)
                .collect();
            for (at, one) in rows.iter().enumerate() {
                self.of_active[*one] |= 1 << index;
                for other in &rows[at + 1..] {
                    self.together[one * count + other] += often;
                    self.together[other * count + one] += often;
                }
            }
        }
        let mut looked = 0;
        for a in 0..count {
            for b in a + 1..count {
                // Of the three pairs one is chosen this often if all are more than once.
                let ab = self.together[a * count + b];
                if ab < (1.0 + VIOLATION_LEAST) / 3.0 {
                    continue;
                }
                looked += count;
                for c in 0..count {
                    if c != a && c != b {
                        self.look_at(a, b, c, ab);
                    }
                }
            }
        }
        (2 * looked + count * count + 20 * self.support.len()) as u64
    }

    #[inline]
    fn look_at(&mut self, a: usize, b: usize, c: usize, ab: f64) {
        let count = self.active.len();
        let (ac, bc) = (self.together[a * count + c], self.together[b * count + c]);
        let sum = ab + ac + bc;
        // The pair that is chosen most often leads to the third.
        if sum <= 1.0 + VIOLATION_LEAST || (ac, a.min(c)) > (ab, a) || (bc, b.min(c)) > (ab, a) {
            return;
        }
        let (a_set, b_set, c_set) = (self.of_active[a], self.of_active[b], self.of_active[c]);
        let mut sum = sum;
        let all = a_set & b_set & c_set;
        each_bit(&halves(all), |index| sum -= 2.0 * self.support[index].0);
        if sum > 1.0 + VIOLATION_LEAST {
            let set = (a_set & b_set) | (a_set & c_set) | (b_set & c_set);
            self.found.push((sum - 1.0, set, [self.active[a], self.active[b], self.active[c]]));
        }
    }
}

/// Returns a set as words.
#[expect(clippy::cast_possible_truncation, reason = "each half is what fits a word")]
const fn halves(set: u128) -> [u64; 2] {
    [(set & u64::MAX as u128) as u64, (set >> 64) as u64]
}

/// Returns which columns have two of three items or groups.
fn with_two_of<const W: usize>(
    columns: &Columns<W>,
    setting: &Setting,
    triple: [u32; 3],
) -> Vec<bool> {
    let has = |column: usize, row: u32| {
        let row = row as usize;
        match row.checked_sub(setting.items) {
            None => columns.mask[column][row / 64] >> (row % 64) & 1 == 1,
            Some(group) => columns.group[column] as usize == group,
        }
    };
    (0..columns.len())
        .map(|column| triple.iter().filter(|row| has(column, **row)).count() >= 2)
        .collect()
}
