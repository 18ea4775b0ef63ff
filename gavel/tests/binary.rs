//! The binary as people use it: a demo, a round by hand, a crash under load.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use process::{Served, gavel, json};

#[test]
fn the_demo_trades_and_loses_nothing() {
    let output = gavel(&["demo", "--seconds", "4", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let summary = json(&output);
    for key in ["rfqs", "quotes", "awards", "contracts_settled", "acknowledged", "seq"] {
        assert!(summary[key].as_u64().unwrap() > 0, "{key}: {summary}");
    }
    assert_eq!(summary["trial_balance"], 0);
    assert_eq!(summary["lost_acknowledged"], 0);
    assert_eq!(summary["state_hash"], summary["replayed_state_hash"]);
    for kind in ["quote_ack", "window0_award"] {
        for key in ["p50", "p99", "p999", "max"] {
            assert!(summary["latency_ns"][kind][key].as_u64().unwrap() > 0, "{kind} {key}");
        }
    }
}

#[test]
fn a_job_spec_goes_in_and_the_deliverable_comes_out() {
    let mut served = Served::start();
    let data = &served.data();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(file("job.json"), r#"{"invoices": 50}"#).unwrap();
    std::fs::write(file("answer.txt"), "the text of 50 invoices\n").unwrap();
    for args in [["list", "ocr"].as_slice(), &["enrol", "acme", "--deposit", "100.00"]] {
        let output = gavel(&[args, &["--data", data]].concat());
        assert!(output.status.success(), "{output:?}");
    }
    assert!(gavel(&["enrol", "fast", "--data", data]).status.success());

    let (job, answer, result) = (file("job.json"), file("answer.txt"), file("result.txt"));
    let quote = ["quote", "--as", "fast", "--capability", "ocr", "--price", "30.00"];
    let quote = [quote.as_slice(), &["--deliver", &answer, "--data", data]].concat();
    let mut provider = process::spawn(&quote);
    let mut lines = BufReader::new(provider.stdout.take().unwrap()).lines();
    let ready = lines.next().unwrap().unwrap();
    assert!(ready.contains("quotes 30.00"), "{ready}");

    let rfq = ["rfq", "--as", "acme", "--capability", "ocr", "--reserve", "40.00", "--json"];
    let rfq = [rfq.as_slice(), &["--spec", &job, "--out", &result, "--data", data]].concat();
    let output = gavel(&rfq);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(json(&output)["total_micros"], "30000000");
    assert_eq!(std::fs::read_to_string(&result).unwrap(), "the text of 50 invoices\n");
    let said: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert!(said.iter().any(|line| line.contains("paid 29.70, fee 0.30")), "{said:?}");
    assert!(provider.wait().unwrap().success());

    // Nobody quotes any more: the answer is no, and the exit code says so.
    let rfq = [rfq.as_slice(), &["--window-ms", "50"]].concat();
    assert_eq!(gavel(&rfq).status.code(), Some(3));
    served.stop();
    let replayed = gavel(&["replay", "--data", data, "--events"]);
    let replayed = String::from_utf8(replayed.stdout).unwrap();
    assert!(replayed.contains("ContractSettled"), "{replayed}");
}

#[test]
fn a_kill_under_load_loses_nothing_that_was_acknowledged() {
    let mut served = Served::start();
    let data = served.data();
    let acks = served.path().join("acks.jsonl").to_str().unwrap().to_owned();
    let load = ["sim", "--data", &data, "--acks", &acks, "--seconds", "12", "--json"];
    let mut load = process::spawn(&load);
    let mut lines = BufReader::new(load.stdout.take().unwrap()).lines();
    // A line a second: the load is under way.
    for _ in 0..3 {
        lines.next().unwrap().unwrap();
    }
    served.kill();

    let verified = gavel(&["verify", "--data", &data, "--acks", &acks, "--json"]);
    assert!(verified.status.success(), "{verified:?}");
    let verified = json(&verified);
    assert!(verified["acknowledged"].as_u64().unwrap() > 100, "{verified}");
    assert_eq!(verified["lost_acknowledged"], 0);
    assert_eq!(verified["trial_balance"], 0);
    assert_eq!(verified["replay_hash_equal"], true);

    // The same load goes on by itself once the exchange is back.
    served.start_again();
    let said: Vec<String> = lines.map(|line| line.unwrap()).collect();
    assert!(load.wait().unwrap().success(), "{said:?}");
    let report: serde_json::Value = serde_json::from_str(said.last().unwrap()).unwrap();
    assert!(report["reconnects"].as_u64().unwrap() > 0, "{report}");
    assert_eq!(report["unanswered"], 0, "{report}");
    served.stop();
    let again = gavel(&["verify", "--data", &data, "--acks", &acks, "--json"]);
    let again = json(&again);
    assert_eq!(again["lost_acknowledged"], 0);
    let (before, after) = (verified["seq"].as_u64(), again["seq"].as_u64());
    assert!(after > before, "trading went on after the restart: {again}");
}

#[test]
fn a_second_exchange_on_the_same_data_is_refused_clearly() {
    let mut served = Served::start();
    let second = gavel(&["up", "--data", &served.data()]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("in use by another exchange"), "{said}");
    served.stop();
}

#[test]
fn a_damaged_journal_is_refused_with_its_place() {
    let mut served = Served::start();
    let data = served.data();
    assert!(gavel(&["list", "ocr", "--data", &data]).status.success());
    served.stop();
    // One letter of the capability's name, in the record that lists it.
    let journal = served.path().join("journal/journal.sqlite");
    let mut bytes = std::fs::read(&journal).unwrap();
    let place = bytes.windows(4).position(|window| window == b"ocr\0").unwrap();
    bytes[place] = b'x';
    std::fs::write(&journal, bytes).unwrap();
    // A start from the snapshot of the stop does not read the record; one without it does.
    std::fs::remove_dir_all(served.path().join("snapshots")).unwrap();
    let refused = gavel(&["up", "--data", &data]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("a wrong checksum in the record of commands"), "{said}");
    let verified = gavel(&["verify", "--data", &data, "--json"]);
    assert_eq!(verified.status.code(), Some(4), "{verified:?}");
}

#[test]
fn health_and_metrics_are_served_over_http() {
    let mut served = Served::start();
    for (path, expected) in [("/healthz", "\"ok\""), ("/metrics", "gavel_rfqs_opened_total 0")] {
        let mut stream = TcpStream::connect(served.http()).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        assert!(page.contains(expected), "{page}");
    }
    served.stop();
}

#[test]
fn a_scenario_file_prints_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.scenario").to_str().unwrap().to_owned();
    std::fs::write(&file, "deposit acme 5.00\nrfq acme #1 reserve=4.00\n").unwrap();
    let output = gavel(&["script", &file]);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "refunded acme 4.00\npassed #1\n");
    std::fs::write(&file, "deposit acme 5.00\nshow acme\n---\nbalance acme wrong\n").unwrap();
    assert_eq!(gavel(&["script", &file]).status.code(), Some(4));
    std::fs::write(&file, "frobnicate acme\n").unwrap();
    let output = gavel(&["script", &file]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("line 1"));
}

#[test]
fn an_independent_quic_stack_trades_by_the_protocol_document() {
    // `cargo xtask test` makes an environment that has aioquic and blake3, and says where it is.
    let python = std::env::var("GAVEL_PYTHON").expect(
        "GAVEL_PYTHON names a python with aioquic and blake3; run this through `cargo xtask test`",
    );
    let mut served = Served::start();
    let data = &served.data();
    for args in [["list", "ocr"].as_slice(), &["enrol", "acme", "--deposit", "100.00"]] {
        assert!(gavel(&[args, &["--data", data]].concat()).status.success());
    }
    assert!(gavel(&["enrol", "fast", "--data", data]).status.success());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/independent_client.py");
    let output = std::process::Command::new(python).args([script, data]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("awarded contract_"), "{said}");
    assert!(said.contains("awarded bundles of rfq_"), "{said}");
    served.stop();
}
