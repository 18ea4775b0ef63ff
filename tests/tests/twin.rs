//! A naive twin: the market's rules once more, in plain lists, without any of the exchange's code.
//! On random scripts both must say the same of every command, every award, every loss and every
//! balance.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

mod twin_model;

use std::cell::{Cell, RefCell};

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};
use twin_model::real::Real;
use twin_model::script::{epilogue, script};
use twin_model::{AGENTS, BEGIN_WITH, Op, Twin};

/// Random commands of a run at least: waiting, and what begins and ends each market, not counted.
const COMMANDS_MIN: u64 = 1_000_000;
/// Markets of a run.
const MARKETS: u32 = 8_200;

/// The exchange that goes on from market to market: making one costs more than a market does.
#[derive(Default)]
struct Shared {
    real: RefCell<Option<Real>>,
    commands: Cell<u64>,
}

impl Shared {
    /// Lets exchange and twin go through one market side by side. After a failure the next one
    /// begins with an exchange of its own.
    fn run(&self, ops: Vec<Op>) -> Result<(), TestCaseError> {
        let kept = self.real.borrow_mut().take().filter(Real::has_room);
        let mut real = kept.unwrap_or_else(Real::new);
        real.begin_market();
        let mut twin = Twin::new(real.now_us());
        let commands = ops.iter().filter(|op| !matches!(op, Op::Wait { .. })).count();
        // Money for everybody, so that more than rejections happens.
        let rich = (0..AGENTS).map(|who| Op::Deposit { who, amount: BEGIN_WITH });
        let mut script = Vec::new();
        for op in rich.chain(ops).chain(epilogue()) {
            let op = twin.choose(&op);
            script.push(op);
            step(&mut real, &mut twin, &script)?;
        }
        compare_everything(&real, &twin, &script)?;
        *self.real.borrow_mut() = Some(real);
        self.commands.set(self.commands.get() + commands as u64);
        Ok(())
    }
}

/// Executes the last operation of the script on both, and compares what is said and owned.
fn step(real: &mut Real, twin: &mut Twin, script: &[Op]) -> Result<(), TestCaseError> {
    let op = script.last().unwrap();
    real.execute(op);
    twin.execute(op);
    // What happens at one moment comes in any order.
    real.said.sort_unstable();
    twin.said.sort_unstable();
    prop_assert_eq!(&real.said, &twin.said, "after\n{}", lines(script));
    real.said.clear();
    twin.said.clear();
    prop_assert_eq!(real.balances(), twin.balances(), "after\n{}", lines(script));
    let who = script.len() % AGENTS;
    prop_assert_eq!(real.statement(who), twin.statement(who), "{} after\n{}", who, lines(script));
    Ok(())
}

/// Returns a script as the twin understood it, an operation a line.
fn lines(script: &[Op]) -> String {
    script.iter().map(|op| format!("{op:?}\n")).collect()
}

fn compare_everything(real: &Real, twin: &Twin, script: &[Op]) -> Result<(), TestCaseError> {
    prop_assert!(real.is_balanced());
    for who in 0..AGENTS {
        prop_assert_eq!(
            real.statement(who),
            twin.statement(who),
            "{} after\n{}",
            who,
            lines(script)
        );
    }
    Ok(())
}

#[test]
fn the_twin_says_the_same() {
    let config = ProptestConfig {
        cases: MARKETS,
        source_file: Some(file!()),
        test_name: Some("the_twin_says_the_same"),
        ..ProptestConfig::default()
    };
    let shared = Shared::default();
    let result = TestRunner::new(config).run(&script(), |ops| shared.run(ops));
    if let Err(difference) = result {
        panic!("{difference}");
    }
    let commands = shared.commands.get();
    assert!(commands >= COMMANDS_MIN, "only {commands} random commands");
}
