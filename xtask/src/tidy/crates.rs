//! Which crate may depend on which, and on what from outside.

use std::collections::BTreeSet;

use cargo_metadata::{Metadata, MetadataCommand, Package};

use super::{assert_none, files};

/// What lies directly left of each crate; an edge to anything further left is allowed too.
const LEFT: &[(&str, &[&str])] = &[
    ("gavel-protocol", &[]),
    ("gavel-risk", &["gavel-protocol"]),
    ("gavel-matcher", &["gavel-protocol"]),
    ("gavel-settlement", &["gavel-protocol"]),
    ("gavel-exchange", &["gavel-risk", "gavel-matcher", "gavel-settlement"]),
    ("gavel-sequencer", &["gavel-exchange"]),
    ("gavel-gateway", &["gavel-sequencer"]),
    ("gavel-client", &["gavel-protocol"]),
    ("gavel-simulator", &["gavel-gateway", "gavel-client"]),
    ("gavel-solver", &["gavel-matcher"]),
    ("gavel", &["gavel-simulator", "gavel-solver"]),
    ("gavel-tests", &["gavel"]),
    ("gavel-benches", &["gavel"]),
    ("xtask", &["gavel-protocol"]),
];

/// What each crate may use from outside the house.
const EXTERNAL: &[(&str, External)] = &[
    (
        "gavel-protocol",
        External::These(&["data-encoding", "proptest", "rkyv", "serde", "serde_json", "thiserror"]),
    ),
    ("gavel-risk", External::These(&["hashbrown", "rkyv", "rustc-hash", "slab", "thiserror"])),
    (
        "gavel-matcher",
        External::These(&["hashbrown", "proptest", "rkyv", "rustc-hash", "slab", "thiserror"]),
    ),
    (
        "gavel-settlement",
        External::These(&["hashbrown", "proptest", "rkyv", "rustc-hash", "slab", "thiserror"]),
    ),
    (
        "gavel-exchange",
        External::These(&[
            "blake3",
            "hashbrown",
            "proptest",
            "rkyv",
            "rustc-hash",
            "slab",
            "speck-cipher",
            "thiserror",
        ]),
    ),
    (
        "gavel-sequencer",
        External::These(&[
            "blake3",
            "crossbeam",
            "ct-merkle",
            "data-encoding",
            "ed25519-dalek",
            "fs4",
            "proptest",
            "rkyv",
            "rustix",
            "serde",
            "serde_json",
            "sha2",
            "sqlx",
            "tempfile",
            "thiserror",
            "tokio",
            "tracing",
        ]),
    ),
    (
        "gavel-gateway",
        External::These(&[
            "axum",
            "blake3",
            "bytes",
            "dashmap",
            "data-encoding",
            "ed25519-dalek",
            "object_store",
            "prometheus-client",
            "quinn",
            "rand",
            "rcgen",
            "rkyv",
            "rustc-hash",
            "rustls",
            "sha2",
            "tempfile",
            "thiserror",
            "tokio",
            "tracing",
        ]),
    ),
    (
        "gavel-client",
        External::These(&[
            "blake3",
            "data-encoding",
            "ed25519-dalek",
            "futures-core",
            "quinn",
            "rand",
            "rcgen",
            "rustc-hash",
            "rustls",
            "sha2",
            "slab",
            "thiserror",
            "tokio",
            "tracing",
        ]),
    ),
    (
        "gavel-simulator",
        External::These(&[
            "blake3",
            "ed25519-dalek",
            "hdrhistogram",
            "object_store",
            "rand",
            "rand_chacha",
            "serde",
            "serde_json",
            "tempfile",
            "thiserror",
            "tokio",
            "tracing",
        ]),
    ),
    (
        "gavel-solver",
        External::These(&[
            "clarabel",
            "crossbeam",
            "microlp",
            "proptest",
            "rustix",
            "thiserror",
            "tracing",
        ]),
    ),
    (
        "gavel",
        External::These(&[
            "anyhow",
            "blake3",
            "clap",
            "data-encoding",
            "ed25519-dalek",
            "futures-core",
            "hdrhistogram",
            "mimalloc",
            "object_store",
            "quinn",
            "rand",
            "rand_chacha",
            "rcgen",
            "rustix",
            "rustls",
            "serde",
            "serde_json",
            "sqlx",
            "tempfile",
            "tokio",
            "tracing",
            "tracing-subscriber",
        ]),
    ),
    // They look at everything from outside, and ship nothing.
    ("gavel-tests", External::Anything),
    ("gavel-benches", External::Anything),
    ("xtask", External::These(&["anyhow", "cargo_metadata", "clap"])),
];

/// Crates that can do no I/O, read no clock, draw no randomness and start no thread.
const PURE: [&str; 5] = ["protocol", "risk", "matcher", "settlement", "exchange"];

/// The fuzz targets are a workspace of their own, because they take another toolchain.
const OUTSIDE: &str = "fuzz/Cargo.toml";

enum External {
    These(&'static [&'static str]),
    Anything,
}

#[test]
fn crates_depend_only_on_what_lies_left_of_them() {
    let metadata = metadata();
    let wrong: Vec<_> = metadata
        .workspace_packages()
        .into_iter()
        .flat_map(|package| dependencies(package, true).map(move |to| (package.name.as_str(), to)))
        .filter(|(from, to)| !may_depend(from, to))
        .map(|(from, to)| format!("{from} must not depend on {to}"))
        .collect();
    assert_none(&wrong, "The crates form a one-way street; see LEFT in xtask/src/tidy/crates.rs:");
}

#[test]
fn an_edge_to_the_right_or_sideways_is_found() {
    assert!(may_depend("gavel-gateway", "gavel-protocol"));
    assert!(may_depend("gavel", "gavel-client"));
    assert!(!may_depend("gavel-risk", "gavel-matcher"));
    assert!(!may_depend("gavel-protocol", "gavel-exchange"));
    assert!(!may_depend("gavel-client", "gavel-sequencer"));
    assert!(!may_depend("xtask", "gavel-exchange"));
}

#[test]
fn every_crate_is_in_both_tables() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let members: BTreeSet<_> = packages.iter().map(|package| package.name.as_str()).collect();
    let left: BTreeSet<_> = LEFT.iter().map(|(name, _)| *name).collect();
    let external: BTreeSet<_> = EXTERNAL.iter().map(|(name, _)| *name).collect();
    assert_eq!(members, left, "list every crate in LEFT, and nothing else");
    assert_eq!(members, external, "list every crate in EXTERNAL, and nothing else");
}

#[test]
fn crates_use_only_what_they_are_allowed_from_outside() {
    let metadata = metadata();
    let wrong: Vec<_> = metadata
        .workspace_packages()
        .into_iter()
        .flat_map(|package| dependencies(package, false).map(move |to| (package.name.as_str(), to)))
        .filter(|(from, to)| !may_use(from, to))
        .map(|(from, to)| format!("{from} uses {to}"))
        .collect();
    assert_none(
        &wrong,
        "A new dependency is a decision: say in the commit what it replaces and who keeps it, then \
         add it to EXTERNAL in xtask/src/tidy/crates.rs:",
    );
}

#[test]
fn a_dependency_nobody_decided_on_is_found() {
    assert!(may_use("gavel-sequencer", "sqlx"));
    assert!(!may_use("gavel-exchange", "sqlx"));
    assert!(!may_use("gavel-protocol", "tokio"));
}

#[test]
fn manifests_take_versions_and_lints_from_the_workspace() {
    let wrong: Vec<_> = files(&["Cargo.toml"])
        .iter()
        .filter(|file| file.path != "Cargo.toml" && file.path != OUTSIDE)
        .flat_map(|file| {
            faults_of_manifest(&file.text)
                .into_iter()
                .map(|fault| format!("{}: {fault}", file.path))
        })
        .collect();
    assert_none(
        &wrong,
        "Write `name.workspace = true` (or `{ workspace = true, … }`) for every dependency, and \
         `workspace = true` under `[lints]`:",
    );
}

#[test]
fn a_version_in_a_manifest_is_found() {
    let good = "[lints]\nworkspace = true\n[dependencies]\n# why\na.workspace = true\n\
                b = { workspace = true, features = [\"c\"] }\n";
    assert!(faults_of_manifest(good).is_empty());
    let versioned = good.replace("a.workspace = true", "a = \"1.0\"");
    assert_eq!(faults_of_manifest(&versioned), ["a = \"1.0\""]);
    let table = format!("{good}[dependencies.d]\nversion = \"1\"\n");
    assert_eq!(faults_of_manifest(&table), ["[dependencies.d]", "version = \"1\""]);
    let unlinted = good.replace("[lints]\nworkspace = true", "");
    assert_eq!(faults_of_manifest(&unlinted), ["[lints] is not the workspace's"]);
}

#[test]
fn pure_crates_say_that_they_are() {
    let mut wrong = Vec::new();
    for name in PURE {
        for file in files(&[".rs"]).iter().filter(|f| f.path.starts_with(&format!("{name}/src/"))) {
            wrong.extend(faults_of_pure_file(&file.path, &file.text));
        }
    }
    let workspace = std::fs::read_to_string(crate::root().unwrap().join("Cargo.toml")).unwrap();
    let denied = ["unsafe_code = \"deny\"", "unsafe_code = \"forbid\""];
    if !denied.iter().any(|line| workspace.contains(line)) {
        wrong.push(String::from("Cargo.toml: [workspace.lints.rust] does not deny unsafe_code"));
    }
    assert_none(&wrong, "A pure crate does no I/O, has no unsafe code and no floats:");
}

#[test]
fn a_pure_crate_that_is_not_is_found() {
    let good = "//! Doc.\n#![no_std]\n#![deny(clippy::float_arithmetic)]\n";
    assert!(faults_of_pure_file("risk/src/lib.rs", good).is_empty());
    assert_eq!(faults_of_pure_file("risk/src/lib.rs", "//! Doc.\n").len(), 2);
    let allowed = "#[expect(unsafe_code, reason = \"fast\")]";
    assert_eq!(faults_of_pure_file("risk/src/other.rs", allowed).len(), 1);
}

fn metadata() -> Metadata {
    let manifest = crate::root().unwrap().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap()
}

/// Returns the names of a crate's dependencies (for tests and builds too): those of the house, or
/// those from outside.
fn dependencies(package: &Package, house: bool) -> impl Iterator<Item = &str> {
    let dependencies = package.dependencies.iter().filter(move |d| d.path.is_some() == house);
    dependencies.map(|dependency| dependency.name.as_str())
}

fn may_depend(from: &str, to: &str) -> bool {
    let left = LEFT.iter().find(|(name, _)| *name == from).map_or(&[][..], |(_, left)| *left);
    left.iter().any(|name| *name == to || may_depend(name, to))
}

fn may_use(from: &str, to: &str) -> bool {
    EXTERNAL.iter().filter(|(name, _)| *name == from).any(|(_, external)| match external {
        External::These(names) => names.contains(&to),
        External::Anything => true,
    })
}

/// Returns the lines of a member's manifest that break the rule.
fn faults_of_manifest(text: &str) -> Vec<String> {
    let (mut faults, mut section, mut linted) = (Vec::new(), "", false);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
            // A table of its own, such as `[dependencies.name]`, hides what the rule looks for.
            if line.contains("dependencies.") {
                faults.push(line.to_owned());
            }
        } else if section.contains("dependencies") && !line.is_empty() && !line.starts_with('#') {
            if !line.contains("workspace = true") || line.contains("version") {
                faults.push(line.to_owned());
            }
        } else if section == "[lints]" && line == "workspace = true" {
            linted = true;
        }
    }
    if !linted {
        faults.push(String::from("[lints] is not the workspace's"));
    }
    faults
}

fn faults_of_pure_file(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if path.ends_with("/src/lib.rs") {
        for needed in ["#![no_std]", "#![deny(clippy::float_arithmetic)]"] {
            if !text.lines().any(|line| line == needed) {
                faults.push(format!("{path} lacks {needed}"));
            }
        }
    }
    if ["allow(unsafe_code", "expect(unsafe_code"].iter().any(|attribute| text.contains(attribute))
    {
        faults.push(format!("{path} lets unsafe code in"));
    }
    faults
}
