//! `gavel up` with its journal on a PostgreSQL server.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

#[path = "../../tests/src/postgres.rs"]
#[allow(dead_code, reason = "this file uses a part of it")]
mod postgres;
mod process;

use std::io::{BufRead as _, BufReader};

use postgres::Database;
use process::{Served, gavel, json};

fn succeeds(args: &[&str]) -> String {
    let output = gavel(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_exchange_serves_from_a_server_and_is_the_same_after_a_crash() {
    let database = Database::shared();
    let url = database.url();
    let journal = ["--journal", url.as_str()];
    let mut served = Served::start_with(&journal);
    let data = served.data();
    succeeds(&["list", "ocr", "--data", &data]);
    served.kill();
    served.start_again();
    succeeds(&["enrol", "acme", "--deposit", "100.00", "--data", &data]);

    // It can be looked at while it runs.
    let verify = [["verify", "--data", &data, "--json"].as_slice(), &journal].concat();
    let verified = json(&gavel(&verify));
    assert_eq!(verified["verified"], true, "{verified}");
    let replay = [["replay", "--data", &data, "--events"].as_slice(), &journal].concat();
    let replayed = succeeds(&replay);
    for event in ["CapabilityListed", "Resumed", "Deposited"] {
        assert!(replayed.contains(event), "{event}: {replayed}");
    }

    let (copy, other) = (served.copy(), tempfile::tempdir().unwrap());
    let second = copy.path().join("data");
    let second = second.to_str().unwrap();
    let refused = gavel(&[["up", "--data", second].as_slice(), &journal].concat());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("in use by another exchange"), "{said}");
    // A directory that the exchange never ran in does not even ask for it.
    let other = other.path().to_str().unwrap();
    let refused = fails(&[["up", "--data", other].as_slice(), &journal].concat());
    assert!(refused.contains("no key of its operator"), "{refused}");
    served.stop();

    database.query("UPDATE gavel_journal.record SET commands = checksum WHERE first_seq = 1");
    let verified = gavel(&verify);
    assert_eq!(verified.status.code(), Some(4), "{verified:?}");
    assert_eq!(json(&verified)["verified"], false);
}

#[test]
fn an_exchange_whose_journal_was_taken_over_ends() {
    let database = Database::shared();
    let url = database.url();
    let mut first = Served::start_with(&["--journal", &url]);
    // Its session is lost, and somebody else is faster.
    database.end_sessions();
    let mut second = Served::start_in(first.copy(), "data", &["--journal", &url]);
    assert!(!gavel(&["list", "ocr", "--data", &first.data()]).status.success());
    assert_eq!(first.ended(), Some(1));
    second.stop();
}

fn fails(args: &[&str]) -> String {
    let output = gavel(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

fn joined<'a>(first: &[&'a str], rest: &[&'a str]) -> Vec<&'a str> {
    [first, rest].concat()
}

#[test]
fn a_journal_on_a_server_is_bounded_by_snapshots_and_verified_from_them() {
    let database = Database::shared();
    let url = database.url();
    let journal = ["--journal", url.as_str()];
    let few = ["--snapshot-every", "1", "--keep-snapshots", "2", "--ack", "remote-write"];
    let mut served = Served::start_with(&[journal.as_slice(), &few].concat());
    let data = served.data();
    let rest = ["--data", &data, "--json", "--journal", &url];
    for (agent, capability) in [("acme", "ocr"), ("fast", "asr")] {
        succeeds(&["enrol", agent, "--data", &data]);
        succeeds(&["list", capability, "--data", &data]);
        // Beside the running exchange.
        assert_eq!(json(&gavel(&joined(&["verify"], &rest)))["verified"], true);
        served.stop();
        served.start_again();
    }
    served.stop();
    let first = database.query("SELECT min(first_seq) FROM gavel_journal.record");
    let from = first.parse::<u64>().unwrap() - 1;
    let verified = json(&gavel(&joined(&["verify"], &rest)));
    assert!(from > 0 && verified["from_seq"] == from, "{from}: {verified}");
    assert_eq!(verified["snapshots"], 2, "{verified}");

    // What was killed has no snapshot of its end.
    served.start_again();
    let said = fails(&joined(&["snapshot", "--make"], &rest));
    assert!(said.contains("in use by another exchange"), "{said}");
    served.kill();
    let made = succeeds(&joined(&["snapshot", "--make"], &rest));
    let made: serde_json::Value = serde_json::from_str(made.trim()).unwrap();
    let newest = made["snapshots"].as_array().unwrap().last().unwrap();
    assert_eq!(newest["good"], true, "{made}");
    let newest = newest["seq"].to_string();
    let verified = json(&gavel(&joined(&["verify", "--from-snapshot", &newest], &rest)));
    assert_eq!(verified["from_seq"].to_string(), newest, "{verified}");
    assert_eq!(verified["seq"], verified["from_seq"], "{verified}");

    let copy = served.path().join("copy");
    let said = fails(&["backup", "--data", &data, "--to", copy.to_str().unwrap()]);
    assert!(said.contains("pg_dump --schema gavel_journal") && !copy.exists(), "{said}");
    served.start_again();
    served.stop();
}

#[test]
fn a_snapshot_is_not_made_of_an_empty_database() {
    let mut served = Served::start();
    let data = served.data();
    served.stop();
    let database = Database::shared();
    let url = database.url();
    let said = fails(&["snapshot", "--make", "--data", &data, "--journal", &url]);
    assert!(said.contains("no exchange has kept its journal"), "{said}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'gavel_journal'";
    assert_eq!(database.query(schemas), "0");
}

#[test]
fn an_embedded_journal_refuses_to_acknowledge_in_another_sense() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    for ack in ["local", "remote-write", "remote-apply"] {
        let said = fails(&["up", "--data", data, "--ack", ack]);
        assert!(said.contains(&format!("`{ack}` is for a journal on PostgreSQL")), "{said}");
    }
    let off = gavel(&["up", "--data", data, "--ack", "off"]);
    assert_eq!(off.status.code(), Some(2), "{off:?}");
}

#[test]
fn a_password_is_not_repeated_whatever_is_wrong() {
    let data = tempfile::tempdir().unwrap();
    let data = data.path().to_str().unwrap();
    for url in [
        "postgres://me:secret@127.0.0.1:1/market",
        "postgres://me:secret@127.0.0.1:port/market",
        "postgresql://me@127.0.0.1:1/market?password=secret",
        "mysql://me:secret@127.0.0.1/market",
    ] {
        let refused = gavel(&["up", "--data", data, "--journal", url, "--json", "--verbose"]);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        for said in [refused.stdout, refused.stderr] {
            let said = String::from_utf8(said).unwrap();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}

#[test]
fn a_projection_goes_on_where_it_was_when_its_database_comes_back() {
    let database = postgres::Cluster::start().database();
    let url = database.url();
    let mut served = Served::start_with(&["--projection", &url]);
    let data = served.data();
    let load = ["sim", "--data", &data, "--seconds", "6", "--json"];
    let mut load = process::spawn(&load);
    let mut lines = BufReader::new(load.stdout.take().unwrap()).lines();
    // A line a second: the load is under way.
    for _ in 0..2 {
        lines.next().unwrap().unwrap();
    }
    database.cluster.crash_and_restart();
    lines.for_each(|line| drop(line.unwrap()));
    assert!(load.wait().unwrap().success());
    served.stop();

    let tables = ["rfqs", "quotes", "contracts", "contract_steps", "losses", "postings", "events"];
    let all = || {
        tables.map(|table| database.query(&format!("SELECT * FROM gavel.{table} ORDER BY 1, 2")))
    };
    let project = ["project", "--data", &data, "--projection", &url, "--json"];
    let summary: serde_json::Value = serde_json::from_str(succeeds(&project).trim()).unwrap();
    let followed = all();
    assert!(summary["events"].as_u64().unwrap() > 1_000, "{summary}");
    let rebuilt = succeeds(&[project.as_slice(), &["--rebuild"]].concat());
    assert_eq!(serde_json::from_str::<serde_json::Value>(rebuilt.trim()).unwrap(), summary);
    assert!(all() == followed, "what was followed is what is made anew");
}

#[test]
fn an_audit_log_is_kept_of_a_journal_on_a_server() {
    let database = Database::shared();
    let url = database.url();
    let journal = ["--journal", url.as_str()];
    let mut served = Served::start_with(&[journal.as_slice(), &["--audit"]].concat());
    let data = served.data();
    succeeds(&["list", "ocr", "--data", &data]);
    served.kill();
    served.start_again();
    served.stop();
    let head = succeeds(&["audit", "head", "--data", &data, "--json"]);
    let head: serde_json::Value = serde_json::from_str(&head).unwrap();
    let build = ["audit", "build", "--rebuild", "--data", &data, "--json"];
    let built = succeeds(&[build.as_slice(), &journal].concat());
    let built: serde_json::Value = serde_json::from_str(&built).unwrap();
    assert_eq!(built["head"], head);
    let listed = succeeds(&["audit", "list", "--data", &data]);
    for kind in ["Founded", "CapabilityListed", "Resumed"] {
        assert!(listed.contains(kind), "{kind}: {listed}");
    }
}
