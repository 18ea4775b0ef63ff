//! One line of a scenario: a verb, its arguments, its options.

use std::collections::BTreeMap;
use std::str::FromStr;

use gavel_protocol::{DurationNs, Micros};

/// A line that the language does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct ScenarioError {
    /// The line's number, from 1.
    pub line: usize,
    /// What is wrong with it, and what was expected.
    pub problem: String,
}

/// A line, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    number: usize,
    verb: &'a str,
    arguments: std::vec::IntoIter<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Line<'a> {
    /// Takes a line apart; returns `None` for an empty one or a comment.
    pub(super) fn parse(number: usize, text: &'a str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let verb = words.next().filter(|verb| !verb.starts_with('#'))?;
        let (mut arguments, mut options) = (Vec::new(), BTreeMap::new());
        for word in words {
            match word.split_once('=') {
                Some((name, value)) => drop(options.insert(name, value)),
                None => arguments.push(word),
            }
        }
        Some(Self { number, verb, arguments: arguments.into_iter(), options })
    }

    /// Returns the verb.
    pub(super) fn verb(&self) -> &'a str {
        self.verb
    }

    /// Takes the next argument.
    pub(super) fn argument(&mut self, what: &str) -> Result<&'a str, ScenarioError> {
        let argument = self.arguments.next();
        argument.ok_or_else(|| self.error(format!("`{}` needs {what}", self.verb)))
    }

    /// Takes the next argument, if there is one.
    pub(super) fn optional_argument(&mut self) -> Option<&'a str> {
        self.arguments.next()
    }

    /// Takes the next argument as an amount of money.
    pub(super) fn money(&mut self, what: &str) -> Result<Micros, ScenarioError> {
        let text = self.argument(what)?;
        Micros::parse_units(text).map_err(|error| self.error(format!("{what}: {error}")))
    }

    /// Takes an option as an amount of money.
    pub(super) fn money_option(&mut self, name: &str) -> Result<Option<Micros>, ScenarioError> {
        let Some(text) = self.options.remove(name) else { return Ok(None) };
        let amount = Micros::parse_units(text);
        amount.map(Some).map_err(|error| self.error(format!("{name}: {error}")))
    }

    /// Takes an option as a duration.
    pub(super) fn duration_option(
        &mut self,
        name: &str,
    ) -> Result<Option<DurationNs>, ScenarioError> {
        let Some(text) = self.options.remove(name) else { return Ok(None) };
        self.duration_of(text).map(Some)
    }

    /// Takes the next argument as a duration.
    pub(super) fn duration(&mut self) -> Result<DurationNs, ScenarioError> {
        let text = self.argument("a duration such as 500ms")?;
        self.duration_of(text)
    }

    /// Takes an option as a value of its type.
    pub(super) fn option<T: FromStr>(
        &mut self,
        name: &str,
        expected: &str,
    ) -> Result<Option<T>, ScenarioError> {
        let Some(text) = self.options.remove(name) else { return Ok(None) };
        let problem = || self.error(format!("{name}={text}: expected {expected}"));
        text.parse().map(Some).map_err(|_| problem())
    }

    /// Takes an option that is one of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Result<Option<T>, ScenarioError> {
        let Some(text) = self.options.remove(name) else { return Ok(None) };
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let problem = || self.error(format!("{name}={text}: expected one of {}", words.join(", ")));
        chosen.map(Some).ok_or_else(problem)
    }

    /// Takes the next argument as one of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        what: &str,
        choices: &[(&str, T)],
    ) -> Result<T, ScenarioError> {
        let text = self.argument(what)?;
        let chosen = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        chosen.ok_or_else(|| self.error(format!("`{text}`: expected {what}")))
    }

    /// Takes an option as it is.
    pub(super) fn text_option(&mut self, name: &str) -> Option<&'a str> {
        self.options.remove(name)
    }

    /// Checks that nothing is left over.
    pub(super) fn finish(mut self) -> Result<(), ScenarioError> {
        if let Some(extra) = self.arguments.next() {
            return Err(self.error(format!("`{}` does not take `{extra}`", self.verb)));
        }
        if let Some(extra) = self.options.keys().next() {
            return Err(self.error(format!("`{}` has no option `{extra}`", self.verb)));
        }
        Ok(())
    }

    /// Returns an error at this line.
    pub(super) fn error(&self, problem: impl Into<String>) -> ScenarioError {
        ScenarioError { line: self.number, problem: problem.into() }
    }

    fn duration_of(&self, text: &str) -> Result<DurationNs, ScenarioError> {
        duration(text).ok_or_else(|| {
            self.error(format!(
                "`{text}` is no duration; write 10ns, 20us, 500ms, 3s, 2m, 1h or 1d"
            ))
        })
    }
}

/// Reads a duration: a whole number and a unit; `0` needs none.
pub(super) fn duration(text: &str) -> Option<DurationNs> {
    if text == "0" {
        return Some(DurationNs::ZERO);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let nanos: u64 = match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        "d" => 24 * 3_600 * 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(nanos).map(DurationNs::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_language_does_not_know_is_an_error_with_its_line() {
        let mut line = Line::parse(7, "deposit acme ten extra=1").unwrap();
        assert_eq!(line.argument("a name").unwrap(), "acme");
        assert_eq!(line.money("an amount").unwrap_err().line, 7);
        assert!(line.finish().unwrap_err().to_string().contains("no option `extra`"));
    }

    #[test]
    fn a_duration_has_a_unit_and_fits() {
        assert_eq!(duration("500ms"), Some(DurationNs::from_millis(500)));
        assert_eq!(duration("5"), None);
        assert_eq!(duration("-5s"), None);
        assert_eq!(duration("99999999999999999d"), None);
    }
}
