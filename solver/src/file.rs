//! Instance files: plain text, one record per line, for people and for other solvers.
//!
//! ```text
//! wdp 1
//! name <id>
//! kind forward|procurement
//! cover exact|atleast              procurement only
//! items <n>
//! bids <m>
//! groups <k>
//! j <item> <load> <reserve>        procurement: one per item, in order
//! g <group> xor <quality>          procurement: one per group, in order; in forward files every
//! g <group> or <cap> <quality>     group is xor
//! b <score> <price> <group> <items>
//! end
//! ```
//!
//! `price` is `=` where it is the score, `group` is `-` for a bid without one, and `items` are
//! numbers in ascending order or one mask `x<HEX>` whose bit `i` is item `i`.

use std::fmt::Write as _;
use std::str::SplitAsciiWhitespace;

use thiserror::Error;

use crate::items::Items;
use crate::limits::{BIDS_MAX, GROUPS_MAX, ITEMS_MAX};
use crate::problem::{Bid, BuildError, Cover, Group, GroupId, Item, Kind, Problem};

/// A problem with the name its file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The name.
    pub name: String,
    /// The problem.
    pub problem: Problem,
}

/// Why a file is no instance: the line, counted from one, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct ReadError {
    /// The line.
    pub line: usize,
    /// What is wrong.
    pub what: Wrong,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Wrong {
    /// Something else stands there.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What should stand there.
        expected: &'static str,
        /// What does, shortened.
        found: String,
    },
    /// The file ends before `end`.
    #[error("the file ends here: expected {0}")]
    Truncated(&'static str),
    /// A number that no 64 bits hold.
    #[error("expected {0}, found a number beyond 64 bits")]
    Huge(&'static str),
    /// The problem does not allow it.
    #[error("{0}")]
    Refused(#[from] BuildError),
}

/// Reads an instance.
///
/// # Errors
///
/// If the text is anything but an instance: the first line that is wrong, and why.
pub fn read(text: &str) -> Result<Instance, ReadError> {
    let mut lines = Lines { rest: text, line: 0 };
    let instance = read_lines(&mut lines);
    instance.map_err(|what| ReadError { line: lines.line.max(1), what })
}

/// Writes an instance so that [`read`] gives it back, bidders apart.
pub fn write(instance: &Instance) -> String {
    let problem = &instance.problem;
    let mut text = format!("wdp 1\nname {}\n", instance.name);
    let forward = problem.kind() == Kind::Forward;
    text.push_str(if forward { "kind forward\n" } else { "kind procurement\n" });
    if !forward {
        let exact = problem.cover() == Cover::Exact;
        text.push_str(if exact { "cover exact\n" } else { "cover atleast\n" });
    }
    let (items, bids) = (problem.items().len(), problem.bids().len());
    line(&mut text, format_args!("items {items}\nbids {bids}\ngroups {}", problem.groups().len()));
    if !forward {
        for (index, item) in problem.items().iter().enumerate() {
            line(&mut text, format_args!("j {index} {} {}", item.load, item.reserve));
        }
        for (index, group) in problem.groups().iter().enumerate() {
            match group {
                Group::Xor => line(&mut text, format_args!("g {index} xor 1000")),
                Group::Or { capacity } => {
                    line(&mut text, format_args!("g {index} or {capacity} 1000"));
                }
            }
        }
    }
    for bid in problem.bids() {
        write_bid(&mut text, bid);
    }
    text.push_str("end\n");
    text
}

fn write_bid(text: &mut String, bid: &Bid) {
    let price = if bid.price == bid.score { String::from("=") } else { bid.price.to_string() };
    let group = bid.group.map_or_else(|| String::from("-"), |GroupId(group)| group.to_string());
    let mut items = String::new();
    if bid.items.len() <= 12 {
        for item in bid.items.iter() {
            items.push_str(if items.is_empty() { "" } else { " " });
            items.push_str(&item.to_string());
        }
    } else {
        let digits: String =
            bid.items.words().iter().rev().map(|word| format!("{word:016x}")).collect();
        items = format!("x{}", digits.trim_start_matches('0'));
    }
    line(text, format_args!("b {} {price} {group} {items}", bid.score));
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    writeln!(text, "{content}").expect("a string takes whatever is written");
}

struct Lines<'a> {
    rest: &'a str,
    line: usize,
}

struct Header {
    kind: Kind,
    cover: Cover,
    items: usize,
    bids: usize,
    groups: usize,
}

fn read_lines(lines: &mut Lines<'_>) -> Result<Instance, Wrong> {
    let mut version = lines.record("wdp", "`wdp 1`")?;
    word(&mut version, "`wdp 1`", |version| (version == "1").then_some(()))?;
    let mut name = lines.record("name", "`name <id>`")?;
    let name = word(&mut name, "`name <id>`", |name| Some(name.to_owned()))?;
    let header = read_header(lines)?;
    let mut problem = match header.kind {
        Kind::Forward => Problem::forward(header.items)?,
        Kind::Procurement => read_items(lines, &header)?,
    };
    for group in 0..header.groups {
        let group = match header.kind {
            Kind::Forward => Group::Xor,
            Kind::Procurement => read_group(lines, group)?,
        };
        problem.add_group(group)?;
    }
    for _ in 0..header.bids {
        let bid = read_bid(lines, &problem)?;
        problem.add_bid(bid)?;
    }
    nothing_more(lines.record("end", "`end`, or the number of bids to be right")?)?;
    Ok(Instance { name, problem })
}

fn read_header(lines: &mut Lines<'_>) -> Result<Header, Wrong> {
    const KIND: &str = "`kind forward` or `kind procurement`";
    const COVER: &str = "`cover exact` or `cover atleast`";
    let kind = word(&mut lines.record("kind", KIND)?, KIND, |kind| match kind {
        "forward" => Some(Kind::Forward),
        "procurement" => Some(Kind::Procurement),
        _ => None,
    })?;
    let cover = match kind {
        Kind::Forward => Cover::Exact,
        Kind::Procurement => {
            word(&mut lines.record("cover", COVER)?, COVER, |cover| match cover {
                "exact" => Some(Cover::Exact),
                "atleast" => Some(Cover::AtLeast),
                _ => None,
            })?
        }
    };
    let items = count(lines, "items", "`items <n>`, 1 to 256", ITEMS_MAX)?;
    let bids = count(lines, "bids", "`bids <m>`, at most 4096", BIDS_MAX)?;
    let groups = count(lines, "groups", "`groups <k>`, at most 4096", GROUPS_MAX)?;
    Ok(Header { kind, cover, items, bids, groups })
}

fn count(
    lines: &mut Lines<'_>,
    record: &'static str,
    expected: &'static str,
    most: usize,
) -> Result<usize, Wrong> {
    let mut words = lines.record(record, expected)?;
    let count = number(&mut words, expected)?;
    nothing_more(words)?;
    let within = usize::try_from(count).ok().filter(|count| *count <= most);
    within.ok_or_else(|| Wrong::Expected { expected, found: count.to_string() })
}

fn read_items(lines: &mut Lines<'_>, header: &Header) -> Result<Problem, Wrong> {
    const ITEM: &str = "`j <item> <load> <reserve>`, items in order";
    let mut items = Vec::new();
    for index in 0..header.items {
        let mut words = lines.record("j", ITEM)?;
        in_order(&mut words, index, ITEM)?;
        let load = small(&mut words, "a load")?;
        let reserve = number(&mut words, "a reserve")?;
        nothing_more(words)?;
        items.push(Item { load, reserve });
    }
    Ok(Problem::procurement(header.cover, items)?)
}

fn read_group(lines: &mut Lines<'_>, index: usize) -> Result<Group, Wrong> {
    const GROUP: &str = "`g <group> xor <quality>` or `g <group> or <cap> <quality>`, in order";
    let mut words = lines.record("g", GROUP)?;
    in_order(&mut words, index, GROUP)?;
    let or = word(&mut words, GROUP, |kind| match kind {
        "xor" => Some(false),
        "or" => Some(true),
        _ => None,
    })?;
    let group = match or {
        true => Group::Or { capacity: small(&mut words, "a capacity")? },
        false => Group::Xor,
    };
    number(&mut words, "a quality")?;
    nothing_more(words)?;
    Ok(group)
}

fn in_order(
    words: &mut SplitAsciiWhitespace<'_>,
    index: usize,
    expected: &'static str,
) -> Result<(), Wrong> {
    let found = number(words, expected)?;
    if usize::try_from(found) == Ok(index) {
        return Ok(());
    }
    Err(Wrong::Expected { expected, found: found.to_string() })
}

fn read_bid(lines: &mut Lines<'_>, problem: &Problem) -> Result<Bid, Wrong> {
    const GROUP: &str = "a group or `-`";
    let mut words = lines.record("b", "`b <score> <price> <group> <items>`")?;
    let score = number(&mut words, "a score")?;
    let price = words.clone().next();
    let price = match price {
        Some("=") => words.next().map(|_| score).unwrap_or_default(),
        Some(_) | None => number(&mut words, "a price or `=`")?,
    };
    let group = match words.clone().next() {
        Some("-") => words.next().and(None),
        Some(_) | None => Some(GroupId(small(&mut words, GROUP)?)),
    };
    let items = read_set(&mut words, problem.items().len())?;
    nothing_more(words)?;
    // Whoever owns the group is the bidder; a bid without one is a bidder of its own.
    let alone = u32::try_from(GROUPS_MAX + problem.bids().len()).unwrap_or(u32::MAX);
    let bidder = group.map_or(alone, |GroupId(group)| group);
    Ok(Bid { items, score, price, group, bidder })
}

fn read_set(words: &mut SplitAsciiWhitespace<'_>, count: usize) -> Result<Items, Wrong> {
    const SET: &str = "items in ascending order, each once and in range, or `x<HEX>` of them";
    let first = words.clone().next();
    if let Some(hex) = first.and_then(|first| first.strip_prefix('x')) {
        words.next();
        let set = hex_set(hex).filter(|set| set.iter().all(|item| usize::from(item) < count));
        return set.ok_or_else(|| Wrong::Expected { expected: SET, found: shortened(hex) });
    }
    let mut set = Items::EMPTY;
    let mut least = 0;
    while words.clone().next().is_some() {
        let item = number(words, SET)?;
        let wrong = || Wrong::Expected { expected: SET, found: item.to_string() };
        let fits = u8::try_from(item).ok().filter(|item| usize::from(*item) < count);
        let item = fits.filter(|item| u16::from(*item) >= least).ok_or_else(wrong)?;
        least = u16::from(item) + 1;
        set.insert(item);
    }
    if set.is_empty() {
        return Err(Wrong::Expected { expected: SET, found: String::from("nothing") });
    }
    Ok(set)
}

fn hex_set(hex: &str) -> Option<Items> {
    let digits = hex.trim_start_matches('0');
    if digits.is_empty() || digits.len() > ITEMS_MAX / 4 || !digits.is_ascii() {
        return None;
    }
    let mut words = [0; ITEMS_MAX / 64];
    for (index, chunk) in digits.as_bytes().rchunks(16).enumerate() {
        for digit in chunk {
            let digit = char::from(*digit).to_digit(16)?;
            words[index] = words[index] << 4 | u64::from(digit);
        }
    }
    Some(Items::from_words(words))
}

fn word<T>(
    words: &mut SplitAsciiWhitespace<'_>,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Wrong> {
    let found = words.next().unwrap_or("nothing");
    parse(found).ok_or_else(|| Wrong::Expected { expected, found: shortened(found) })
}

fn number(words: &mut SplitAsciiWhitespace<'_>, expected: &'static str) -> Result<u64, Wrong> {
    let found = words.next().unwrap_or("nothing");
    match found.parse() {
        Ok(number) if !found.starts_with('+') => Ok(number),
        Ok(_) | Err(_) if found.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err(Wrong::Huge(expected))
        }
        Ok(_) | Err(_) => Err(Wrong::Expected { expected, found: shortened(found) }),
    }
}

fn small(words: &mut SplitAsciiWhitespace<'_>, expected: &'static str) -> Result<u32, Wrong> {
    let number = number(words, expected)?;
    u32::try_from(number).map_err(|_| Wrong::Expected { expected, found: number.to_string() })
}

fn nothing_more(mut words: SplitAsciiWhitespace<'_>) -> Result<(), Wrong> {
    match words.next() {
        None => Ok(()),
        Some(more) => {
            Err(Wrong::Expected { expected: "the end of the line", found: shortened(more) })
        }
    }
}

/// Returns a word as it is shown, so that a line of a gigabyte is not.
fn shortened(word: &str) -> String {
    const SHOWN_MAX: usize = 40;
    match word.char_indices().nth(SHOWN_MAX) {
        Some((end, _)) => format!("`{}…`", &word[..end]),
        None => format!("`{word}`"),
    }
}

impl<'a> Lines<'a> {
    /// Returns what follows the record's type on the next line.
    fn record(
        &mut self,
        record: &'static str,
        expected: &'static str,
    ) -> Result<SplitAsciiWhitespace<'a>, Wrong> {
        if self.rest.is_empty() {
            return Err(Wrong::Truncated(expected));
        }
        self.line += 1;
        let Some((line, rest)) = self.rest.split_once('\n') else {
            // Without its end, the line may be half of one.
            return Err(Wrong::Truncated(expected));
        };
        self.rest = rest;
        let mut words = line.split_ascii_whitespace();
        word(&mut words, expected, |word| (word == record).then_some(()))?;
        Ok(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "wdp 1\nname small\nkind procurement\ncover atleast\nitems 3\nbids 3\n\
        groups 2\nj 0 1 100\nj 1 2 200\nj 2 3 300\ng 0 xor 900\ng 1 or 4 800\n\
        b 150 140 0 0 1\nb 250 = 1 2\nb 90 80 - x3\nend\n";

    fn wrong(from: &str, to: &str) -> String {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL);
        read(&text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let instance = read(SMALL).unwrap();
        assert_eq!(instance.problem.bids()[2].items.len(), 2);
        assert_eq!(instance.problem.bids()[1].price, 250);
        let again = read(&write(&instance)).unwrap();
        assert_eq!(again, instance);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        assert_eq!(wrong("wdp 1", "wdp 2"), "line 1: expected `wdp 1`, found `2`");
        assert!(wrong("items 3", "items 257").starts_with("line 5: expected `items <n>`"));
        let beyond = wrong("b 150", "b 99999999999999999999");
        assert_eq!(beyond, "line 13: expected a score, found a number beyond 64 bits");
        assert!(wrong("b 150 140", "b 150 -1").starts_with("line 13: expected a price or `=`"));
        assert!(wrong("0 0 1\n", "0 1 0\n").starts_with("line 13: expected items in ascending"));
        assert!(wrong("- x3", "- x9").starts_with("line 15: expected items"));
        assert!(wrong("- x3", "-").starts_with("line 15: expected items"));
        assert!(wrong("b 90", "b 0090x").starts_with("line 15: expected a score"));
        assert!(wrong("bids 3", "bids 2").starts_with("line 15: expected `end`"));
        assert!(wrong("g 1 or 4", "g 1 or 0").contains("capacity 0"));
        assert!(wrong("= 1 2", "= 2 2").contains("group 2: expected less than 2"));
        assert!(wrong("j 1 2", "j 2 2").starts_with("line 9: expected `j"));
        let most = wrong("b 150", "b 18446744073709551615");
        assert!(most.contains("add up to more than"), "{most}");
    }

    #[test]
    fn every_truncation_is_found() {
        for end in 0..SMALL.len() {
            assert!(read(&SMALL[..end]).is_err(), "{end}");
        }
    }
}
