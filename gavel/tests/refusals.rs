//! What is missing or damaged in a data directory is refused with what to do, before anything is served.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use std::fs;

use process::{Served, gavel};

/// Runs what must fail, and returns what it says.
fn fails(args: &[&str]) -> String {
    let output = gavel(args);
    assert!(!output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Returns a data directory in which an exchange has run.
fn stopped(more: &[&str]) -> Served {
    let mut served = Served::start_with(more);
    served.stop();
    served
}

#[test]
fn an_audit_log_whose_key_or_secret_is_gone_is_not_gone_on_with() {
    let served = stopped(&["--audit"]);
    let data = served.data();
    for lost in ["audit.key", "leaves.secret"] {
        let path = served.path().join("audit").join(lost);
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for args in [
            vec!["up", "--data", &data, "--audit"],
            vec!["audit", "build", "--data", &data],
            vec!["audit", "build", "--data", &data, "--rebuild"],
        ] {
            let said = fails(&args);
            assert!(said.contains(lost) && said.contains("backup"), "{args:?}: {said}");
            assert!(!path.exists(), "{args:?} has made another one");
        }
        fs::write(&path, kept).unwrap();
    }
    assert!(gavel(&["audit", "build", "--data", &data]).status.success());
}

#[test]
fn a_start_without_the_audit_log_keeps_what_the_log_needs() {
    let served = stopped(&["--audit"]);
    let data = served.data();
    let mut again =
        Served::start_again_with(served, &["--snapshot-every", "10", "--keep-snapshots", "1"]);
    let sim = gavel(&["sim", "--data", &data, "--seconds", "2"]);
    assert!(sim.status.success(), "{sim:?}");
    again.stop();
    let built = gavel(&["audit", "build", "--data", &data]);
    assert!(built.status.success(), "{built:?}");
}

#[test]
fn a_journal_is_not_served_from_a_directory_without_its_operator() {
    let served = stopped(&[]);
    let key = served.path().join("keys").join("operator.key");
    fs::remove_file(&key).unwrap();
    let said = fails(&["up", "--data", &served.data()]);
    assert!(said.contains("operator"), "{said}");
    assert!(!key.exists(), "nobody has made another one");
}

#[test]
fn a_note_that_cannot_be_read_is_not_taken_for_none() {
    let served = stopped(&[]);
    let (data, note) = (served.data(), served.path().join("alive"));
    for damaged in ["", "1 2", "\u{0}\u{0}\u{0}"] {
        fs::write(&note, damaged).unwrap();
        for command in ["up", "verify"] {
            let output = gavel(&[command, "--data", &data]);
            let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            assert!(!output.status.success() && said.contains("alive"), "{command}: {said}");
        }
    }
    fs::remove_file(&note).unwrap();
    assert!(gavel(&["verify", "--data", &data]).status.success());
}

#[test]
fn what_only_reads_makes_no_journal() {
    let served = stopped(&[]);
    let (data, journal) = (served.data(), served.path().join("journal"));
    fs::remove_dir_all(&journal).unwrap();
    for command in ["replay", "verify", "project", "backup"] {
        let projection = format!("sqlite://{data}/projection.sqlite");
        let to = format!("{data}-copy");
        let more = match command {
            "project" => vec!["--projection", &projection],
            "backup" => vec!["--to", &to],
            _ => Vec::new(),
        };
        let said = fails(&[[command, "--data", &data].as_slice(), &more].concat());
        assert!(said.contains("no journal"), "{command}: {said}");
        assert!(!journal.exists(), "{command} has made one");
    }
}

#[test]
fn a_projection_that_never_could_be_kept_up_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let nowhere = format!("sqlite://{data}/nowhere/projection.sqlite");
    let said = fails(&["up", "--data", data, "--projection", &nowhere]);
    assert!(said.contains("projection"), "{said}");
}

#[test]
fn a_projection_in_a_file_is_its_owners() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("projection.sqlite");
    let place = format!("sqlite://{}", path.display());
    let _served = stopped(&["--projection", &place]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
