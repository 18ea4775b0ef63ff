//! A region of the problem, some winners being kept, as a core for branch and bound.

use crate::branch::{Branch, Core, Searched};
use crate::clock::Clock;
use crate::columns::{Columns, Setting, UNCOUNTED};
use crate::items::{bits, lies_within, meets};
use crate::limits::{GROUPS_MAX, ITEMS_MAX};
use crate::prices::{FINE, Proven};

/// Words of the largest search: one row for each item and group.
const WORDS_MAX: usize = (ITEMS_MAX + GROUPS_MAX) / 64;

/// What winners that are kept leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept<const W: usize> {
    pub covered: Vec<[u64; W]>,
    /// Per group, whether one of its columns is kept.
    pub groups: Vec<bool>,
    pub capacity: Vec<u32>,
    pub surplus: i64,
}

impl<const W: usize> Kept<W> {
    pub(crate) fn reset(&mut self, columns: &Columns<W>, setting: &Setting) {
        self.covered.clear();
        self.covered.push([0; W]);
        self.groups.clear();
        let groups = columns.group.last().map_or(0, |last| *last as usize + 1);
        self.groups.resize(groups, false);
        self.capacity.clone_from(&setting.capacity);
        self.surplus = 0;
    }

    /// Returns what a column adds, or `None` if it does not go with what is kept.
    pub(crate) fn gain(
        &self,
        columns: &Columns<W>,
        setting: &Setting,
        column: usize,
    ) -> Option<i64> {
        let mask = &columns.mask[column];
        if self.groups[columns.group[column] as usize] {
            return None;
        }
        let counted = columns.counted[column];
        if counted != UNCOUNTED && columns.load[column] > self.capacity[counted as usize] {
            return None;
        }
        let mut value = columns.value[column];
        if meets(mask, &self.covered[0]) {
            if setting.exact {
                return None;
            }
            let twice: [u64; W] = std::array::from_fn(|word| mask[word] & self.covered[0][word]);
            value -= bits(twice).map(|item| setting.reserve[item]).sum::<i64>();
        }
        Some(value)
    }

    /// Keeps a column.
    pub(crate) fn keep(&mut self, columns: &Columns<W>, column: usize, gain: i64) {
        for word in 0..W {
            self.covered[0][word] |= columns.mask[column][word];
        }
        self.groups[columns.group[column] as usize] = true;
        let counted = columns.counted[column];
        if counted != UNCOUNTED {
            self.capacity[counted as usize] -= columns.load[column];
        }
        self.surplus += gain;
    }
}

/// Searches of all sizes, and the core they search.
#[derive(Debug, Default)]
pub(crate) struct Searches {
    core: Core,
    row_of_item: Vec<u16>,
    picked: Vec<(u32, i64)>,
    one: Branch<1>,
    two: Branch<2>,
    four: Branch<4>,
    eight: Branch<8>,
    largest: Branch<WORDS_MAX>,
    /// Names of the best columns found.
    pub best: Vec<u32>,
}

impl Searches {
    /// Loads what is beside the kept winners; returns how many columns and rows that is, or `None`
    /// if it can bring nothing better than `had` in all.
    pub(crate) fn load<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        proven: &Proven,
        kept: &Kept<W>,
        had: i64,
    ) -> Option<(usize, usize)> {
        let core = &mut self.core;
        core.clear();
        core.capacity.extend_from_slice(&kept.capacity);
        let covered = kept.covered[0];
        let mut free = [0_u64; W];
        self.row_of_item.resize(setting.items, 0);
        let mut bound = kept.surplus << FINE;
        for item in 0..setting.items {
            if covered[item / 64] >> (item % 64) & 1 == 0 {
                free[item / 64] |= 1 << (item % 64);
                self.row_of_item[item] = narrow(core.price.len());
                core.price.push(proven.price[item]);
                let twice = setting.reserve[item] << FINE;
                core.twice.push(if setting.exact { i64::MAX } else { twice });
                bound += proven.price[item];
            }
        }
        let mut at = 0;
        while at < columns.len() {
            let group = columns.group[at];
            let mut end = at + 1;
            while end < columns.len() && columns.group[end] == group {
                end += 1;
            }
            if !kept.groups[group as usize] {
                bound += proven.group_left[at];
            }
            at = end;
        }
        core.room = bound - ((had + 1) << FINE);
        if core.room < 0 {
            return None;
        }
        let mut at = 0;
        while at < columns.len() {
            let group = columns.group[at];
            let from = at;
            while at < columns.len() && columns.group[at] == group {
                at += 1;
            }
            if !kept.groups[group as usize] {
                self.load_group(columns, setting, proven, kept, &free, from..at);
            }
        }
        (self.core.room >= 0).then_some((self.core.cost.len(), self.core.price.len()))
    }

    fn load_group<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        proven: &Proven,
        kept: &Kept<W>,
        free: &[u64; W],
        group: std::ops::Range<usize>,
    ) {
        let best = proven.group_left[group.start];
        self.picked.clear();
        for column in group {
            let mask = &columns.mask[column];
            let mut cost = best - proven.left[column];
            if setting.exact {
                if cost > self.core.room || !lies_within(mask, free) {
                    continue;
                }
            } else if !meets(mask, free) {
                continue;
            }
            if !setting.exact {
                let twice: [u64; W] = std::array::from_fn(|word| mask[word] & !free[word]);
                for item in bits(twice) {
                    cost += (setting.reserve[item] << FINE) - proven.price[item];
                }
            }
            let counted = columns.counted[column];
            let fits =
                counted == UNCOUNTED || columns.load[column] <= kept.capacity[counted as usize];
            if cost <= self.core.room && fits {
                self.picked.push((u32::from(narrow(column)), cost));
            }
        }
        let core = &mut self.core;
        let row = match self.picked.len() {
            0 => {
                core.room -= best;
                return;
            }
            1 if best == 0 => None,
            _ => {
                core.price.push(best);
                core.twice.push(i64::MAX);
                Some(narrow(core.price.len() - 1))
            }
        };
        for (column, cost) in &self.picked {
            for item in columns.rows_of(*column as usize) {
                let item = usize::from(*item);
                if free[item / 64] >> (item % 64) & 1 == 1 {
                    core.rows.push(self.row_of_item[item]);
                }
            }
            core.rows.extend(row);
            core.start.push(u32::try_from(core.rows.len()).expect("COLUMNS_MAX sets of 257"));
            core.cost.push(*cost);
            core.name.push(*column);
            core.counted.push(columns.counted[*column as usize]);
            core.load.push(columns.load[*column as usize]);
        }
    }

    /// Searches what was loaded; returns whether anything better was found, and whether that is the
    /// best.
    pub(crate) fn search(&mut self, work: u64, clock: &mut Clock<'_>) -> (bool, Searched) {
        clock.spend(self.core.rows.len() as u64);
        match self.core.price.len().div_ceil(64) {
            0 | 1 => run(&mut self.one, &self.core, work, clock, &mut self.best),
            2 => run(&mut self.two, &self.core, work, clock, &mut self.best),
            3 | 4 => run(&mut self.four, &self.core, work, clock, &mut self.best),
            5..=8 => run(&mut self.eight, &self.core, work, clock, &mut self.best),
            _ => run(&mut self.largest, &self.core, work, clock, &mut self.best),
        }
    }
}

fn run<const R: usize>(
    search: &mut Branch<R>,
    core: &Core,
    work: u64,
    clock: &mut Clock<'_>,
    best: &mut Vec<u32>,
) -> (bool, Searched) {
    let searched = search.search(core, work, clock);
    if search.found {
        best.clear();
        best.extend(search.best.iter().map(|column| core.name[usize::from(*column)]));
    }
    (search.found, searched)
}

fn narrow(index: usize) -> u16 {
    u16::try_from(index).expect("COLUMNS_MAX is within 16 bits")
}
