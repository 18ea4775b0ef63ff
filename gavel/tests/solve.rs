//! `gavel solve`: instance files in, who wins and what is proven out, and what a bad file is told.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use process::{gavel, json};
use serde_json::Value;
use tempfile::TempDir;

const SMALL: &str = "wdp 1\nname small\nkind procurement\ncover exact\nitems 3\nbids 4\ngroups 2\n\
    j 0 1 100\nj 1 2 200\nj 2 3 300\ng 0 xor 1000\ng 1 or 4 1000\n\
    b 150 140 0 0 1\nb 110 = 1 2\nb 60 = 1 0\nb 90 80 - 0 1\nend\n";

/// Writes a file; returns the folder, which has to be kept, and the file's name.
fn written(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("instance.wdp").to_str().unwrap().to_owned();
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn solved(args: &[&str]) -> Value {
    let output = gavel(&[&["solve", "--json"], args].concat());
    assert!(output.status.success(), "{output:?}");
    json(&output)
}

/// Returns an instance that no thousand units of work are enough for.
fn large() -> String {
    let mut text = String::from("wdp 1\nname large\nkind forward\nitems 40\nbids 200\ngroups 0\n");
    let mut state = 1_u64;
    let mut below = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % end
    };
    for _ in 0..200 {
        let mut items = [below(40), below(40), below(40)];
        items.sort_unstable();
        let mut bid = format!("b {} = -", 1_000 + below(1_000));
        for (place, item) in items.iter().enumerate() {
            if place == 0 || items[place - 1] != *item {
                write!(bid, " {item}").unwrap();
            }
        }
        writeln!(text, "{bid}").unwrap();
    }
    text + "end\n"
}

#[test]
fn an_instance_is_solved_and_every_key_is_there() {
    let (_folder, path) = written(SMALL);
    let answer = solved(&[&path]);
    // Item 0 and 1 from the fourth bid for 90, item 2 from the second for 110.
    assert_eq!(answer["name"], "small");
    assert_eq!(answer["status"], "optimal");
    assert_eq!(answer["objective"], 200);
    assert_eq!(answer["bound"], 200);
    assert_eq!(answer["winners"], serde_json::json!([1, 3]));
    for key in ["elapsed_us", "cpu_us"] {
        assert!(answer[key].as_f64().is_some(), "{key}: {answer}");
    }
    assert!(answer.get("payments").is_none() && answer.get("runs").is_none(), "{answer}");
}

#[test]
fn names_come_from_standard_input_and_each_gets_a_line() {
    let (_folder, path) = written(SMALL);
    let mut child = Command::new(env!("CARGO_BIN_EXE_gavel"))
        .args(["solve", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    write!(child.stdin.take().unwrap(), "{path}\n\n{path}\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let lines: Vec<Value> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    assert!(lines.iter().all(|line| line["objective"] == 200));
}

#[test]
fn each_payment_rule_pays_at_least_what_was_asked() {
    let (_folder, path) = written(SMALL);
    for rule in ["first", "vcg", "core"] {
        let answer = solved(&[&path, "--payments", rule]);
        let payments = answer["payments"].as_array().unwrap();
        let amounts: Vec<_> = payments.iter().map(|paid| paid[1].as_u64().unwrap()).collect();
        // The second bid asks 110 for its item of 300, the fourth 80 for its items of 100 and 200.
        assert_eq!(amounts.len(), 2, "{rule}: {answer}");
        let total: u64 = amounts.iter().sum();
        assert!((190..=600).contains(&total), "{rule}: {answer}");
        assert_eq!(rule == "first", total == 190, "{rule}: {answer}");
        assert!(payments.iter().all(|paid| paid[2] == "exact"), "{rule}: {answer}");
        assert!(answer["payments_us"].as_f64().is_some());
    }
    assert!(solved(&[&path, "--payments", "none"]).get("payments").is_none());
}

#[test]
fn units_of_work_and_a_seed_make_a_run_repeat() {
    let (_folder, path) = written(&large());
    for (units, seed) in [("30000", "1"), ("300000", "1"), ("300000", "9")] {
        let run = || solved(&[&path, "--budget-work", units, "--seed", seed]);
        let (one, other) = (run(), run());
        for key in ["status", "objective", "bound", "winners"] {
            assert_eq!(one[key], other[key], "{key} with {units} units");
        }
    }
}

#[test]
fn few_units_of_work_leave_a_gap_and_many_close_it() {
    let (_folder, path) = written(&large());
    let few = solved(&[&path, "--budget-work", "1000"]);
    assert_eq!(few["status"], "feasible");
    assert!(few["bound"].as_i64() > few["objective"].as_i64(), "{few}");
    let many = solved(&[&path, "--budget-work", "4000000000"]);
    assert_eq!(many["status"], "optimal");
    assert_eq!(many["bound"], many["objective"]);
    assert!(many["objective"].as_i64() >= few["objective"].as_i64());
}

#[test]
fn repeated_runs_are_summed_up() {
    let (_folder, path) = written(SMALL);
    let runs = &solved(&[&path, "--repeat", "7"])["runs"];
    assert_eq!(runs["count"], 7);
    let at = |key: &str| runs[key].as_f64().unwrap();
    assert!(at("p50_us") <= at("p99_us") && at("p99_us") <= at("max_us"), "{runs}");
}

#[test]
fn a_plot_is_an_svg() {
    let (folder, path) = written(&large());
    let plot = folder.path().join("plot.svg");
    solved(&[&path, "--budget-work", "100000", "--plot", plot.to_str().unwrap()]);
    let svg = std::fs::read_to_string(plot).unwrap();
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{svg}");
}

#[test]
fn a_bad_file_is_told_where_and_what_was_expected() {
    let huge = "99999999999999999999";
    for (from, to, expected) in [
        ("end\n", "", "expected `end`"),
        ("b 150", &format!("b {huge}"), "line 13: expected a score, found a number beyond 64 bits"),
        ("g 0 xor", "q 0 xor", "line 11: expected `g <group> xor <quality>`"),
        ("= 1 2\n", "= 1 3\n", "line 14: expected items in ascending order, each once"),
        ("0 0 1\n", "0 1 1\n", "line 13: expected items in ascending order, each once"),
        ("= 1 2\n", "= 1\n", "line 14: expected items in ascending order"),
        ("or 4", "or 0", "line 12: capacity 0: expected 1 to"),
        ("items 3", "items 4000000000", "line 5: expected `items <n>`, 1 to 256"),
        ("bids 4", &format!("bids {huge}"), "line 6: expected `bids <m>`, at most 4096"),
        ("groups 2", "groups 4097", "line 7: expected `groups <k>`, at most 4096"),
    ] {
        let text = SMALL.replacen(from, to, 1);
        assert_ne!(text, SMALL, "{from}");
        let (_folder, path) = written(&text);
        let output = gavel(&["solve", "--json", &path]);
        assert_eq!(output.status.code(), Some(1), "{to}: {output:?}");
        let error = json(&output)["error"].as_str().unwrap().to_owned();
        assert!(error.contains(&path) && error.contains(expected), "{to}: {error}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(expected), "{to}");
    }
    let output = gavel(&["solve", "no-such-file.wdp"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_bad_file_does_not_keep_the_next_from_being_solved() {
    let (_bad, bad) = written("wdp 2\n");
    let (_good, good) = written(SMALL);
    let output = gavel(&["solve", "--json", &bad, &good]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(json(&output)["objective"], 200);
}
