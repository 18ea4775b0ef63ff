//! Plain commands, printed before they are run.

use std::ffi::OsString;
use std::process::{Command as Process, Stdio};

use anyhow::{Context as _, Result, bail};

/// A command of the shell, run in the workspace's directory.
pub struct Command {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
}

impl Command {
    /// Makes a command without arguments.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// Makes a command of cargo's; `arguments` are separated by spaces.
    pub fn cargo(arguments: &str) -> Self {
        Self::new("cargo").args(arguments)
    }

    /// Adds arguments, separated by spaces.
    pub fn args(mut self, arguments: &str) -> Self {
        self.arguments.extend(arguments.split_whitespace().map(OsString::from));
        self
    }

    /// Adds one argument as it is.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets a variable of its environment.
    pub fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Prints the command and runs it.
    ///
    /// # Errors
    ///
    /// If it cannot be run or does not succeed.
    pub fn run(self) -> Result<()> {
        let text = self.text();
        say(&format!("$ {text}"));
        let status = self.process()?.status().with_context(|| format!("running `{text}`"))?;
        if !status.success() {
            bail!("`{text}` failed ({status})");
        }
        Ok(())
    }

    /// Returns whether the command succeeds, without showing it.
    ///
    /// # Errors
    ///
    /// If the workspace cannot be found.
    pub fn succeeds(self) -> Result<bool> {
        let quiet = self.process()?.stdout(Stdio::null()).stderr(Stdio::null()).status();
        // A program that is not there does not succeed either.
        Ok(quiet.is_ok_and(|status| status.success()))
    }

    fn process(&self) -> Result<Process> {
        let mut process = Process::new(&self.program);
        process.args(&self.arguments).envs(self.environment.iter().cloned());
        process.current_dir(crate::root()?);
        Ok(process)
    }

    fn text(&self) -> String {
        let environment =
            self.environment.iter().map(|(name, value)| format!("{name}={}", value.display()));
        let words = std::iter::once(&self.program).chain(&self.arguments);
        let words = words.map(|word| word.display().to_string());
        environment.chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// Tells the person at the terminal something.
#[expect(clippy::print_stdout, reason = "a task talks to the person who runs it")]
pub fn say(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let command = Command::cargo("test --workspace").env("GAVEL_GOLDEN", "write").arg("x");
        assert_eq!(command.text(), "GAVEL_GOLDEN=write cargo test --workspace x");
    }

    #[test]
    fn a_failure_names_the_command() {
        let error = Command::new("false").run().unwrap_err();
        assert!(error.to_string().contains("`false` failed"), "{error}");
        assert!(!Command::new("no-such-program-anywhere").succeeds().unwrap());
    }
}
