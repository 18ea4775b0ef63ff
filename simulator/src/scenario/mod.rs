//! The scenario language: commands as text in, events as text out.
//!
//! A file holds commands, a line `---`, and the events that are expected. It runs through the pure
//! exchange in virtual time. The language is documented in `docs/SCENARIOS.md`.

mod bundles;
mod commands;
mod line;
mod run;
mod say;
mod world;

pub use line::ScenarioError;
pub use run::{Scenario, run};
