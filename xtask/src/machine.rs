//! What the tests need of the machine: found, or installed where that is possible, or named.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use cargo_metadata::MetadataCommand;

use crate::command::Command;

/// The variable that tells the tests which Python has QUIC and BLAKE3 of another house.
pub const PYTHON_VARIABLE: &str = "GAVEL_PYTHON";

/// What the wire is tested against, as pip names it.
const PYTHON_PACKAGES: [&str; 2] = ["aioquic==1.7.2", "blake3==1.0.11"];

/// Makes sure that the toolchain can format and lint.
///
/// # Errors
///
/// If a component is missing and cannot be installed.
pub fn ensure_rust_components() -> Result<()> {
    for (tool, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !Command::cargo(tool).arg("--version").succeeds()? {
            Command::new("rustup").args("component add").arg(component).run().with_context(
                || format!("`cargo {tool}` is missing: add the component {component}"),
            )?;
        }
    }
    Ok(())
}

/// Makes sure that there is a PostgreSQL that the tests can start servers of. It need not run, and one
/// that runs is left alone.
///
/// # Errors
///
/// If it is missing and cannot be installed.
pub fn ensure_postgres() -> Result<()> {
    let find = "ls /usr/lib/postgresql/*/bin/initdb || command -v initdb";
    if !Command::new("sh").arg("-c").arg(find).succeeds()? {
        install(&["postgresql"])?;
    }
    Ok(())
}

/// Returns a Python that has what the wire is tested against: in an environment of its own beside
/// the build's outputs, made at the first use.
///
/// # Errors
///
/// If there is no Python, or no way to install what it lacks.
pub fn python_with_packages() -> Result<PathBuf> {
    let environment = target_directory()?.join("venv");
    let python = environment.join("bin").join("python");
    if has_packages(&python)? {
        return Ok(python);
    }
    let make = || Command::new("python3").args("-m venv --clear").arg(&environment);
    if !make().succeeds()? {
        install(&["python3", "python3-venv"])?;
        make().run()?;
    }
    Command::new(&python)
        .args("-m pip install --quiet --disable-pip-version-check")
        .args(&PYTHON_PACKAGES.join(" "))
        .run()
        .context("Python packages could not be installed; is there a network?")?;
    Ok(python)
}

fn has_packages(python: &PathBuf) -> Result<bool> {
    let check = format!(
        "import importlib.metadata as m; \
         assert all(m.version(p.split('==')[0]) == p.split('==')[1] for p in {PYTHON_PACKAGES:?})"
    );
    Command::new(python).arg("-c").arg(check).succeeds()
}

/// Returns where cargo puts what it builds.
///
/// # Errors
///
/// If cargo cannot say.
pub fn target_directory() -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(crate::root()?.join("Cargo.toml"))
        .no_deps()
        .exec()
        .context("asking cargo where it builds")?;
    Ok(metadata.target_directory.into())
}

/// Installs packages of Debian's.
fn install(packages: &[&str]) -> Result<()> {
    let names = packages.join(" ");
    if !Command::new("apt-get").arg("--version").succeeds()? {
        bail!("missing on this machine, which is not a Debian: install {names}");
    }
    if !Command::new("sh").arg("-c").arg("test \"$(id -u)\" -eq 0").succeeds()? {
        bail!("missing, and only root may install it: apt-get install {names}");
    }
    Command::new("apt-get").args("update -qq").run()?;
    Command::new("apt-get")
        .args("install --yes --no-install-recommends -qq")
        .args(&names)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .run()
}
