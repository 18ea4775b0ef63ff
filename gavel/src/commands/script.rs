//! `gavel script`: run a scenario file through the pure exchange.

use anyhow::Context as _;
use gavel_simulator::scenario;
use serde_json::json;

use crate::Exit;
use crate::args::ScriptArgs;
use crate::output::Output;

/// Runs the scenario.
pub fn run(args: &ScriptArgs, output: &Output) -> anyhow::Result<Exit> {
    let file = args.file.display();
    let text =
        std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {file}"))?;
    let scenario = scenario::run(&text).with_context(|| format!("cannot run {file}"))?;
    let as_expected = scenario.is_as_expected();
    let events: Vec<&str> = scenario.output.lines().collect();
    let summary = json!({ "events": events, "as_expected": as_expected });
    output.summary(scenario.output.trim_end(), &summary);
    if !as_expected {
        let expected = scenario.expected.unwrap_or_default();
        tracing::error!(%file, "came out otherwise than it says; expected:\n{expected}");
        return Ok(Exit::NotVerified);
    }
    Ok(Exit::Done)
}
