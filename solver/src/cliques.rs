//! Branch and bound on which columns go together, for problems where few do.
//!
//! Columns that exclude each other pairwise bring no more than the best of them. Colouring the
//! columns with such classes bounds what any choice brings, and branching in reverse order of the
//! classes needs to look only at columns beyond the bound (the bit-parallel maximum weight clique
//! of Kumlander 2004, San Segundo and others 2011, Tavares 2016, on the graph of what goes
//! together). Where bundles are large this bound is far below that of item prices. Which columns
//! exclude each other is formed item by item: all columns on an item are one set of bits.

use crate::clock::Clock;
use crate::columns::{Columns, Setting, UNCOUNTED};

/// Columns up to which this search is tried, by the words of its sets.
const WORDS_MAX: usize = 32;

/// The search.
#[derive(Debug, Default)]
pub(crate) struct Cliques {
    words: usize,
    /// Columns by descending value.
    order: Vec<u32>,
    value: Vec<i64>,
    group: Vec<usize>,
    of_item: Vec<u64>,
    /// Per column: the columns that go with it.
    with: Vec<u64>,
    levels: Vec<Level>,
    path: Vec<u32>,
    had: i64,
    stop_at: u64,
    /// The best found, if any is better than what was had.
    pub best: Vec<u32>,
    pub found: bool,
}

#[derive(Debug, Default)]
struct Level {
    left: Vec<u64>,
    uncoloured: Vec<u64>,
    class: Vec<u64>,
    coloured: Vec<(u32, i64)>,
}

impl Cliques {
    /// Takes columns; returns whether they are of the kind that this search is for: fewer than one
    /// pair in `sparse` goes together.
    pub(crate) fn load<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        sparse: u64,
        clock: &mut Clock<'_>,
    ) -> bool {
        let count = columns.len();
        self.words = count.div_ceil(64);
        let counted = columns.counted.iter().any(|counted| *counted != UNCOUNTED);
        if !setting.exact || counted || self.words > WORDS_MAX || count == 0 {
            return false;
        }
        let words = self.words;
        // What a column excludes by chance alone: few large bundles go together.
        let size = columns.rows.len() as u64 / count as u64;
        if size * size * 2 < setting.rows as u64 {
            return false;
        }
        self.order.clear();
        self.order.extend((0..).take(count));
        self.order.sort_unstable_by_key(|column| (-columns.value[*column as usize], *column));
        self.value.clear();
        self.value.extend(self.order.iter().map(|column| columns.value[*column as usize]));
        self.of_item.clear();
        self.of_item.resize(words * setting.rows, 0);
        // Groups are numbered anew, so that there are fewer than columns if any has two.
        self.group.clear();
        let mut groups = 0;
        for column in 0..count {
            groups +=
                usize::from(column == 0 || columns.group[column] != columns.group[column - 1]);
            self.group.push(groups - 1);
        }
        let mut of_group = vec![0_u64; if groups < count { groups * words } else { 0 }];
        for (place, column) in self.order.iter().enumerate() {
            let (word, bit) = (place / 64, 1 << (place % 64));
            for row in columns.rows_of(*column as usize) {
                self.of_item[usize::from(*row) * words + word] |= bit;
            }
            if !of_group.is_empty() {
                of_group[self.group[*column as usize] * words + word] |= bit;
            }
        }
        self.with.clear();
        self.with.resize(words * count, 0);
        let mut pairs = 0;
        for (place, column) in self.order.iter().enumerate() {
            let with = &mut self.with[place * words..(place + 1) * words];
            for row in columns.rows_of(*column as usize) {
                let from = usize::from(*row) * words;
                unite(with, &self.of_item[from..from + words]);
            }
            if !of_group.is_empty() {
                let from = self.group[*column as usize] * words;
                unite(with, &of_group[from..from + words]);
            }
            for (word, with) in with.iter_mut().enumerate() {
                let exist =
                    if (word + 1) * 64 <= count { u64::MAX } else { (1 << (count % 64)) - 1 };
                *with = !*with & exist;
                pairs += u64::from(with.count_ones());
            }
        }
        clock.spend((columns.rows.len() + 3 * count) as u64 * words as u64 / 4);
        pairs * sparse < (count * count) as u64
    }

    /// Searches for something better than `had`, with at most so much work; returns whether all was
    /// searched.
    pub(crate) fn search(&mut self, had: i64, work: u64, clock: &mut Clock<'_>) -> bool {
        self.had = had;
        self.found = false;
        self.path.clear();
        self.stop_at = clock.work().saturating_add(work);
        if self.levels.is_empty() {
            self.levels.push(Level::default());
        }
        let count = self.value.len();
        let left = &mut self.levels[0].left;
        left.clear();
        left.resize(self.words, u64::MAX);
        if !count.is_multiple_of(64) {
            left[self.words - 1] = (1 << (count % 64)) - 1;
        }
        self.descend(0, 0, clock)
    }

    fn descend(&mut self, depth: usize, value: i64, clock: &mut Clock<'_>) -> bool {
        if value > self.had {
            self.had = value;
            self.found = true;
            self.best.clear();
            self.best.extend(self.path.iter().map(|place| self.order[*place as usize]));
        }
        let mut level = std::mem::take(&mut self.levels[depth]);
        let looked = self.colour(&mut level, self.had - value);
        let units = (looked * (self.words + 6) + 20) as u64;
        let mut complete = clock.spend(units) && clock.work() < self.stop_at;
        if self.levels.len() == depth + 1 {
            self.levels.push(Level::default());
        }
        while let Some((place, bound)) = level.coloured.pop().filter(|_| complete) {
            if value + bound <= self.had {
                break;
            }
            let with = &self.with[place as usize * self.words..(place as usize + 1) * self.words];
            let next = &mut self.levels[depth + 1].left;
            next.clear();
            next.extend(level.left.iter().zip(with).map(|(left, with)| left & with));
            self.path.push(place);
            complete &= self.descend(depth + 1, value + self.value[place as usize], clock);
            self.path.pop();
            level.left[place as usize / 64] &= !(1 << (place % 64));
        }
        self.levels[depth] = level;
        complete
    }

    /// Puts the columns that are left into classes; notes, with its bound, each column that is not
    /// within what is needed anyway. Returns how many there are.
    fn colour(&self, level: &mut Level, needed: i64) -> usize {
        let Level { left, uncoloured, class, coloured } = level;
        coloured.clear();
        uncoloured.clone_from(left);
        let mut bound = 0;
        let mut first = 0;
        let mut looked = 0;
        loop {
            while first < self.words && uncoloured[first] == 0 {
                first += 1;
            }
            if first == self.words {
                return looked;
            }
            class.clone_from(uncoloured);
            let mut best = 0;
            let mut word = first;
            while word < self.words {
                if class[word] == 0 {
                    word += 1;
                    continue;
                }
                let bit = class[word].trailing_zeros();
                let place = word * 64 + bit as usize;
                looked += 1;
                uncoloured[word] &= !(1 << bit);
                // By descending value, the first of a class is its best.
                best = best.max(self.value[place]);
                class[word] &= !(1 << bit);
                let with = &self.with[place * self.words..(place + 1) * self.words];
                for (class, with) in class[word..].iter_mut().zip(&with[word..]) {
                    *class &= !with;
                }
                if bound + best > needed {
                    let place = u32::try_from(place).expect("WORDS_MAX is small");
                    coloured.push((place, bound + best));
                }
            }
            bound += best;
        }
    }
}

fn unite(into: &mut [u64], other: &[u64]) {
    for (into, other) in into.iter_mut().zip(other) {
        *into |= other;
    }
}
