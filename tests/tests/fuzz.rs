//! Any bytes at all: the corpus in `fuzz/corpus` and mutations of it, through every fuzz target, with the
//! stable toolchain. What the targets check stands with them, in `tests/src/fuzz`.
//!
//! How many mutations are tried can be set from outside (`GAVEL_FUZZ_TIMES=10`), and so can one input that
//! is tried alone (`GAVEL_FUZZ_INPUT`, a path).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may stop at anything unexpected, and says how much it has tried"
)]

use std::fs;
use std::path::{Path, PathBuf};

use gavel_tests::fuzz::{Counted, Mutations, Seed, TARGETS, Target, Verdict, within};

#[global_allocator]
static ALLOCATOR: Counted = Counted;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

/// Makes a test of each target.
macro_rules! targets {
    ($($name:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            try_target(Target::named(stringify!($name)));
        })+

        const TRIED: &[&str] = &[$(stringify!($name)),+];
    };
}

targets!(
    frames,
    session,
    record,
    snapshot,
    exchange_state,
    edge_state,
    scenario,
    notation,
    instance,
);

/// Runs a target over its corpus and mutations of it, always the same ones.
fn try_target(target: &Target) {
    if let Some(path) = std::env::var_os("GAVEL_FUZZ_INPUT") {
        println!("{}: {:?}", target.name, target.run(&fs::read(path).unwrap()));
        return;
    }
    let times = std::env::var("GAVEL_FUZZ_TIMES").map_or(1, |text| text.parse().unwrap());
    let corpus: Vec<_> = read_corpus(target).into_iter().map(|seed| seed.bytes).collect();
    let mutations = target.mutations * times;
    let mutated = Mutations::new(1, corpus.clone()).take(usize::try_from(mutations).unwrap());
    match target.run_all(corpus.into_iter().chain(mutated)) {
        Ok(read) => println!("{}: {mutations} mutations, {read} inputs were read", target.name),
        Err(input) => panic!("{}", reproduced_by(target, &input)),
    }
}

/// Keeps an input that fails, and says how it is tried again.
fn reproduced_by(target: &Target, input: &[u8]) -> String {
    let name = target.name;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
    fs::write(&path, input).unwrap();
    let path = path.display();
    format!("again: GAVEL_FUZZ_INPUT={path} cargo test -p gavel-tests --test fuzz {name}")
}

fn read_corpus(target: &Target) -> Vec<Seed> {
    let entries = fs::read_dir(folder().join("corpus").join(target.name)).unwrap();
    let read = |entry: Result<fs::DirEntry, _>| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        Seed { name, bytes: fs::read(path).unwrap() }
    };
    let mut seeds: Vec<_> = entries.map(read).collect();
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

#[test]
fn the_corpus_is_made_of_what_is_written_today_and_read_as_it_should_be() {
    let rewrite = std::env::var_os("GAVEL_GOLDEN").is_some_and(|value| value == "write");
    for target in &TARGETS {
        let folder = folder().join("corpus").join(target.name);
        let mut seeds = (target.corpus)();
        seeds.sort_by(|a, b| a.name.cmp(&b.name));
        if rewrite {
            drop(fs::remove_dir_all(&folder));
            fs::create_dir_all(&folder).unwrap();
            for seed in &seeds {
                fs::write(folder.join(&seed.name), &seed.bytes).unwrap();
            }
        }
        let found = read_corpus(target);
        let names = |seeds: &[Seed]| seeds.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(&found), names(&seeds), "{}; if right: cargo xtask golden", target.name);
        for (found, seed) in found.iter().zip(&seeds) {
            let name = format!("fuzz/corpus/{}/{}", target.name, seed.name);
            assert!(found.bytes == seed.bytes, "{name} is another; if right: cargo xtask golden");
            assert_eq!(target.run(&seed.bytes), seed.expected(), "{name}");
        }
    }
}

#[test]
fn every_target_is_tried_here_and_by_libfuzzer() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).unwrap();
    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, TRIED);
    for name in names {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is in fuzz/Cargo.toml");
        let source = folder().join(format!("fuzz_targets/{name}.rs"));
        let source = fs::read_to_string(&source).unwrap();
        assert!(source.contains(&format!("run(\"{name}\", input)")), "{name} runs itself");
    }
}

const FRAME_OF_A_HEARTBEAT: [u8; 16] = [16, 0, 0, 0, 2, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0];

/// Reads frames like the real reader, but expects no number that is negative when it has a sign.
fn planted(input: &[u8]) -> Verdict {
    assert!(input.len() != FRAME_OF_A_HEARTBEAT.len() || input[15] < 0x80, "planted");
    (Target::named("frames").check)(input)
}

#[test]
fn a_planted_bug_is_found_and_found_again() {
    let target = Target { check: planted, ..*Target::named("frames") };
    let inputs = || Mutations::new(1, vec![FRAME_OF_A_HEARTBEAT.to_vec()]).take(5_000);
    let found = target.run_all(inputs()).unwrap_err();
    assert_eq!(target.run_all(inputs()).unwrap_err(), found);
    assert_eq!(target.run_all([found.clone()].into_iter()), Err(found));
}

#[test]
fn memory_is_counted() {
    let takes = |bytes| move || drop(std::hint::black_box(Vec::<u8>::with_capacity(bytes)));
    within(1_000, takes(1_000));
    assert!(std::panic::catch_unwind(|| within(1_000, takes(1_001))).is_err());
}
