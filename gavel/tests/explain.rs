//! `gavel explain` as people use it: before the close it does not depend on what is sealed, after it
//! everybody learns what they may.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

mod process;

use process::json;
use process::market::Market;

/// Returns what is explained to a name: as text and as JSON.
fn explain(market: &Market, rfq: &str, name: &str) -> [String; 2] {
    let args = ["explain", "rfq", rfq, "--as", name];
    [market.run(&args), market.run(&[args.as_slice(), &["--json"]].concat())]
}

/// Opens an RFQ for longer than any test takes; in one of the worlds it gets answers. Returns what
/// is explained to everybody.
fn explained_while_open(with_answers: bool) -> Vec<String> {
    let mut market = Market::start();
    let answer = market.file("answer.txt");
    let quotes = ["--price", "30.00", "--deliver", &answer, "--latency-ms", "9"];
    let answers = [("fast", quotes.as_slice()), ("cheap", &["--decline", "policy"])];
    let answers = if with_answers { answers.as_slice() } else { &[] };
    let providers: Vec<_> = answers.iter().map(|(name, how)| market.provider(name, how)).collect();
    let (job, data) = (market.file("job.json"), market.served.data());
    let rfq = ["rfq", "--as", "acme", "--capability", "ocr", "--reserve", "40.00", "--bond-bps"];
    let more = ["500", "--window-ms", "600000", "--spec", &job, "--data", &data];
    let (mut buyer, note) = process::spawn_and_read_note(&[rfq.as_slice(), &more].concat());
    let rfq = note.split(' ').next().unwrap().to_owned();
    providers.into_iter().for_each(|provider| provider.answered(&rfq));
    buyer.kill().unwrap();
    buyer.wait().unwrap();
    market.served.stop();
    let askers = ["operator", "acme", "fast", "cheap", "other"];
    let explained = askers.iter().flat_map(|name| explain(&market, &rfq, name));
    explained.map(|text| masked(&text)).collect()
}

#[test]
fn before_the_close_an_explanation_does_not_depend_on_what_is_sealed() {
    let (none, some) = (explained_while_open(false), explained_while_open(true));
    assert!(none[0].contains("sealed until the close"), "{}", none[0]);
    assert!(!none[0].contains("40.00") && none[2].contains("40.00"), "{none:?}");
    let as_roles = |said: &[String], from: &str| {
        said.iter().map(|text| text.replace(from, "")).collect::<Vec<_>>()
    };
    // Whoever has answered knows that it has: it is called a provider, and told nothing else.
    let public = [as_roles(&none, "the public"), as_roles(&none, "\"seen_as\":\"public\"")];
    let provider = [as_roles(&some, "a provider"), as_roles(&some, "\"seen_as\":\"provider\"")];
    for name in [2, 3] {
        assert_eq!(public[0][2 * name], provider[0][2 * name]);
        assert_eq!(public[1][2 * name + 1], provider[1][2 * name + 1]);
    }
    for name in [0, 1, 4] {
        assert_eq!(none[2 * name], some[2 * name]);
        assert_eq!(none[2 * name + 1], some[2 * name + 1]);
    }
}

#[test]
fn after_the_close_the_loser_learns_what_would_have_won() {
    let mut market = Market::start();
    let answer = market.file("answer.txt");
    let quote = |price| ["--price", price, "--deliver", answer.as_str()];
    let winner = market.provider("cheap", &quote("30.00"));
    let loser = market.provider("fast", &quote("32.50"));
    let (job, result) = (market.file("job.json"), market.file("result.txt"));
    let rfq = ["rfq", "--as", "acme", "--capability", "ocr", "--reserve", "40.00", "--json"];
    let more = ["--invite", "cheap,fast", "--close-early", "--window-ms", "600000"];
    let bought =
        market.gavel(&[rfq.as_slice(), &more, &["--spec", &job, "--out", &result]].concat());
    assert!(bought.status.success(), "{bought:?}");
    let bought = json(&bought);
    assert_eq!(bought["breakdown"]["price"], "30000000");
    assert_eq!(bought["contracts"].as_array().unwrap().len(), 1);
    let rfq = bought["rfq"].as_str().unwrap();
    assert!(winner.left().0);
    loser.answered(rfq);
    market.served.stop();

    let [text, _] = explain(&market, rfq, "fast");
    for said in ["as seen by a provider", "First price", "32.50", "would have won at "] {
        assert!(text.contains(said), "{said} in {text}");
    }
    assert!(!text.contains("cheap"), "{text}");
    let [text, said] = explain(&market, rfq, "operator");
    for said in ["acme asks for 1 unit", "cheap quotes 30.00", "fast quotes 32.50", "29.70"] {
        assert!(text.contains(said), "{said} in {text}");
    }
    let said: serde_json::Value = serde_json::from_str(said.trim()).unwrap();
    // Who came first wins a tie.
    let price = said["quotes"][1]["would_have_won_at"].as_str().unwrap();
    assert!(["30000000", "29999999"].contains(&price), "{price}");
    let refused = market.gavel(&["explain", "rfq", rfq, "--as", "other"]);
    assert_eq!(refused.status.code(), Some(1), "others were not invited: {refused:?}");
}

/// Blanks what differs in any two worlds: ids and digests, which are as good as random, and times.
fn masked(text: &str) -> String {
    let hex_run = |c: char| c.is_ascii_hexdigit();
    let mut masked = String::new();
    for part in text.split_inclusive(|c| !hex_run(c)) {
        let run = part.trim_end_matches(|c| !hex_run(c));
        masked.push_str(if [16, 19, 64].contains(&run.len()) { "?" } else { run });
        masked.push_str(&part[run.len()..]);
    }
    masked
}
