//! The audit log as people use it: trade, publish heads, list, prove, check.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Output;

use process::market::Market;
use process::{Served, gavel, json};
use serde_json::Value;

/// Returns a page of the exchange's HTTP.
fn page(served: &Served, path: &str) -> String {
    let mut stream = TcpStream::connect(served.http()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// Waits until a head is published, and returns it.
fn published_head(served: &Served) -> String {
    loop {
        let page = page(served, "/audit/head");
        if page.starts_with("HTTP/1.1 200") {
            return page.split_once("\r\n\r\n").unwrap().1.to_owned();
        }
        assert!(page.contains("no head has been signed yet"), "{page}");
    }
}

/// Lets one buyer and one provider deal, and returns the RFQ.
fn deal(market: &Market) -> String {
    let (job, result, answer) =
        (market.file("job.json"), market.file("result.txt"), market.file("answer.txt"));
    let fast = market.provider("fast", &["--price", "30.00", "--deliver", &answer]);
    let asked = ["rfq", "--as", "acme", "--capability", "ocr", "--reserve", "40.00", "--json"];
    let how = ["--spec", &job, "--out", &result, "--window-ms", "600000"];
    let invited = ["--invite", "fast", "--close-early"];
    let bought = market.gavel(&[asked.as_slice(), &how, &invited].concat());
    assert!(bought.status.success(), "{bought:?}");
    assert!(fast.left().0);
    json(&bought)["rfq"].as_str().unwrap().to_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8([output.stdout.clone(), output.stderr.clone()].concat()).unwrap()
}

#[test]
fn what_happened_is_proven_to_somebody_without_the_data_directory() {
    let mut market = Market::start_with(&["--audit"]);
    let first_head = published_head(&market.served);
    fs::write(market.file("head.json"), &first_head).unwrap();
    let rfq = deal(&market);
    market.served.stop();

    let listed: Value =
        serde_json::from_str(&market.run(&["audit", "list", "--rfq", &rfq, "--json"])).unwrap();
    let events = listed["events"].as_array().unwrap().clone();
    let kinds: Vec<&str> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    for kind in ["RfqOpened", "QuotePlaced", "Awarded", "RfqClosed", "Ranked"] {
        assert!(kinds.contains(&kind), "{kind}: {kinds:?}");
    }
    let quote = events.iter().find(|event| event["kind"] == "QuotePlaced").unwrap();
    let event_id = quote["event_id"].as_str().unwrap();
    assert!(market.run(&["audit", "list"]).contains(event_id));

    let first: Value = serde_json::from_str(&first_head).unwrap();
    let (size, key) = (first["tree_size"].to_string(), first["key"].as_str().unwrap());
    let proof = market.run(&["audit", "prove", event_id, "--since", &size]);
    let (file, head) = (market.file("proof.json"), market.file("head.json"));
    fs::write(&file, &proof).unwrap();
    let args = ["audit", "check", &file, "--key", key, "--earlier", &head, "--json"];
    let checked = gavel(&args);
    assert!(checked.status.success(), "{checked:?}");
    let checked = json(&checked);
    assert_eq!(checked["verified"], true);
    assert_eq!(checked["event"]["QuotePlaced"]["rfq"], rfq.as_str());
    assert_eq!(checked["key_checked"], true);
    assert_eq!(checked["earlier_tree_size"], first["tree_size"]);
    let newest: Value = serde_json::from_str(&market.run(&["audit", "head", "--json"])).unwrap();
    assert_eq!(checked["head"], newest);
    assert!(newest["tree_size"].as_u64() > first["tree_size"].as_u64(), "{newest}");

    // Without a key it says whose it is; what is not so is refused, and named.
    let unknown = gavel(&["audit", "check", &file]);
    assert!(unknown.status.success() && said(&unknown).contains(key), "{unknown:?}");
    assert!(said(&unknown).contains("--key"), "{unknown:?}");
    let other_key = "0".repeat(64);
    let refused = gavel(&["audit", "check", &file, "--key", &other_key, "--json"]);
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert_eq!(json(&refused)["verified"], false);
    for (from, to) in [("30000000", "20000000"), ("\"path\"", "\"paths\""), (key, &other_key)] {
        let wrong = proof.replace(from, to);
        assert_ne!(wrong, proof, "{from}");
        fs::write(&file, wrong).unwrap();
        let refused = gavel(&["audit", "check", &file]);
        assert_eq!(refused.status.code(), Some(4), "{from}: {refused:?}");
    }
    let without = market.run(&["audit", "prove", event_id]);
    fs::write(&file, without).unwrap();
    let refused = gavel(&["audit", "check", &file, "--earlier", &head]);
    assert_eq!(refused.status.code(), Some(4));
    assert!(said(&refused).contains(&format!("--since {size}")), "{refused:?}");
    assert_eq!(gavel(&["audit", "check", &market.file("nothing")]).status.code(), Some(1));
}

#[test]
fn a_proof_is_read_from_standard_input_too() {
    let mut market = Market::start_with(&["--audit"]);
    market.served.stop();
    let listed: Value = serde_json::from_str(&market.run(&["audit", "list", "--json"])).unwrap();
    let event_id = listed["events"][0]["event_id"].as_str().unwrap();
    let proof = market.run(&["audit", "prove", event_id]);
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gavel"));
    let piped = std::process::Stdio::piped;
    let command = command.args(["audit", "check", "-"]).stdin(piped()).stdout(piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(proof.as_bytes()).unwrap();
    let checked = child.wait_with_output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    assert!(said(&checked).contains("Founded"), "{checked:?}");
}

#[test]
fn a_kill_and_a_restart_leave_neither_a_gap_nor_a_double() {
    let mut served = Served::start_with(&["--audit", "--snapshot-every", "50"]);
    let data = served.data();
    let mut load = process::spawn(&["sim", "--data", &data, "--seconds", "600"]);
    let mut lines = BufReader::new(load.stdout.take().unwrap()).lines();
    for _ in 0..3 {
        lines.next().unwrap().unwrap();
    }
    let head = published_head(&served);
    served.kill();
    load.kill().unwrap();
    load.wait().unwrap();
    served.start_again();
    served.stop();

    let run = |args: &[&str]| {
        let output = gavel(&[args, &["--data", &data, "--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        json(&output)
    };
    let before = run(&["audit", "head"]);
    let earlier: Value = serde_json::from_str(&head).unwrap();
    assert!(before["tree_size"].as_u64() > earlier["tree_size"].as_u64(), "{before} {earlier}");
    let built = run(&["audit", "build"]);
    assert_eq!(built["head"], before, "a stop has signed everything");
    assert_eq!(
        run(&["audit", "build", "--rebuild"]),
        built,
        "what was followed is what is made anew"
    );
    let listed = run(&["audit", "list"]);
    let events = listed["events"].as_array().unwrap();
    assert_eq!(events.len() as u64, before["tree_size"].as_u64().unwrap());

    // The head that was published before the kill is the beginning of what there is now.
    let files = tempfile::tempdir().unwrap();
    let place = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (proof, size) = (place("proof.json"), earlier["tree_size"].to_string());
    let event_id = events[events.len() / 2]["event_id"].as_str().unwrap();
    let made = gavel(&["audit", "prove", event_id, "--since", &size, "--data", &data]);
    fs::write(&proof, &made.stdout).unwrap();
    fs::write(place("head.json"), head).unwrap();
    let checked = gavel(&["audit", "check", &proof, "--earlier", &place("head.json")]);
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn without_an_audit_log_it_says_so() {
    let mut served = Served::start();
    let data = served.data();
    let none = page(&served, "/audit/head");
    assert!(none.starts_with("HTTP/1.1 404") && none.contains("gavel up --audit"), "{none}");
    served.stop();
    for args in [["audit", "head"].as_slice(), &["audit", "list"]] {
        let refused = gavel(&[args, &["--data", &data]].concat());
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(said(&refused).contains("gavel up --audit"), "{refused:?}");
    }
    // It can be made afterwards, as long as the journal is whole.
    assert!(gavel(&["audit", "build", "--data", &data]).status.success());
    assert!(gavel(&["audit", "head", "--data", &data]).status.success());
}

#[test]
fn a_backup_holds_the_audit_log_and_what_it_is_kept_with() {
    let mut served = Served::start_with(&["--audit"]);
    let data = served.data();
    published_head(&served);
    for file in ["audit.key", "leaves.secret"] {
        let path = served.path().join("audit").join(file);
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (copy, again) = (place("copy"), place("again"));
    assert!(gavel(&["backup", "--data", &data, "--to", &copy]).status.success());
    assert!(gavel(&["restore", "--from", &copy, "--data", &again]).status.success());
    served.stop();
    let head = |data: &str| json(&gavel(&["audit", "head", "--data", data, "--json"]));
    let built = gavel(&["audit", "build", "--rebuild", "--data", &again, "--json"]);
    assert!(built.status.success(), "{built:?}");
    assert_eq!(head(&again)["key"], head(&data)["key"]);
    assert_eq!(head(&again)["root"], head(&data)["root"], "nothing happened after the backup");
}

#[test]
fn each_audit_command_has_help_with_an_example() {
    for command in ["build", "head", "list", "prove", "check"] {
        let help = String::from_utf8(gavel(&["audit", command, "--help"]).stdout).unwrap();
        assert!(help.contains("  gavel audit "), "{command}: {help}");
    }
}
