//! Fuzz targets: each takes any bytes, gives them to one of the exchange's readers, and checks what must
//! hold whatever they are.
//!
//! `fuzz/fuzz_targets` gives them to libFuzzer, `tests/tests/fuzz.rs` runs them over the corpus in
//! `fuzz/corpus` and mutations of it with the stable toolchain. See `docs/RELIABILITY.md`.

mod corpus;
mod frames;
mod memory;
mod mutate;
mod readers;
mod session;
mod stage;
mod texts;

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use corpus::Seed;
pub use memory::{Counted, within};
pub use mutate::Mutations;

/// What a reader made of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was read, at least in part.
    Read,
    /// All of it was refused.
    Refused,
}

/// A target.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: that of its file in `fuzz/fuzz_targets` and of its folder in `fuzz/corpus`.
    pub name: &'static str,
    /// The longest input that it looks at.
    pub bytes_max: usize,
    /// Mutations that the short form tries.
    pub mutations: u64,
    /// Makes its corpus.
    pub corpus: fn() -> Vec<Seed>,
    /// Gives an input to what is tested; panics if something does not hold.
    pub check: fn(&[u8]) -> Verdict,
}

/// Every target.
pub const TARGETS: [Target; 9] = [
    Target {
        name: "frames",
        bytes_max: 16_384,
        mutations: 12_000,
        corpus: corpus::frames,
        check: frames::check,
    },
    Target {
        name: "session",
        bytes_max: 16_384,
        mutations: 600,
        corpus: corpus::session,
        check: session::check,
    },
    Target {
        name: "record",
        bytes_max: 65_536,
        mutations: 1_200,
        corpus: corpus::record,
        check: readers::check_record,
    },
    Target {
        name: "snapshot",
        bytes_max: 65_536,
        mutations: 6_000,
        corpus: corpus::snapshot,
        check: readers::check_snapshot,
    },
    Target {
        name: "exchange_state",
        bytes_max: 65_536,
        mutations: 4_000,
        corpus: corpus::exchange_state,
        check: readers::check_exchange_state,
    },
    Target {
        name: "edge_state",
        bytes_max: 65_536,
        mutations: 4_000,
        corpus: corpus::edge_state,
        check: readers::check_edge_state,
    },
    Target {
        name: "scenario",
        bytes_max: 4_096,
        mutations: 400,
        corpus: corpus::scenario,
        check: texts::check_scenario,
    },
    Target {
        name: "notation",
        bytes_max: 1_024,
        mutations: 12_000,
        corpus: corpus::notation,
        check: texts::check_notation,
    },
    Target {
        name: "instance",
        bytes_max: 16_384,
        mutations: 6_000,
        corpus: corpus::instance,
        check: texts::check_instance,
    },
];

impl Target {
    /// Returns the target of a name.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn named(name: &str) -> &'static Self {
        TARGETS.iter().find(|target| target.name == name).expect("the name of a target")
    }

    /// Gives an input to what is tested.
    ///
    /// # Panics
    ///
    /// If something does not hold.
    pub fn run(&self, input: &[u8]) -> Verdict {
        if input.len() > self.bytes_max {
            return Verdict::Refused;
        }
        (self.check)(input)
    }

    /// Gives every one of these inputs to what is tested, until one fails. Returns how many were read.
    ///
    /// # Errors
    ///
    /// The input that fails.
    pub fn run_all(&self, inputs: impl Iterator<Item = Vec<u8>>) -> Result<u64, Vec<u8>> {
        let mut read = 0;
        for input in inputs {
            // What a target has changed is its own, and is thrown away.
            match catch_unwind(AssertUnwindSafe(|| self.run(&input))) {
                Ok(verdict) => read += u64::from(verdict == Verdict::Read),
                Err(_) => return Err(input),
            }
        }
        Ok(read)
    }
}

/// Gives an input to the target of a name.
///
/// # Panics
///
/// If something does not hold, or there is no such target.
pub fn run(name: &str, input: &[u8]) {
    Target::named(name).run(input);
}

/// The most that reading so many bytes may take of memory: what is read takes more room than what is
/// written, and a list grows by doubling. What a length field says does not count.
const fn memory_for(bytes: usize) -> usize {
    64 * 1_024 + 32 * bytes
}
