//! The problem as the search sees it: columns of item sets, of which one per group may be chosen.
//!
//! An OR group's feasible combinations are written out as columns that exclude each other (Dantzig
//! and Wolfe 1960): the capacity becomes part of the column, and the bound by prices becomes that
//! of the convex hull of what the group can do. A group with too many combinations keeps its bids,
//! and its capacity is counted. A column that another always stands in for is left out.

use crate::items::{Items, bits, each_bit, lies_within};
use crate::limits::{COLUMNS_MAX, COMBINATIONS_PER_GROUP_MAX};
use crate::problem::{Bid, Cover, Group, Kind, Problem};

/// No capacity to count.
pub(crate) const UNCOUNTED: u32 = u32::MAX;

/// The columns, those of a group next to each other. A column in no group is in one of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Columns<const W: usize> {
    pub mask: Vec<[u64; W]>,
    pub value: Vec<i64>,
    pub group: Vec<u32>,
    /// The counted capacity it takes of, or [`UNCOUNTED`].
    pub counted: Vec<u32>,
    pub load: Vec<u32>,
    /// The column's number before any were left out.
    pub full: Vec<u32>,
    /// Where each column's items begin in `rows`; one more than columns.
    pub start: Vec<u32>,
    pub rows: Vec<u8>,
}

/// What does not change when columns are left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    pub items: usize,
    /// Items, and rows that were added to them.
    pub rows: usize,
    /// Per row that was added where items may be awarded twice: the items that it bears on.
    pub cuts: Vec<Vec<u8>>,
    pub exact: bool,
    /// Per item; what a second award of it takes off, where that is allowed.
    pub reserve: Vec<i64>,
    /// What of each counted capacity there is.
    pub capacity: Vec<u32>,
    /// Where each column's bids begin in `members`; one more than columns.
    pub member_start: Vec<u32>,
    pub members: Vec<u32>,
    /// Room for the combinations of one group, each with the bids in it as bits.
    combined: Vec<(Column, u64)>,
}

impl Setting {
    /// Returns the bids of a column.
    pub(crate) fn bids_of(&self, column: u32) -> &[u32] {
        let column = column as usize;
        let (from, to) = (self.member_start[column], self.member_start[column + 1]);
        &self.members[from as usize..to as usize]
    }
}

impl<const W: usize> Columns<W> {
    pub(crate) fn len(&self) -> usize {
        self.value.len()
    }

    pub(crate) fn rows_of(&self, column: usize) -> &[u8] {
        &self.rows[self.start[column] as usize..self.start[column + 1] as usize]
    }

    pub(crate) fn clear(&mut self) {
        self.mask.clear();
        self.value.clear();
        self.group.clear();
        self.counted.clear();
        self.load.clear();
        self.full.clear();
        self.start.clear();
        self.start.push(0);
        self.rows.clear();
    }

    /// Leaves out the columns that are not to be kept.
    pub(crate) fn retain(&mut self, keep: &[bool]) {
        let (mut to, mut end) = (0, 0_usize);
        for (from, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            let rows = self.start[from] as usize..self.start[from + 1] as usize;
            let length = rows.len();
            self.rows.copy_within(rows, end);
            end += length;
            self.mask[to] = self.mask[from];
            self.value[to] = self.value[from];
            self.group[to] = self.group[from];
            self.counted[to] = self.counted[from];
            self.load[to] = self.load[from];
            self.full[to] = self.full[from];
            to += 1;
            self.start[to] = u32::try_from(end).expect("no more than before");
        }
        self.rows.truncate(end);
        self.start.truncate(to + 1);
        self.mask.truncate(to);
        self.value.truncate(to);
        self.group.truncate(to);
        self.counted.truncate(to);
        self.load.truncate(to);
        self.full.truncate(to);
    }

    /// Lists the rows of every column, which until then has none.
    pub(crate) fn list_rows(&mut self) {
        self.rows.clear();
        for (mask, end) in self.mask.iter().zip(&mut self.start[1..]) {
            let rows = &mut self.rows;
            each_bit(mask, |item| rows.push(u8::try_from(item).expect("an item is a byte")));
            *end = u32::try_from(self.rows.len()).expect("COLUMNS_MAX sets of 256");
        }
    }

    /// Adds rows after the first so many; `members` says, for each, which columns are in it.
    pub(crate) fn add_rows(&mut self, first: usize, members: &[Vec<bool>]) {
        if members.is_empty() {
            return;
        }
        let before = std::mem::take(&mut self.rows);
        let mut from = 0;
        for column in 0..self.len() {
            let end = self.start[column + 1] as usize;
            self.rows.extend_from_slice(&before[from..end]);
            from = end;
            for (row, members) in (first..).zip(members) {
                if members[column] {
                    self.rows.push(u8::try_from(row).expect("64 * W rows, and 256 at most"));
                    self.mask[column][row / 64] |= 1 << (row % 64);
                }
            }
            self.start[column + 1] =
                u32::try_from(self.rows.len()).expect("COLUMNS_MAX sets of 256");
        }
    }

    fn push(
        &mut self,
        setting: &mut Setting,
        column: &Column,
        group: u32,
        members: impl IntoIterator<Item = u32>,
    ) {
        let number = self.len();
        self.mask.push(std::array::from_fn(|word| column.items.words()[word]));
        self.value.push(column.value);
        self.group.push(group);
        self.counted.push(column.counted);
        self.load.push(column.load);
        self.full.push(u32::try_from(number).expect("COLUMNS_MAX is far below"));
        self.start.push(0);
        setting.members.extend(members);
        setting.member_start.push(u32::try_from(setting.members.len()).expect("as above"));
    }
}

#[derive(Clone, Copy, Debug)]
struct Column {
    items: Items,
    value: i64,
    /// What it asks: the reserves of its items less its value.
    asked: i64,
    load: u32,
    counted: u32,
}

/// Writes a problem out as columns, with the lists of their rows.
pub(crate) fn write_out<const W: usize>(
    problem: &Problem,
    columns: &mut Columns<W>,
    setting: &mut Setting,
    left_out: &dyn Fn(&Bid) -> bool,
) {
    write_sets(problem, columns, setting, left_out);
    columns.list_rows();
}

/// Writes a problem out as columns; their rows are not listed yet.
pub(crate) fn write_sets<const W: usize>(
    problem: &Problem,
    columns: &mut Columns<W>,
    setting: &mut Setting,
    left_out: &dyn Fn(&Bid) -> bool,
) {
    columns.clear();
    let forward = problem.kind() == Kind::Forward;
    setting.items = problem.items().len();
    setting.rows = setting.items;
    setting.cuts.clear();
    setting.exact = problem.cover() == Cover::Exact;
    setting.reserve.clear();
    let reserves = problem.items().iter().map(|item| i64::try_from(item.reserve));
    setting.reserve.extend(reserves.map(|reserve| reserve.expect("within AMOUNT_SUM_MAX")));
    setting.capacity.clear();
    setting.members.clear();
    setting.member_start.clear();
    setting.member_start.push(0);

    reserve_room(problem, columns, setting);
    let by_group = grouped(problem);
    let mut bids = Vec::new();
    let mut group = 0;
    let mut at = 0;
    while at < by_group.len() {
        let key = by_group[at].0;
        let mut end = at + 1;
        while key != u32::MAX && end < by_group.len() && by_group[end].0 == key {
            end += 1;
        }
        bids.clear();
        for (_, bid) in &by_group[at..end] {
            let given = &problem.bids()[*bid as usize];
            let score = i64::try_from(given.score).expect("within AMOUNT_SUM_MAX");
            let (value, asked) = match forward {
                true => (score, -score),
                false => (setting.reserve_of(&given.items) - score, score),
            };
            // A bid that adds nothing even alone never adds anything.
            if value > 0 && !left_out(given) {
                let (items, load, counted) = (given.items, 0, UNCOUNTED);
                let column = Column { items, value, asked, load, counted };
                bids.push((column, *bid));
            }
        }
        let kind = (key != u32::MAX).then(|| problem.groups()[key as usize]);
        match kind {
            Some(Group::Or { capacity }) => {
                write_or(problem, columns, setting, &mut bids, capacity, &mut group);
            }
            Some(Group::Xor) | None => {
                write_xor(columns, setting, &bids, group);
                group += 1;
            }
        }
        at = end;
    }
}

fn reserve_room<const W: usize>(
    problem: &Problem,
    columns: &mut Columns<W>,
    setting: &mut Setting,
) {
    let count = problem.bids().len() * 3 / 2;
    columns.mask.reserve(count);
    columns.value.reserve(count);
    columns.group.reserve(count);
    columns.counted.reserve(count);
    columns.load.reserve(count);
    columns.full.reserve(count);
    columns.start.reserve(count);
    setting.members.reserve(count);
    setting.member_start.reserve(count);
}

/// Returns each bid with its group, by group; those in none last.
fn grouped(problem: &Problem) -> Vec<(u32, u32)> {
    let key = |bid: &Bid| bid.group.map_or(u32::MAX, |group| group.0);
    let mut bids: Vec<_> =
        problem.bids().iter().zip(0..).map(|(bid, number)| (key(bid), number)).collect();
    if !bids.is_sorted() {
        bids.sort_unstable();
    }
    bids
}

fn write_xor<const W: usize>(
    columns: &mut Columns<W>,
    setting: &mut Setting,
    bids: &[(Column, u32)],
    group: u32,
) {
    // Beyond this, looking costs more than it saves.
    const COMPARED_MAX: usize = 32;
    for (index, (column, bid)) in bids.iter().enumerate() {
        let compared = if bids.len() > COMPARED_MAX { &[] } else { bids };
        let dominated = compared.iter().enumerate().any(|(other, (better, _))| {
            other != index
                && stands_in(setting, better, column)
                && (other < index || !stands_in(setting, column, better))
        });
        if !dominated {
            columns.push(setting, column, group, [*bid]);
        }
    }
}

/// Returns whether whoever chooses `column` does at least as well with `better`, whatever else is
/// chosen.
fn stands_in(setting: &Setting, better: &Column, column: &Column) -> bool {
    if setting.exact {
        return better.value >= column.value
            && lies_within(better.items.words(), column.items.words());
    }
    // Beside others that cover the set `C`, a column adds the reserves of its items outside `C`
    // less what it asks. The difference is smallest where `C` is all but what only `column` has.
    let saved = column.asked - better.asked;
    if saved < 0 {
        return false;
    }
    let mut only = *column.items.words();
    for (word, other) in only.iter_mut().zip(better.items.words()) {
        *word &= !other;
    }
    saved >= setting.reserve_of(&Items::from_words(only))
}

fn write_or<const W: usize>(
    problem: &Problem,
    columns: &mut Columns<W>,
    setting: &mut Setting,
    bids: &mut Vec<(Column, u32)>,
    capacity: u32,
    group: &mut u32,
) {
    for (column, _) in bids.iter_mut() {
        let load = &mut column.load;
        each_bit(column.items.words(), |item| *load += problem.items()[item].load);
    }
    bids.retain(|(column, _)| column.load <= capacity);
    let total: u32 = bids.iter().map(|(column, _)| column.load).sum();
    let room = COLUMNS_MAX.saturating_sub(columns.len() + problem.bids().len());
    let most = COMBINATIONS_PER_GROUP_MAX.min(room);
    if combinations(setting, bids, capacity, most) {
        let combined = std::mem::take(&mut setting.combined);
        for (column, members) in &combined {
            let members = bits([*members]).map(|member| bids[member].1);
            columns.push(setting, column, *group, members);
        }
        setting.combined = combined;
        *group += 1;
        return;
    }
    let counted = u32::try_from(setting.capacity.len()).expect("as many as groups at most");
    if total > capacity {
        setting.capacity.push(capacity);
    }
    for (mut column, bid) in bids.iter().copied() {
        column.counted = if total > capacity { counted } else { UNCOUNTED };
        columns.push(setting, &column, *group, [bid]);
        *group += 1;
    }
}

/// Finds what a group can do; returns whether that is little enough to write out.
fn combinations(setting: &mut Setting, bids: &[(Column, u32)], capacity: u32, most: usize) -> bool {
    if bids.len() > most.min(64) {
        return false;
    }
    let mut found = std::mem::take(&mut setting.combined);
    found.clear();
    let mut complete = true;
    for (member, (column, _)) in bids.iter().enumerate() {
        let before = found.len();
        found.push((*column, 1 << member));
        for index in 0..before {
            let (with, members) = found[index];
            let load = with.load + column.load;
            if load > capacity {
                continue;
            }
            let twice = with.items.and(&column.items);
            if setting.exact && !twice.is_empty() {
                continue;
            }
            // What is paid for twice must still be worth more than each alone.
            let value = match twice.is_empty() {
                true => with.value + column.value,
                false => with.value + column.value - setting.reserve_of(&twice),
            };
            if value <= with.value || value <= column.value {
                continue;
            }
            let items = with.items.or(&column.items);
            let asked = with.asked + column.asked;
            let both = Column { items, value, asked, load, counted: UNCOUNTED };
            found.push((both, members | 1 << member));
        }
        if found.len() > most {
            complete = false;
            break;
        }
    }
    setting.combined = found;
    complete
}

impl Setting {
    pub(crate) fn reserve_of(&self, items: &Items) -> i64 {
        let mut sum = 0;
        each_bit(items.words(), |item| sum += self.reserve[item]);
        sum
    }
}
