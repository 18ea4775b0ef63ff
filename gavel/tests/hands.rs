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
