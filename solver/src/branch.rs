//! Branch and bound on a core of columns that prices have left.
//!
//! The bound is the sum of the prices; every decision uses some of the room between it and what is
//! already had: a column its reduced cost, a row that stays empty its price. At each node rows that
//! no column is left for are given up; then prices are lowered one row at a time as far as every
//! column of the row allows (dual ascent, Erlenkotter 1978; on the conflict graph this is the
//! residual-weight clique cover of Balas and Xue 1991), and columns beyond the room drop out. The
//! search branches on the row with the fewest ways to fill it (Fujishima, Leyton-Brown and Shoham's
//! CASS 1999; Sandholm's BOB 2003; Knuth's rule for exact covers 2000), the cheapest column first,
//! so that its first dive is a greedy solution.
//!
//! The columns of a row are a set of bits, and so are those that are left and those that cost
//! nothing: whether a row is empty, or its price can be lowered at all, is a few operations on
//! words. Below a node with few columns left, these are numbered anew.

use crate::clock::Clock;
use crate::columns::UNCOUNTED;
use crate::items::each_bit;
use crate::limits::COLUMNS_MAX;
use crate::prices::FINE;
use crate::region::Core;

/// Ways that leaving a row empty counts for when the next row is chosen.
const EMPTY_WAYS: u32 = 3;
/// Columns are numbered anew where this share of the places is left, and so many at least.
const SPARSE: usize = 4;
const RENUMBERED_MIN: usize = 6;
/// Words of the largest set of columns.
const WORDS_MAX: usize = COLUMNS_MAX / 64;

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Searched {
    /// What was found, if anything, is the best there is.
    All,
    /// It ended early.
    Part,
}

/// Columns and rows as they are numbered in a part of the search.
#[derive(Debug, Default)]
struct Frame {
    /// Per column: its number in the core.
    columns: Vec<u16>,
    /// Per row: the columns in it, as bits.
    of_row: Vec<u64>,
    /// Per column: the columns that it excludes, as bits.
    excluded: Vec<u64>,
    /// Per column: its rows begin here; one more than columns.
    start: Vec<u32>,
    rows: Vec<u16>,
    price: Vec<i64>,
    over: Vec<i64>,
    /// Whether every row may be filled once at most.
    is_hard: bool,
    counts: bool,
    /// As the core's.
    is_tight: bool,
    /// Prices before they were lowered, to be put back, and what a further column cost then.
    lowered: Vec<(u16, i64, i64)>,
}

/// A node: what is left.
#[derive(Debug, Default)]
struct Level {
    /// The columns, as bits.
    alive: Vec<u64>,
    /// Per column of the frame; of those that are not left it means nothing.
    cost: Vec<i64>,
    /// The rows that are to be filled or given up, and how many columns each had at last.
    rows: Vec<(u16, u32)>,
    ways: Vec<(i64, u16)>,
}

/// The search.
#[derive(Debug, Default)]
pub(crate) struct Branch {
    frames: Vec<Frame>,
    levels: Vec<Level>,
    /// The columns that are chosen, as the core numbers them.
    path: Vec<u16>,
    capacity: Vec<u32>,
    room: i64,
    had: i64,
    stop_at: u64,
    /// Per row of a frame: its number in the next.
    renumbered: Vec<u16>,
    covered: Vec<bool>,
    /// The best found.
    pub best: Vec<u16>,
    pub found: bool,
    pub nodes: u64,
}

/// No number in the next frame.
const GONE: u16 = u16::MAX;

impl Branch {
    /// Searches a core, with at most so much work.
    pub(crate) fn search(&mut self, core: &Core, work: u64, clock: &mut Clock<'_>) -> Searched {
        self.stop_at = clock.work().saturating_add(work);
        self.capacity.clone_from(&core.capacity);
        self.path.clear();
        self.room = core.room;
        self.had = core.had;
        self.found = false;
        self.nodes = 0;
        let columns = core.cost.len();
        let words = size_of(columns);
        let mut frame = self.take_frame(0);
        frame.clear();
        frame.price.extend_from_slice(&core.price);
        frame.over.extend_from_slice(&core.over);
        for column in 0..columns {
            frame.push(core, narrow(column), core.rows_of(column).iter().copied());
        }
        frame.set_bits(words);
        frame.exclude(words);
        let mut level = self.take_level(0);
        level.alive.clear();
        level.alive.resize(words, 0);
        for column in 0..columns {
            level.alive[column / 64] |= 1 << (column % 64);
        }
        level.cost.clear();
        level.cost.extend_from_slice(&core.cost);
        level.cost.resize(64 * words, 0);
        level.rows.clear();
        frame.is_tight = core.is_tight;
        let counts = |row: &usize| frame.counts_row(*row);
        level.rows.extend((0..core.price.len()).filter(counts).map(|row| (narrow(row), 0)));
        self.levels[0] = level;
        clock.spend((core.rows.len() * (2 + words)) as u64);
        let all = self.descend_sized(words, core, &mut frame, 0, 0, 0, clock);
        self.frames[0] = frame;
        if all { Searched::All } else { Searched::Part }
    }

    fn take_frame(&mut self, index: usize) -> Frame {
        if self.frames.len() == index {
            self.frames.push(Frame::default());
        }
        std::mem::take(&mut self.frames[index])
    }

    fn take_level(&mut self, depth: usize) -> Level {
        if self.levels.len() == depth {
            self.levels.push(Level::default());
        }
        std::mem::take(&mut self.levels[depth])
    }

    #[expect(clippy::too_many_arguments, reason = "the node, and the words of its sets")]
    fn descend_sized(
        &mut self,
        words: usize,
        core: &Core,
        frame: &mut Frame,
        index: usize,
        depth: usize,
        used: i64,
        clock: &mut Clock<'_>,
    ) -> bool {
        match words {
            1 => self.descend::<1>(core, frame, index, depth, used, clock),
            2 => self.descend::<2>(core, frame, index, depth, used, clock),
            4 => self.descend::<4>(core, frame, index, depth, used, clock),
            8 => self.descend::<8>(core, frame, index, depth, used, clock),
            16 => self.descend::<16>(core, frame, index, depth, used, clock),
            32 => self.descend::<32>(core, frame, index, depth, used, clock),
            _ => self.descend::<WORDS_MAX>(core, frame, index, depth, used, clock),
        }
    }

    /// Searches below a node; returns whether all of it was searched.
    fn descend<const C: usize>(
        &mut self,
        core: &Core,
        frame: &mut Frame,
        index: usize,
        depth: usize,
        mut used: i64,
        clock: &mut Clock<'_>,
    ) -> bool {
        self.nodes += 1;
        let mut level = self.take_level(depth);
        let mark = frame.lowered.len();
        let mut alive: [u64; C] = std::array::from_fn(|word| level.alive[word]);
        let bounded = self.bound(frame, &mut level, &mut alive, &mut used, clock);
        let complete = match bounded {
            Bounded::Stopped => false,
            Bounded::Hopeless => true,
            Bounded::Leaf => {
                self.take_path(core);
                true
            }
            Bounded::Open => {
                let left = count(&alive);
                if C >= SPARSE && left * SPARSE <= C * 64 && left >= RENUMBERED_MIN {
                    self.renumber(core, frame, index, depth, &level, &alive, used, clock)
                } else {
                    self.branch(core, frame, index, depth, used, &mut level, alive, clock)
                }
            }
        };
        for (row, price, over) in frame.lowered.drain(mark..).rev() {
            frame.price[usize::from(row)] = price;
            frame.over[usize::from(row)] = over;
        }
        self.levels[depth] = level;
        complete
    }

    /// Lowers the bound of a node as far as it goes.
    fn bound<const C: usize>(
        &self,
        frame: &mut Frame,
        level: &mut Level,
        alive: &mut [u64; C],
        used: &mut i64,
        clock: &mut Clock<'_>,
    ) -> Bounded {
        let mut first = true;
        loop {
            let (mut zero, dropped) = look_at_costs(&level.cost, alive, self.room - *used);
            if !first && !dropped {
                return Bounded::Open;
            }
            first = false;
            let rows = level.rows.len() as u64;
            let fallen = lower_prices(frame, level, alive, &mut zero);
            *used += fallen;
            let work = 40 + 3 * rows + rows * C as u64 + 3 * count(alive) as u64;
            if !clock.spend(work) || clock.work() >= self.stop_at {
                return Bounded::Stopped;
            }
            if *used > self.room {
                return Bounded::Hopeless;
            }
            if level.rows.is_empty() {
                return Bounded::Leaf;
            }
            if fallen == 0 {
                return Bounded::Open;
            }
        }
    }

    /// Takes the path if it is better than what is had. What it is worth is reckoned anew: of what
    /// it uses a node knows the least only.
    fn take_path(&mut self, core: &Core) {
        self.covered.clear();
        self.covered.resize(core.price.len(), false);
        let mut worth = 0;
        for column in &self.path {
            worth += core.worth[usize::from(*column)];
            for row in core.rows_of(usize::from(*column)) {
                let row = usize::from(*row);
                if std::mem::replace(&mut self.covered[row], true) {
                    worth -= core.reserve[row];
                }
            }
        }
        if worth > self.had {
            self.best.clone_from(&self.path);
            self.found = true;
            self.room -= (worth - self.had) << FINE;
            self.had = worth;
        }
    }

    /// Goes on with the columns and rows that are left numbered anew.
    #[expect(clippy::too_many_arguments, reason = "the node")]
    fn renumber<const C: usize>(
        &mut self,
        core: &Core,
        frame: &Frame,
        index: usize,
        depth: usize,
        level: &Level,
        alive: &[u64; C],
        used: i64,
        clock: &mut Clock<'_>,
    ) -> bool {
        let mut next = self.take_frame(index + 1);
        let mut node = self.take_level(depth + 1);
        next.clear();
        self.renumbered.clear();
        self.renumbered.resize(frame.price.len(), GONE);
        node.rows.clear();
        for (row, _) in &level.rows {
            let old = usize::from(*row);
            self.renumbered[old] = narrow(next.price.len());
            node.rows.push((narrow(next.price.len()), 0));
            next.price.push(frame.price[old]);
            next.over.push(frame.over[old]);
        }
        node.cost.clear();
        let renumbered = &self.renumbered;
        each_bit(alive, |column| {
            node.cost.push(level.cost[column]);
            let rows = frame.rows_of(column).iter().map(|row| renumbered[usize::from(*row)]);
            next.push(core, frame.columns[column], rows.filter(|row| *row != GONE));
        });
        let columns = node.cost.len();
        let words = size_of(columns);
        next.set_bits(words);
        next.exclude_like(words, frame, alive);
        next.is_hard = frame.is_hard;
        next.is_tight = frame.is_tight;
        node.cost.resize(64 * words, 0);
        node.alive.clear();
        node.alive.resize(words, 0);
        for column in 0..columns {
            node.alive[column / 64] |= 1 << (column % 64);
        }
        clock.spend((next.rows.len() * (3 + words) + frame.price.len()) as u64);
        self.levels[depth + 1] = node;
        let all = self.descend_sized(words, core, &mut next, index + 1, depth + 1, used, clock);
        self.frames[index + 1] = next;
        all
    }

    #[expect(clippy::too_many_arguments, reason = "the node")]
    fn branch<const C: usize>(
        &mut self,
        core: &Core,
        frame: &mut Frame,
        index: usize,
        depth: usize,
        used: i64,
        level: &mut Level,
        mut alive: [u64; C],
        clock: &mut Clock<'_>,
    ) -> bool {
        let row = row_to_fill(frame, level, self.room - used);
        let mut ways = std::mem::take(&mut level.ways);
        ways.clear();
        let of_row: [u64; C] = std::array::from_fn(|word| frame.of_row[row * C + word]);
        each_bit(&both(&of_row, &alive), |column| {
            ways.push((level.cost[column], narrow(column)));
        });
        ways.sort_unstable();
        let mut complete = true;
        for (cost, column) in &ways {
            let column = usize::from(*column);
            if used + cost <= self.room {
                let used = used + cost;
                complete &=
                    self.fill(core, frame, index, depth, used, level, &alive, column, clock);
            }
            if !complete {
                break;
            }
            // Whatever comes after does without it.
            alive[column / 64] &= !(1 << (column % 64));
        }
        level.ways = ways;
        let used = used + frame.price[row];
        if !complete || used > self.room {
            return complete;
        }
        if clock.is_over() {
            return false;
        }
        let mut next = self.take_level(depth + 1);
        copy_costs(level, &alive, &mut next);
        next.rows.clear();
        next.rows.extend(level.rows.iter().filter(|(other, _)| usize::from(*other) != row));
        self.levels[depth + 1] = next;
        complete & self.descend::<C>(core, frame, index, depth + 1, used, clock)
    }

    /// Searches with a column put in.
    #[expect(clippy::too_many_arguments, reason = "the node, and the column that goes in")]
    fn fill<const C: usize>(
        &mut self,
        core: &Core,
        frame: &mut Frame,
        index: usize,
        depth: usize,
        used: i64,
        level: &Level,
        alive: &[u64; C],
        column: usize,
        clock: &mut Clock<'_>,
    ) -> bool {
        let name = usize::from(frame.columns[column]);
        let counted = core.counted[name];
        if counted != UNCOUNTED {
            self.capacity[counted as usize] -= core.load[name];
        }
        let excluded = &frame.excluded[column * C..(column + 1) * C];
        let mut left: [u64; C] = std::array::from_fn(|word| alive[word] & !excluded[word]);
        left[column / 64] &= !(1 << (column % 64));
        if frame.counts {
            self.drop_unfit(core, frame, &mut left);
        }
        let mut next = self.take_level(depth + 1);
        copy_costs(level, &left, &mut next);
        next.rows.clear();
        let bit = |row: usize| frame.of_row[row * C + column / 64] >> (column % 64) & 1 == 1;
        for (row, _) in &level.rows {
            let index = usize::from(*row);
            if !bit(index) {
                next.rows.push((*row, 0));
            } else if !frame.is_hard && frame.over[index] != i64::MAX {
                let over = frame.over[index];
                let of_row = std::array::from_fn(|word| frame.of_row[index * C + word]);
                each_bit(&both(&of_row, &left), |other| next.cost[other] += over);
            }
        }
        clock.spend((level.rows.len() + C) as u64);
        self.levels[depth + 1] = next;
        self.path.push(frame.columns[column]);
        let complete = self.descend::<C>(core, frame, index, depth + 1, used, clock);
        self.path.pop();
        if counted != UNCOUNTED {
            self.capacity[counted as usize] += core.load[name];
        }
        complete
    }

    /// Drops columns that take more of a counted capacity than is left.
    fn drop_unfit<const C: usize>(&self, core: &Core, frame: &Frame, left: &mut [u64; C]) {
        let before = *left;
        each_bit(&before, |column| {
            let name = usize::from(frame.columns[column]);
            let counted = core.counted[name];
            if counted != UNCOUNTED && core.load[name] > self.capacity[counted as usize] {
                left[column / 64] &= !(1 << (column % 64));
            }
        });
    }
}

/// What the bound says of a node.
enum Bounded {
    Stopped,
    Hopeless,
    Leaf,
    Open,
}

impl Frame {
    fn clear(&mut self) {
        self.columns.clear();
        self.start.clear();
        self.start.push(0);
        self.rows.clear();
        self.price.clear();
        self.over.clear();
        self.lowered.clear();
        self.counts = false;
    }

    fn push(&mut self, core: &Core, column: u16, rows: impl Iterator<Item = u16>) {
        self.columns.push(column);
        self.rows.extend(rows);
        self.start.push(u32::try_from(self.rows.len()).expect("COLUMNS_MAX sets of 257"));
        self.counts |= core.counted[usize::from(column)] != UNCOUNTED;
    }

    fn rows_of(&self, column: usize) -> &[u16] {
        &self.rows[self.start[column] as usize..self.start[column + 1] as usize]
    }

    /// Returns whether a row has to be looked at: if it has a price, or a further column in it one.
    fn counts_row(&self, row: usize) -> bool {
        self.price[row] > 0 || self.over[row] != i64::MAX || !self.is_tight
    }

    /// Forms the sets, of so many words.
    fn set_bits(&mut self, words: usize) {
        self.is_hard = self.over.iter().all(|over| *over == i64::MAX);
        self.of_row.clear();
        self.of_row.resize(self.price.len() * words, 0);
        for column in 0..self.columns.len() {
            let rows = self.start[column] as usize..self.start[column + 1] as usize;
            for row in &self.rows[rows] {
                self.of_row[usize::from(*row) * words + column / 64] |= 1 << (column % 64);
            }
        }
    }

    /// Forms the sets of what columns exclude, of so many words, from their rows.
    fn exclude(&mut self, words: usize) {
        self.excluded.clear();
        self.excluded.resize(self.columns.len() * words, 0);
        for (column, excluded) in self.excluded.chunks_exact_mut(words).enumerate() {
            let rows = self.start[column] as usize..self.start[column + 1] as usize;
            for row in &self.rows[rows] {
                let row = usize::from(*row);
                if self.over[row] == i64::MAX {
                    let of_row = &self.of_row[row * words..(row + 1) * words];
                    for (excluded, of_row) in excluded.iter_mut().zip(of_row) {
                        *excluded |= of_row;
                    }
                }
            }
        }
    }

    /// Forms the sets of what columns exclude from those of a frame of which some columns are left.
    fn exclude_like<const C: usize>(&mut self, words: usize, frame: &Self, alive: &[u64; C]) {
        let mut before = [0; C];
        let mut sum = 0;
        for (before, alive) in before.iter_mut().zip(alive) {
            *before = sum;
            sum += alive.count_ones() as usize;
        }
        self.excluded.clear();
        self.excluded.resize(sum * words, 0);
        let mut column = 0;
        each_bit(alive, |old| {
            let excluded = &mut self.excluded[column * words..(column + 1) * words];
            for word in 0..C {
                let mut bits = frame.excluded[old * C + word] & alive[word];
                while bits != 0 {
                    let below = alive[word] & ((1 << bits.trailing_zeros()) - 1);
                    let other = before[word] + below.count_ones() as usize;
                    excluded[other / 64] |= 1 << (other % 64);
                    bits &= bits - 1;
                }
            }
            column += 1;
        });
    }
}

/// Drops the columns that cost more than the room; returns those that cost nothing, and whether any
/// was dropped.
#[inline]
fn look_at_costs<const C: usize>(
    cost: &[i64],
    alive: &mut [u64; C],
    room: i64,
) -> ([u64; C], bool) {
    let mut zero = [0; C];
    let mut any = 0;
    for word in 0..C {
        let mut bits = alive[word];
        let mut dropped = 0;
        let cost = &cost[word * 64..word * 64 + 64];
        while bits != 0 {
            let bit = bits.trailing_zeros();
            let cost = cost[bit as usize];
            dropped |= u64::from(cost > room) << bit;
            zero[word] |= u64::from(cost == 0) << bit;
            bits &= bits - 1;
        }
        alive[word] &= !dropped;
        zero[word] &= !dropped;
        any |= dropped;
    }
    (zero, any != 0)
}

/// Gives up the rows that no column is left for, and lowers the prices of those whose columns all
/// cost something; returns how far the bound falls.
#[inline]
fn lower_prices<const C: usize>(
    frame: &mut Frame,
    level: &mut Level,
    alive: &[u64; C],
    zero: &mut [u64; C],
) -> i64 {
    let mut fallen = 0;
    let mut to = 0;
    let mut priced = false;
    for from in 0..level.rows.len() {
        let row = usize::from(level.rows[from].0);
        let of_row = &frame.of_row[row * C..(row + 1) * C];
        let (mut many, mut free_of_cost) = (0, 0);
        let mut columns = [0; C];
        for word in 0..C {
            columns[word] = of_row[word] & alive[word];
            many += columns[word].count_ones();
            free_of_cost |= of_row[word] & zero[word];
        }
        let price = frame.price[row];
        if many == 0 {
            fallen += price;
            continue;
        }
        if free_of_cost == 0 && price > 0 {
            let mut least = price;
            each_bit(&columns, |column| least = least.min(level.cost[column]));
            each_bit(&columns, |column| {
                level.cost[column] -= least;
                zero[column / 64] |= u64::from(level.cost[column] == 0) << (column % 64);
            });
            frame.lowered.push((level.rows[from].0, price, frame.over[row]));
            frame.price[row] -= least;
            // Where there may be no further column this stays beyond all amounts.
            frame.over[row] = frame.over[row].saturating_add(least);
            fallen += least;
        }
        if frame.counts_row(row) {
            priced |= frame.price[row] > 0;
            level.rows[to] = (level.rows[from].0, many);
            to += 1;
        }
    }
    if frame.is_tight && !priced {
        to = 0;
    }
    level.rows.truncate(to);
    fallen
}

/// Returns the row with the fewest ways to fill it, or not to.
fn row_to_fill(frame: &Frame, level: &Level, room: i64) -> usize {
    let mut best = (u32::MAX, i64::MIN, 0);
    for (row, many) in &level.rows {
        let row = usize::from(*row);
        let price = frame.price[row];
        if price == 0 && frame.is_tight {
            continue;
        }
        // A row that may stay empty ends no branch soon.
        let ways = many + if price <= room { EMPTY_WAYS } else { 0 };
        if ways < best.0 || (ways == best.0 && price > best.1) {
            best = (ways, price, row);
        }
    }
    best.2
}

/// Copies the columns that are left, and their costs.
fn copy_costs<const C: usize>(level: &Level, alive: &[u64; C], next: &mut Level) {
    next.alive.clear();
    next.alive.extend_from_slice(alive);
    if next.cost.len() < 64 * C {
        next.cost.resize(64 * C, 0);
    }
    each_bit(alive, |column| next.cost[column] = level.cost[column]);
}

/// Returns how many words sets of so many columns have.
fn size_of(columns: usize) -> usize {
    match columns.div_ceil(64).next_power_of_two() {
        small if small <= 32 => small,
        _ => WORDS_MAX,
    }
}

fn count<const C: usize>(set: &[u64; C]) -> usize {
    set.iter().map(|word| word.count_ones() as usize).sum()
}

#[inline]
fn both<const C: usize>(a: &[u64; C], b: &[u64; C]) -> [u64; C] {
    std::array::from_fn(|word| a[word] & b[word])
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("COLUMNS_MAX is within 16 bits")
}
