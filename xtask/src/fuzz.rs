//! The long form of fuzzing: libFuzzer, which follows what an input reaches and keeps what reaches more.

use std::fs;

use anyhow::{Context as _, Result, bail};

use crate::command::Command;
use crate::machine;

/// The most memory that a target may take, in MiB: an exchange has room for its largest market from the
/// beginning.
const MEMORY_MIB_MAX: u64 = 4_096;

/// Runs one target, or each in turn, for so many minutes.
///
/// # Errors
///
/// If there is no such target, something is missing on this machine, or an input fails.
pub fn run(target: Option<&str>, minutes: u64) -> Result<()> {
    let targets = chosen(names()?, target)?;
    if !Command::cargo("+nightly fuzz --version").succeeds()? {
        bail!("missing: rustup toolchain install nightly && cargo install cargo-fuzz --locked");
    }
    let found = machine::target_directory()?.join("fuzz-corpus");
    for name in targets {
        // What libFuzzer finds goes beside the build's outputs, and not into the repository's corpus.
        let found = found.join(&name);
        fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
        let limits = format!(
            "-max_total_time={} -rss_limit_mb={MEMORY_MIB_MAX}",
            minutes.saturating_mul(60)
        );
        // There is no unsafe code to watch, and without a sanitizer it is several times as fast.
        Command::cargo("+nightly fuzz run --sanitizer none")
            .arg(&name)
            .arg(found)
            .arg(format!("fuzz/corpus/{name}"))
            .arg("--")
            .args(&limits)
            .run()?;
    }
    Ok(())
}

/// Returns the names of the targets.
fn names() -> Result<Vec<String>> {
    let folder = crate::root()?.join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        names.extend(path.file_stem().map(|stem| stem.display().to_string()));
    }
    names.sort();
    Ok(names)
}

fn chosen(names: Vec<String>, target: Option<&str>) -> Result<Vec<String>> {
    let Some(target) = target else { return Ok(names) };
    if !names.iter().any(|name| name == target) {
        bail!("no target `{target}`; there are {}", names.join(", "));
    }
    Ok(vec![target.to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_chosen_by_its_name() {
        let names = names().unwrap();
        assert_eq!(chosen(names.clone(), None).unwrap(), names);
        assert_eq!(chosen(names.clone(), Some("frames")).unwrap(), ["frames"]);
        let error = chosen(names, Some("frame")).unwrap_err().to_string();
        assert!(error.starts_with("no target `frame`; there are edge_state, "), "{error}");
    }
}
