//! Rounds by hand, one per format: from a job spec in a file to deliverables in others; and what
//! the operator does.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use std::process::Output;

use process::gavel;
use process::market::{Market, Provider};
use serde_json::{Value, json};

/// Longer than any test takes: RFQs that invite close once everybody has answered.
const WINDOW_MS: &str = "600000";

/// Asks for quotes, and returns what came out.
fn rfq(market: &Market, how: &[&str]) -> Value {
    let output = rfq_for(market, WINDOW_MS, how);
    assert!(output.status.success(), "{output:?}");
    process::json(&output)
}

/// Asks for quotes for so long.
fn rfq_for(market: &Market, window_ms: &str, how: &[&str]) -> Output {
    let (job, result) = (market.file("job.json"), market.file("result.txt"));
    let asked = ["rfq", "--as", "acme", "--capability", "ocr", "--reserve", "40.00", "--json"];
    let files = ["--spec", &job, "--out", &result, "--window-ms", window_ms];
    market.gavel(&[asked.as_slice(), &files, how].concat())
}

/// Starts a provider that delivers.
fn provider(market: &Market, name: &str, how: &[&str]) -> Provider {
    let answer = market.file("answer.txt");
    market.provider(name, &[&["--deliver", answer.as_str()], how].concat())
}

#[test]
fn a_second_price_is_paid_to_the_provider_that_asked_for_less() {
    let market = Market::start();
    let fast = provider(&market, "fast", &["--price", "30.00"]);
    let cheap = provider(&market, "cheap", &["--price", "35.00"]);
    let invited = ["--invite", "fast,cheap", "--close-early"];
    let how = [["--format", "second-price"].as_slice(), &invited].concat();
    let bought = rfq(&market, &how);
    assert_eq!(bought["price_micros"], "35000000");
    assert_eq!(bought["breakdown"]["price"], "30000000");
    let (well, said) = fast.left();
    assert!(well && said.iter().any(|line| line.contains("paid 34.65, fee 0.35")), "{said:?}");
    cheap.answered(bought["rfq"].as_str().unwrap());
}

#[test]
fn units_are_split_and_each_deliverable_has_a_file() {
    let market = Market::start();
    let fast = provider(&market, "fast", &["--price", "10.00", "--quantity", "2"]);
    let cheap = provider(&market, "cheap", &["--price", "20.00", "--quantity", "3"]);
    let invited = ["--invite", "fast,cheap", "--close-early", "--split", "--quantity", "4"];
    market.run(&["enrol", "rich", "--deposit", "1000.00"]);
    let (job, result) = (market.file("job.json"), market.file("result.txt"));
    let asked = ["rfq", "--as", "rich", "--capability", "ocr", "--reserve", "40.00", "--json"];
    let files = ["--spec", &job, "--out", &result, "--window-ms", WINDOW_MS];
    let output = market.gavel(&[asked.as_slice(), &files, &invited].concat());
    assert!(output.status.success(), "{output:?}");
    let bought = process::json(&output);
    assert_eq!(bought["contracts"].as_array().unwrap().len(), 2);
    // 2 × 10.00 + 2 × 20.00
    assert_eq!(bought["total_micros"], "60000000");
    for file in [result.clone(), format!("{result}.2")] {
        assert_eq!(std::fs::read_to_string(file).unwrap(), "done\n");
    }
    assert!(fast.left().0 && cheap.left().0);
}

/// Asks for bundles of items, and returns what came out.
fn rfq_for_items(market: &Market, window_ms: &str, how: &[&str]) -> Output {
    let (job, result) = (market.file("job.json"), market.file("result.txt"));
    let asked = ["rfq", "--as", "acme", "--capability", "ocr", "--spec", &job, "--json"];
    market.gavel(&[asked.as_slice(), &["--out", &result, "--window-ms", window_ms], how].concat())
}

#[test]
fn bundles_that_gain_the_most_together_are_worked_for_and_paid() {
    let market = Market::start();
    let large = ["--bundle", "0,1:12.00", "--bundle", "2:9.00", "--group", "or:5"];
    let fast = provider(&market, "fast", &large);
    let cheap = provider(&market, "cheap", &["--bundle", "0:5.00", "--bundle", "2:6.00"]);
    let items = ["--items", "10.00,10.00,5.00x2@3", "--invite", "fast,cheap", "--close-early"];
    let output = rfq_for_items(&market, WINDOW_MS, &items);
    assert!(output.status.success(), "{output:?}");
    let notes = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(notes.contains("cleared: 2 bundles with 3 items gain 12.00"), "{notes}");
    assert!(notes.contains("12.00 USD for items 0,1"), "{notes}");
    let bought = process::json(&output);
    let cleared = &bought["cleared"];
    assert_eq!((&cleared["winners"], &cleared["items"]), (&json!(2), &json!([0, 1, 2])));
    assert_eq!(cleared["surplus_micros"], "12000000");
    let contracts = bought["contracts"].as_array().unwrap();
    let awarded: Vec<_> = contracts.iter().map(|c| (&c["items"], &c["total_micros"])).collect();
    let (two, one) = ((&json!([0, 1]), &json!("12000000")), (&json!([2]), &json!("6000000")));
    assert_eq!(awarded, [two, one]);
    assert_eq!(bought["total_micros"], "18000000");
    for file in [market.file("result.txt"), market.file("result.txt.2")] {
        assert_eq!(std::fs::read_to_string(file).unwrap(), "done\n");
    }
    let (well, said) = fast.left();
    assert!(well && said.iter().any(|line| line.contains("awarded for items 0,1")), "{said:?}");
    let lost = said.iter().find(|line| line.starts_with("lost")).unwrap();
    assert!(lost.contains("with 2:9.00: ") && lost.contains("items 2 went to others"), "{lost}");
    assert!(lost.contains("below 6.00 it would have been worth more"), "{lost}");
    let (well, said) = cheap.left();
    assert!(well && said.iter().any(|line| line.contains("paid 5.94, fee 0.06")), "{said:?}");
}

#[test]
fn bundles_are_added_to_a_group_that_was_quoted_before() {
    let market = Market::start();
    let (job, data) = (market.file("job.json"), market.served.data());
    let asked = ["rfq", "--as", "acme", "--capability", "ocr", "--items", "10.00,10.00"];
    let files = ["--spec", &job, "--window-ms", WINDOW_MS, "--data", &data];
    let mut buyer = process::spawn(&[asked.as_slice(), &files].concat());
    while !market.run(&["book", "ocr"]).contains("open RFQs: 1 of 1") {}
    assert!(market.run(&["book", "ocr"]).contains("2 items, Combinatorial"));
    let mut first = provider(&market, "fast", &["--bundle", "0:9.00"]);
    let line = first.line();
    let (quote, rfq) = line.strip_suffix(", 1 bundles").unwrap().split_once(" for ").unwrap();
    // It goes, and its quote stays.
    drop(first);
    let again = ["--bundle", "1:8.00", "--bundle", "0,1:15.00", "--into", quote];
    provider(&market, "fast", &again).says(&format!("{quote} for {rfq}, 2 bundles"));
    provider(&market, "cheap", &["--bundle", "1:8.00", "--into", quote]).says("no quote");
    buyer.kill().unwrap();
    buyer.wait().unwrap();
}

#[test]
fn whoever_has_no_price_for_what_is_asked_for_says_so() {
    let market = Market::start();
    let whole = provider(&market, "fast", &["--price", "9.00"]);
    let parts = provider(&market, "cheap", &["--bundle", "1:9.00"]);
    let more = ["--items", "10.00", "--clearing", "5ms", "--external-solvers", "--all-items"];
    let passed = rfq_for_items(&market, "300", &more);
    assert_eq!(passed.status.code(), Some(3), "{passed:?}");
    assert_eq!(process::json(&passed)["cleared"]["winners"], 0);
    whole.says("give --bundle");
    parts.says("no quote");
}

#[test]
fn items_go_with_nothing_that_is_about_a_whole() {
    for wrong in [
        ["--items", "10.00", "--reserve", "10.00"],
        ["--items", "10.00", "--quantity", "2"],
        ["--items", "10.00", "--payment", "dearly"],
        ["--items", "10.00x", "--payment", "vcg"],
        ["--reserve", "10.00", "--payment", "vcg"],
        ["--reserve", "10.00", "--clearing", "1ms"],
    ] {
        let asked = ["rfq", "--as", "acme", "--capability", "ocr", "--spec", "job.json"];
        let output = gavel(&[asked.as_slice(), &wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
    }
    for wrong in [["--price", "1.00"], ["--group", "or:x"], ["--quantity", "2"], ["--into", "x"]] {
        let offered = ["quote", "--as", "fast", "--capability", "ocr", "--deliver", "answer.txt"];
        let output = gavel(&[offered.as_slice(), &["--bundle", "0:1.00"], &wrong].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {output:?}");
    }
    let market = Market::start();
    for (wrong, expected) in [
        (["--items", "10.00", "--format", "second-price"], "leave --format out"),
        (["--reserve", "10.00", "--format", "combinatorial"], "--items"),
    ] {
        let asked = ["rfq", "--as", "acme", "--capability", "ocr", "--spec", "job.json"];
        let output = market.gavel(&[asked.as_slice(), &wrong].concat());
        assert_eq!(output.status.code(), Some(1), "{wrong:?}: {output:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(expected), "{wrong:?}");
    }
}

#[test]
fn a_solver_is_enrolled_and_may_not_trade() {
    let market = Market::start();
    let enrolled = process::json(&market.gavel(&["enrol", "finder", "--role", "solver", "--json"]));
    assert_eq!(enrolled["roles"], json!(["solver"]));
    let job = market.file("job.json");
    let asked = ["rfq", "--as", "finder", "--capability", "ocr", "--reserve", "1.00"];
    let refused = market.gavel(&[asked.as_slice(), &["--spec", &job]].concat());
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(String::from_utf8(refused.stderr).unwrap().contains("role"));
}

#[test]
fn a_dutch_rfq_is_taken_when_its_price_has_come_to_the_limit() {
    let market = Market::start();
    let fast = provider(&market, "fast", &["--price", "10.00"]);
    let curve = ["--format", "dutch", "--curve", "0:9.00,200ms:10.00,600s:40.00"];
    let bought = rfq(&market, &curve);
    let price: i64 = bought["price_micros"].as_str().unwrap().parse().unwrap();
    assert!((10_000_000..40_000_000).contains(&price), "{price}");
    let (well, said) = fast.left();
    assert!(well && said.iter().any(|line| line.starts_with("took 1 of rfq_")), "{said:?}");
}

#[test]
fn the_best_of_a_book_is_picked_by_its_score() {
    let market = Market::start();
    let fast = provider(&market, "fast", &["--price", "31.00", "--latency-ms", "0"]);
    let slow = provider(&market, "cheap", &["--price", "30.00", "--latency-ms", "2000"]);
    let choice = ["--format", "buyers-choice", "--pick", "best", "--latency-per-ms", "0.001"];
    let invited = ["--invite", "fast,cheap", "--close-early"];
    let bought = rfq(&market, &[choice.as_slice(), &invited].concat());
    assert_eq!(bought["price_micros"], "31000000");
    assert!(fast.left().0);
    slow.answered(bought["rfq"].as_str().unwrap());
}

#[test]
fn whoever_declines_is_counted_as_an_answer() {
    let market = Market::start();
    let fast = provider(&market, "fast", &["--price", "30.00"]);
    let cheap = market.provider("cheap", &["--decline", "no-capacity"]);
    rfq(&market, &["--invite", "fast,cheap", "--close-early"]);
    assert!(fast.left().0);
    let (well, said) = cheap.left();
    assert!(well && said.iter().any(|line| line.contains("declined")), "{said:?}");
}

#[test]
fn a_runner_up_takes_over_from_a_winner_that_cannot_deliver() {
    let market = Market::start();
    // One byte more than a blob may have: it wins, and fails.
    let too_large = std::fs::File::create(market.file("large.bin")).unwrap();
    too_large.set_len(16 * 1024 * 1024 + 1).unwrap();
    let large = market.file("large.bin");
    let cheap = market.provider("cheap", &["--price", "30.00", "--deliver", &large]);
    let fast = provider(&market, "fast", &["--price", "31.00", "--standby-s", "600"]);
    let invited = ["--invite", "fast,cheap", "--close-early", "--bond-bps", "500"];
    let bought = rfq(&market, &[invited.as_slice(), &["--delivery-s", "3"]].concat());
    assert_eq!(
        (&bought["result"], &bought["total_micros"]),
        (&json!("settled"), &json!("31000000"))
    );
    let ends: Vec<_> =
        bought["contracts"].as_array().unwrap().iter().map(|c| &c["result"]).collect();
    assert_eq!(ends, ["taken_over", "settled"]);
    assert!(!cheap.left().0 && fast.left().0);
}

#[test]
fn only_whoever_has_the_attributes_may_quote() {
    let market = Market::start();
    market.run(&["enrol", "careful", "--attributes", "data_in_eu,no_training"]);
    let other = provider(&market, "other", &["--price", "1.00"]);
    let careful = provider(&market, "careful", &["--price", "39.00"]);
    let invited = ["--invite", "careful", "--close-early", "--require", "data_in_eu"];
    let bought = rfq(&market, &invited);
    assert_eq!(bought["price_micros"], "39000000");
    assert!(careful.left().0);
    drop(other);
    let wrong = market.gavel(&["enrol", "odd", "--attributes", "data_on_mars"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("data_in_eu"));
}

#[test]
fn the_operator_halts_reopens_and_sets_a_band_that_the_book_shows() {
    let market = Market::start();
    market.run(&["band", "ocr", "--low", "5.00", "--high", "50.00"]);
    market.run(&["halt", "ocr"]);
    let args = ["book", "ocr", "--as", "acme"];
    let book = market.run(&args);
    assert!(book.contains("halted") && book.contains("between 5.00 and 50.00"), "{book}");
    market.run(&["reopen", "ocr"]);
    market.run(&["band", "ocr", "--none"]);
    let book = market.gavel(&[args.as_slice(), &["--json"]].concat());
    let book = process::json(&book);
    assert_eq!((&book["halted"], &book["band"]), (&Value::Bool(false), &Value::Null));
    let wrong = market.gavel(&["band", "ocr", "--low", "5.00"]);
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
}

#[test]
fn an_exchange_may_require_signatures_and_people_sign_without_noticing() {
    let market = Market::start_with(&["--signatures", "required", "--quotes-per-s", "100"]);
    let fast = provider(&market, "fast", &["--price", "30.00"]);
    let bought = rfq(&market, &["--invite", "fast", "--close-early"]);
    assert_eq!(bought["result"], "settled");
    assert!(fast.left().0);
}

#[test]
fn a_standing_quote_is_signed_too() {
    let market = Market::start_with(&["--signatures", "required"]);
    let fast = provider(&market, "fast", &["--price", "30.00", "--standing", "1"]);
    // The introduction comes after the standing quote.
    let bought = process::json(&rfq_for(&market, "0", &[]));
    assert_eq!(bought["price_micros"], "30000000");
    assert!(fast.left().0);
}

#[test]
fn a_provider_that_comes_later_answers_what_is_open() {
    let market = Market::start();
    let how = ["--format", "dutch", "--curve", "0:30.00,600s:40.00"];
    std::thread::scope(|scope| {
        let buyer = scope.spawn(|| rfq(&market, &how));
        while !market.run(&["book", "ocr"]).contains("open RFQs: 1 of 1") {}
        let fast = provider(&market, "fast", &["--price", "30.00"]);
        let bought = buyer.join().unwrap();
        assert!(bought["price_micros"].as_str().unwrap().starts_with("30"), "{bought}");
        assert!(fast.left().0);
    });
}

#[test]
fn whoever_promises_no_latency_leaves_rfqs_that_pay_for_it() {
    let market = Market::start();
    let fast = provider(&market, "fast", &["--price", "10.00"]);
    let passed = rfq_for(&market, "300", &["--invite", "fast", "--latency-per-ms", "0.0001"]);
    assert_eq!(passed.status.code(), Some(3), "{passed:?}");
    fast.says("pays for latency");
}

#[test]
fn each_command_has_help_with_an_example() {
    for command in
        ["up", "rfq", "quote", "enrol", "list", "halt", "reopen", "band", "book", "replay"]
    {
        let help = String::from_utf8(gavel(&[command, "--help"]).stdout).unwrap();
        assert!(help.contains(&format!("  gavel {command}")), "{command}: {help}");
    }
    let help = String::from_utf8(gavel(&["explain", "rfq", "--help"]).stdout).unwrap();
    assert!(help.contains("gavel explain rfq rfq_"), "{help}");
}
