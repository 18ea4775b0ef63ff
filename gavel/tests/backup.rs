//! Snapshots, backups and what is kept, as people use them.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use process::{Served, gavel, json};

/// Lets synthetic agents trade until `lines` lines were said, one a second, does something, and ends
/// them.
fn under_load(data: &str, lines: usize, then: impl FnOnce()) {
    let mut load = process::spawn(&["sim", "--data", data, "--seconds", "600"]);
    let mut said = BufReader::new(load.stdout.take().unwrap()).lines();
    for _ in 0..lines {
        said.next().unwrap().unwrap();
    }
    then();
    load.kill().unwrap();
    load.wait().unwrap();
}

fn verify(data: &str, more: &[&str]) -> serde_json::Value {
    let args = [["verify", "--data", data, "--json"].as_slice(), more].concat();
    let verified = gavel(&args);
    assert!(verified.status.success(), "{verified:?}");
    let verified = json(&verified);
    assert_eq!(verified["trial_balance"], 0, "{verified}");
    verified
}

fn snapshots(data: &str) -> Vec<u64> {
    let listed = json(&gavel(&["snapshot", "--data", data, "--json"]));
    let listed = listed["snapshots"].as_array().unwrap().clone();
    listed.iter().map(|snapshot| snapshot["seq"].as_u64().unwrap()).collect()
}

#[test]
fn a_backup_of_an_exchange_under_load_is_restored_and_goes_on() {
    let mut served = Served::start_with(&["--snapshot-every", "50", "--keep-snapshots", "2"]);
    let (data, folder) = (served.data(), tempfile::tempdir().unwrap());
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (copy, again) = (place("copy"), place("again"));
    let aside = "ab".repeat(32) + "\n";
    fs::write(served.path().join("quarantine"), &aside).unwrap();
    let mut backup = serde_json::Value::Null;
    under_load(&data, 4, || {
        let made = gavel(&["backup", "--data", &data, "--to", &copy, "--json"]);
        assert!(made.status.success(), "{made:?}");
        backup = json(&made);
    });
    served.stop();
    let seq = backup["seq"].as_u64().unwrap();
    assert!(seq > 50, "{backup}");
    assert_eq!(backup["trial_balance"], 0);
    let original = verify(&data, &[]);
    assert!(original["from_seq"].as_u64().unwrap() > 0, "old records are gone: {original}");
    assert!(original["snapshots"].as_u64().unwrap() >= 2, "{original}");

    let restored = gavel(&["restore", "--from", &copy, "--data", &again, "--json"]);
    assert!(restored.status.success(), "{restored:?}");
    let restored = json(&restored);
    for key in ["seq", "chain", "state_hash"] {
        assert_eq!(restored[key], backup[key], "{key}");
    }
    assert!(!Path::new(&again).join("backup.json").exists());
    let kept_aside = fs::read_to_string(Path::new(&again).join("quarantine")).unwrap();
    assert_eq!(kept_aside, aside, "what broke the exchange is refused there, too");
    assert_eq!(verify(&again, &[])["seq"].as_u64(), Some(seq));

    // It serves, and trading goes on with the keys that were in it.
    let mut served = Served::start_in(folder, "again", &[]);
    under_load(&served.data(), 2, || ());
    served.stop();
    assert!(verify(&again, &[])["seq"].as_u64().unwrap() > seq);
}

#[test]
fn a_backup_goes_nowhere_but_into_an_empty_directory() {
    let mut served = Served::start();
    let data = served.data();
    served.stop();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (copy, full) = (place("copy"), place("full"));
    fs::create_dir(&full).unwrap();
    fs::write(Path::new(&full).join("something"), "else").unwrap();
    for args in [
        ["backup", "--data", &data, "--to", &full],
        ["restore", "--from", &data, "--data", &full],
        ["backup", "--data", &data, "--to", &data],
    ] {
        assert_eq!(gavel(&args).status.code(), Some(1), "{args:?}");
    }
    assert_eq!(fs::read_dir(&full).unwrap().count(), 1);
    assert!(gavel(&["backup", "--data", &data, "--to", &copy]).status.success());
    let refused = gavel(&["restore", "--from", &copy, "--data", &full]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("is not empty"));

    // What is not whole is not restored.
    fs::remove_file(Path::new(&copy).join("backup.json")).unwrap();
    let refused = gavel(&["restore", "--from", &copy, "--data", &place("new")]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("not finished"));
}

#[test]
fn a_damaged_snapshot_is_named_and_not_served() {
    let mut served = Served::start();
    let data = served.data();
    assert!(gavel(&["list", "ocr", "--data", &data]).status.success());
    served.stop();
    served.start_again();
    served.stop();
    let found = snapshots(&data);
    assert_eq!(found.len(), 2, "one for each stop: {found:?}");
    let whole = verify(&data, &[]);
    assert_eq!((whole["from_seq"].as_u64(), whole["snapshots"].as_u64()), (Some(0), Some(2)));
    let first = found[0].to_string();
    let later = verify(&data, &["--from-snapshot", &first]);
    assert_eq!(later["state_hash"], whole["state_hash"]);
    assert_eq!(later["from_seq"].as_u64(), Some(found[0]));

    let newest = served.path().join(format!("snapshots/{:020}.snapshot", found[1]));
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();
    for command in ["verify", "snapshot"] {
        let refused = gavel(&[command, "--data", &data, "--json"]);
        assert_eq!(refused.status.code(), Some(4), "{refused:?}");
        let said = String::from_utf8(refused.stdout).unwrap();
        assert!(said.contains(&found[1].to_string()), "{said}");
    }
    served.start_again();
    served.stop();
    let found = snapshots(&data);
    assert_eq!(found.len(), 2, "it was replaced: {found:?}");
    verify(&data, &[]);
}

#[test]
fn damage_before_the_newest_snapshot_is_found_by_verifying() {
    let mut served = Served::start();
    let data = served.data();
    assert!(gavel(&["list", "ocr", "--data", &data]).status.success());
    served.stop();
    let journal = served.path().join("journal/journal.sqlite");
    let mut bytes = fs::read(&journal).unwrap();
    let place = bytes.windows(4).position(|window| window == b"ocr\0").unwrap();
    bytes[place] = b'x';
    fs::write(&journal, bytes).unwrap();
    let refused = gavel(&["verify", "--data", &data, "--json"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    let newest = snapshots(&data)[0].to_string();
    verify(&data, &["--from-snapshot", &newest]);
}

#[test]
fn a_snapshot_is_made_of_an_exchange_that_was_killed() {
    let mut served = Served::start();
    let data = served.data();
    assert!(gavel(&["list", "ocr", "--data", &data]).status.success());
    served.kill();
    assert!(snapshots(&data).is_empty());
    let made = gavel(&["snapshot", "--data", &data, "--make", "--json"]);
    assert!(made.status.success(), "{made:?}");
    let (verified, found) = (verify(&data, &[]), snapshots(&data));
    assert_eq!(found, [verified["seq"].as_u64().unwrap()]);
    served.start_again();
    served.stop();
}

#[test]
fn what_is_not_kept_any_more_is_not_explained() {
    let args = ["--snapshot-every", "1", "--keep-snapshots", "1"];
    let mut served = Served::start_with(&args);
    let data = served.data();
    assert!(gavel(&["enrol", "acme", "--data", &data]).status.success());
    served.stop();
    let rfq = "rfq_0000000000000001";
    let explained = gavel(&["explain", "rfq", rfq, "--as", "acme", "--data", &data]);
    assert_eq!(explained.status.code(), Some(1));
    let said = String::from_utf8(explained.stderr).unwrap();
    assert!(said.contains("--keep-history"), "{said}");
    let replayed = json(&gavel(&["replay", "--data", &data, "--json"]));
    assert_eq!(replayed["from_seq"], replayed["seq"], "{replayed}");
}

#[test]
fn each_of_these_commands_has_help_with_an_example() {
    for command in ["backup", "restore", "snapshot", "verify"] {
        let help = String::from_utf8(gavel(&[command, "--help"]).stdout).unwrap();
        assert!(help.contains(&format!("  gavel {command}")), "{command}: {help}");
    }
}
