//! Runs a scenario and compares what followed with what was expected.

use gavel_protocol::Stamped;

use super::line::{Line, ScenarioError};
use super::world::World;

/// A scenario that has been run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// The commands, as they stand in the file.
    pub commands: String,
    /// What was expected, if the file says.
    pub expected: Option<String>,
    /// What followed.
    pub output: String,
    /// Every request that the exchange was given, in its order.
    pub journal: Vec<Stamped>,
}

impl Scenario {
    /// Returns the file as it should be: the commands, and what followed from them.
    pub fn golden(&self) -> String {
        let end = if self.commands.is_empty() || self.commands.ends_with('\n') { "" } else { "\n" };
        format!("{}{end}---\n{}", self.commands, self.output)
    }

    /// Returns whether what followed is what was expected; without an expectation anything is.
    pub fn is_as_expected(&self) -> bool {
        self.expected.as_ref().is_none_or(|expected| *expected == self.output)
    }
}

/// Runs the commands of a scenario through a new exchange.
///
/// # Errors
///
/// [`ScenarioError`] at the first line that the language does not know.
///
/// # Panics
///
/// If the exchange breaks one of its invariants.
pub fn run(text: &str) -> Result<Scenario, ScenarioError> {
    let (commands, expected) = split(text);
    let mut world = World::new();
    for (number, text) in (1..).zip(commands.lines()) {
        if let Some(line) = Line::parse(number, text) {
            world.execute(line)?;
        }
    }
    let (output, journal) = world.finish();
    Ok(Scenario { commands: commands.into(), expected, output, journal })
}

fn split(text: &str) -> (&str, Option<String>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_end() == "---" {
            return (&text[..start], Some(text[start + line.len()..].into()));
        }
        start += line.len();
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_followed_is_written_below_the_last_line_even_if_that_does_not_end() {
        for (text, golden) in [
            ("show acme", "show acme\n---\nbalance acme available=0.00 held=0.00 escrow=0.00\n"),
            ("# nothing\n", "# nothing\n---\n"),
            ("", "---\n"),
        ] {
            assert_eq!(run(text).unwrap().golden(), golden);
            assert!(run(golden).unwrap().is_as_expected());
        }
    }
}
