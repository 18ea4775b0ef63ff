//! Swaps: a column goes in, what excludes it goes out, and what then goes with the rest comes in.
//!
//! The same walk as by ejection chains (Andrade, Resende and Werneck 2012), for where columns only
//! ever exclude each other. What a column excludes is then a set of bits (as in the bit-parallel
//! searches of San Segundo and others 2011), and columns are numbered by how the prices like them:
//! the winners in a column's way, all columns that go with the winners, and the best of these are a
//! few operations on words each, however large the bundles. Of a few columns that are drawn, the
//! one that costs least right away is put in (a tournament).

use crate::clock::Clock;
use crate::columns::{Columns, Setting, UNCOUNTED};
use crate::items::each_bit;
use crate::local_search::Random;

/// Columns that are drawn, of which one goes in.
const DRAWN: usize = 3;
/// Moves that may be worse one after the other.
const WORSE_MAX: u32 = 12;
/// The part of what is had that one of them may lose.
const LOSS_PART: i64 = 64;
/// Buckets that columns are put in order by.
const BUCKETS: usize = 256;

/// The search, for sets of columns of so many words.
#[derive(Debug, Default)]
pub(crate) struct Swaps<const C: usize> {
    /// Columns by how the prices like them, best first; their places in here are their numbers.
    order: Vec<u32>,
    value: Vec<i64>,
    /// Per number: itself, and what it excludes.
    excluded: Vec<[u64; C]>,
    of_row: Vec<[u64; C]>,
    of_group: Vec<[u64; C]>,
    at: State<C>,
    before: State<C>,
    kept: State<C>,
    best: State<C>,
    keys: Vec<u8>,
    is_winner: Vec<bool>,
    number: Vec<u16>,
}

#[derive(Clone, Debug)]
struct State<const C: usize> {
    winners: Vec<u16>,
    set: [u64; C],
    surplus: i64,
}

impl<const C: usize> Default for State<C> {
    fn default() -> Self {
        Self { winners: Vec::new(), set: [0; C], surplus: 0 }
    }
}

impl<const C: usize> State<C> {
    fn take(&mut self, other: &Self) {
        self.winners.clone_from(&other.winners);
        self.set = other.set;
        self.surplus = other.surplus;
    }

    fn put_in(&mut self, number: usize, value: i64) {
        self.winners.push(narrow(number));
        self.set[number / 64] |= 1 << (number % 64);
        self.surplus += value;
    }

    fn put_out(&mut self, number: usize, value: i64) {
        self.winners.retain(|winner| usize::from(*winner) != number);
        self.set[number / 64] &= !(1 << (number % 64));
        self.surplus -= value;
    }
}

/// Returns whether columns only ever exclude each other.
pub(crate) fn is_for<const W: usize>(columns: &Columns<W>, setting: &Setting) -> bool {
    setting.exact && columns.counted.iter().all(|counted| *counted == UNCOUNTED)
}

impl<const C: usize> Swaps<C> {
    /// Takes the columns that cost least, as many as there are bits for, and the winners to begin
    /// with; returns the work that was.
    pub(crate) fn begin<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        cost: impl Fn(usize) -> i64,
        winners: &[u32],
    ) -> u64 {
        self.put_in_order(columns, cost, winners);
        let count = self.order.len();
        self.value.clear();
        self.value.extend(self.order.iter().map(|column| columns.value[*column as usize]));
        self.of_row.clear();
        self.of_row.resize(setting.rows, [0; C]);
        let groups = columns.group.last().map_or(0, |last| *last as usize + 1);
        // Groups of one column each say nothing.
        let grouped = columns.group.windows(2).any(|pair| pair[0] == pair[1]);
        self.of_group.clear();
        self.of_group.resize(if grouped { groups } else { 0 }, [0; C]);
        let mut rows = 0;
        for (number, column) in self.order.iter().enumerate() {
            let (word, bit) = (number / 64, 1 << (number % 64));
            let column = *column as usize;
            rows += columns.rows_of(column).len();
            for row in columns.rows_of(column) {
                self.of_row[usize::from(*row)][word] |= bit;
            }
            if grouped {
                self.of_group[columns.group[column] as usize][word] |= bit;
            }
        }
        self.excluded.clear();
        for column in &self.order {
            let column = *column as usize;
            let mut excluded = match grouped {
                true => self.of_group[columns.group[column] as usize],
                false => [0; C],
            };
            for row in columns.rows_of(column) {
                unite(&mut excluded, &self.of_row[usize::from(*row)]);
            }
            self.excluded.push(excluded);
        }
        self.at = State::default();
        for winner in winners {
            let number = usize::from(self.number[*winner as usize]);
            self.at.put_in(number, self.value[number]);
        }
        self.kept.take(&self.at);
        (rows * (2 + C / 2) + 3 * columns.len() + count) as u64
    }

    fn put_in_order<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        cost: impl Fn(usize) -> i64,
        winners: &[u32],
    ) {
        let most = (0..columns.len()).map(&cost).max().unwrap_or(0).max(1);
        // Small costs are told apart better than large ones.
        let key = |column: usize| {
            let share = cost(column).max(0).saturating_mul(1 << 16) / most;
            u8::try_from(share.isqrt()).unwrap_or(u8::MAX)
        };
        self.keys.clear();
        self.keys.extend((0..columns.len()).map(key));
        let mut bucket = [0_usize; BUCKETS + 1];
        for key in &self.keys {
            bucket[usize::from(*key) + 1] += 1;
        }
        for index in 1..=BUCKETS {
            bucket[index] += bucket[index - 1];
        }
        self.order.clear();
        self.order.resize(columns.len(), 0);
        for (column, key) in (0..).zip(&self.keys) {
            let place = &mut bucket[usize::from(*key)];
            self.order[*place] = column;
            *place += 1;
        }
        if columns.len() > 64 * C {
            self.is_winner.clear();
            self.is_winner.resize(columns.len(), false);
            for winner in winners {
                self.is_winner[*winner as usize] = true;
            }
            let mut room = 64 * C - winners.len();
            let is_winner = &self.is_winner;
            self.order.retain(|column| {
                let stays = is_winner[*column as usize] || room > 0;
                room -= usize::from(stays && !is_winner[*column as usize]);
                stays
            });
        }
        self.number.clear();
        self.number.resize(columns.len(), 0);
        for (number, column) in self.order.iter().enumerate() {
            self.number[*column as usize] = narrow(number);
        }
    }

    /// Makes so many moves; returns whether better winners than `had` were found, which are then in
    /// `best`.
    pub(crate) fn search(
        &mut self,
        random: &mut Random,
        moves: u32,
        had: i64,
        best: &mut Vec<u32>,
        clock: &mut Clock<'_>,
    ) -> bool {
        self.best.surplus = had;
        let mut worse = 0;
        for _ in 0..moves {
            let Some(number) = self.draw(random) else { continue };
            self.before.take(&self.at);
            self.swap_in(number);
            let work = 40 + (2 * DRAWN + self.at.winners.len()) * C / 2 + self.at.winners.len();
            if !clock.spend(work as u64) {
                break;
            }
            if self.at.surplus > self.best.surplus {
                self.best.take(&self.at);
            }
            if self.at.surplus >= self.kept.surplus {
                self.kept.take(&self.at);
                worse = 0;
                continue;
            }
            // Somewhat worse is kept for a while, if it is not much worse than what it came from.
            let loss = self.before.surplus - self.at.surplus;
            let is_little = loss * LOSS_PART <= self.kept.surplus;
            if worse < WORSE_MAX && is_little && random.below(4) == 0 {
                worse += 1;
            } else if random.below(8) == 0 {
                self.at.take(&self.kept);
                worse = 0;
            } else {
                self.at.take(&self.before);
            }
        }
        let found = self.best.surplus > had;
        if found {
            best.clear();
            best.extend(self.best.winners.iter().map(|winner| self.order[usize::from(*winner)]));
        }
        found
    }

    /// Draws columns, rather those that the prices like; returns the one that costs least now.
    fn draw(&self, random: &mut Random) -> Option<usize> {
        let mut best = None;
        for _ in 0..DRAWN {
            let zeroth = random.below(self.order.len());
            let first = random.below(zeroth + 1);
            let number = random.below(first + 1);
            if self.at.set[number / 64] >> (number % 64) & 1 == 1 {
                continue;
            }
            let mut gain = self.value[number];
            let out = both(&self.excluded[number], &self.at.set);
            each_bit(&out, |other| gain -= self.value[other]);
            if best.is_none_or(|(most, _)| gain > most) {
                best = Some((gain, number));
            }
        }
        best.map(|(_, number)| number)
    }

    fn swap_in(&mut self, number: usize) {
        let at = &mut self.at;
        let out = both(&self.excluded[number], &at.set);
        // Only what an ejected column excluded can go with the rest now.
        let mut left = [0; C];
        each_bit(&out, |other| {
            at.put_out(other, self.value[other]);
            unite(&mut left, &self.excluded[other]);
        });
        at.put_in(number, self.value[number]);
        for winner in &at.winners {
            take_away(&mut left, &self.excluded[usize::from(*winner)]);
        }
        let mut word = 0;
        while word < C {
            if left[word] == 0 {
                word += 1;
                continue;
            }
            let number = word * 64 + left[word].trailing_zeros() as usize;
            at.put_in(number, self.value[number]);
            take_away(&mut left, &self.excluded[number]);
        }
    }
}

#[inline]
fn unite<const C: usize>(into: &mut [u64; C], other: &[u64; C]) {
    for word in 0..C {
        into[word] |= other[word];
    }
}

#[inline]
fn take_away<const C: usize>(from: &mut [u64; C], other: &[u64; C]) {
    for word in 0..C {
        from[word] &= !other[word];
    }
}

#[inline]
fn both<const C: usize>(a: &[u64; C], b: &[u64; C]) -> [u64; C] {
    std::array::from_fn(|word| a[word] & b[word])
}

fn narrow(number: usize) -> u16 {
    u16::try_from(number).expect("columns are within 16 bits")
}
