//! Every scenario file comes out as it says, and leaves an exchange that survives its snapshot.

use std::fs;
use std::path::{Path, PathBuf};

use gavel_simulator::scenario;

fn scenarios() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = fs::read_dir(folder).expect("the folder of scenarios is in the repository");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("the folder can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "scenario"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_scenario_comes_out_as_it_says() {
    let rewrite = std::env::var_os("GAVEL_GOLDEN").is_some_and(|value| value == "write");
    let mut wrong = Vec::new();
    let files = scenarios();
    assert!(files.len() >= 15, "the scenarios are gone: {files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a scenario is a text file");
        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
        let scenario = scenario::run(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        if rewrite {
            fs::write(&file, scenario.golden()).expect("a scenario can be rewritten");
        } else if !scenario.is_as_expected() || scenario.expected.is_none() {
            wrong.push(format!("{name} came out as:\n{}", scenario.output));
        }
    }
    assert!(wrong.is_empty(), "{}\nIf right: cargo xtask golden", wrong.join("\n"));
}

#[test]
fn a_scenario_comes_out_the_same_through_a_snapshot_after_each_line() {
    for file in scenarios() {
        let text = fs::read_to_string(&file).expect("a scenario is a text file");
        let plain = scenario::run(&text).expect("it runs");
        let commands = plain.commands.lines().filter(|line| !line.starts_with('#'));
        let often: String = commands.map(|line| format!("{line}\nsnapshot\n")).collect();
        let output = scenario::run(&often).expect("it runs with snapshots").output;
        assert_eq!(output, plain.output, "{}", file.display());
    }
}
