//! Economies: what is reported holds together, and what cannot trade is refused with what was
//! expected.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gavel_protocol::Micros;
use gavel_simulator::economy::{MarketReport, Population, Venue, VenueReport, plots, run, sweep};

const POPULATIONS: [&str; 8] =
    ["honest", "slow", "mixed", "strategic", "vickrey", "hostile", "scored", "commodity"];

#[test]
fn the_same_seed_yields_the_same_report() {
    let population = population("hostile");
    let text = |seed| serde_json::to_string(&run(&population, seed).unwrap()).unwrap();
    assert_eq!(text(1), text(1));
    assert_ne!(text(1), text(2));
}

#[test]
fn no_venue_is_better_than_the_optimum() {
    for name in POPULATIONS {
        for report in [run(&population(name), 3).unwrap(), run(&scarce(name), 3).unwrap()] {
            assert!(report.optimum.welfare_micros > Micros::ZERO);
            for venue in &report.venues {
                let optimum = report.optimum.welfare_micros;
                assert!(venue.welfare_micros <= optimum, "{name}, {}", venue.venue);
            }
        }
    }
}

#[test]
fn every_job_and_every_coin_is_accounted_for() {
    for name in POPULATIONS {
        let report = run(&scarce(name), 4).unwrap();
        for venue in &report.venues {
            assert_eq!(venue.awarded + venue.passed, report.rfqs, "{name}, {}", venue.venue);
            assert_eq!(venue.delivered + venue.faded, venue.awarded, "{name}, {}", venue.venue);
            let sides =
                [venue.buyers_surplus_micros, venue.providers_profit_micros, venue.fees_micros];
            let sum: i64 = sides.iter().map(|side| side.raw()).sum();
            assert_eq!(sum, venue.welfare_micros.raw(), "{name}, {}", venue.venue);
            let has_ledger = venue.venue != Venue::FirstCome;
            assert_eq!(venue.trial_balance, has_ledger.then_some(0), "{name}, {}", venue.venue);
        }
    }
}

#[test]
fn who_is_honest_and_in_time_reaches_the_optimum() {
    let report = run(&population("honest"), 5).unwrap();
    let windowed = of(&report, Venue::Windowed);
    assert_eq!(windowed.answers_in_window_share, 1.0);
    assert_eq!(windowed.pass_share, 0.0);
    assert!(windowed.welfare_share >= 0.99, "{}", windowed.welfare_share);
    assert!(of(&report, Venue::FirstCome).welfare_share < windowed.welfare_share);
}

#[test]
fn a_window_gives_slow_providers_their_chance() {
    let report = run(&population("slow"), 6).unwrap();
    let (windowed, first_come) = (of(&report, Venue::Windowed), of(&report, Venue::FirstCome));
    assert!(windowed.welfare_share >= 0.95, "{}", windowed.welfare_share);
    // From 75 to 100 ms.
    let wins = |venue: &VenueReport| venue.win_rate_by_latency[3].chances.wins;
    assert!(wins(windowed) > 10 * wins(first_come));
    assert!(windowed.refusals["TooLate"] > 0);
}

#[test]
fn who_fades_takes_the_welfare_of_its_jobs_and_no_money() {
    let report = run(&population("hostile"), 7).unwrap();
    let windowed = of(&report, Venue::Windowed);
    let group = |name: &str| windowed.groups.iter().find(|g| g.group.as_str() == name).unwrap();
    let fading = group("fading");
    assert!(fading.chances.wins > 0);
    assert_eq!(u64::from(windowed.faded), fading.chances.wins);
    assert_eq!((fading.delivered, fading.revenue_micros), (0, Micros::ZERO));
    let flooding = group("flooding");
    assert_eq!(flooding.delivered, flooding.chances.wins);
    assert!(windowed.refusals["QuoteExists"] > 0);
    assert!(windowed.commands > 2 * windowed.answers);
}

#[test]
fn commodity_work_needs_no_window() {
    let report = run(&population("commodity"), 8).unwrap();
    let at_once = of(&report, Venue::WindowZero);
    assert_eq!((at_once.answers, at_once.waited.mean_ms), (0, 0.0));
    assert!(at_once.welfare_share >= 0.95, "{}", at_once.welfare_share);
}

#[test]
fn without_time_to_answer_nothing_is_traded() {
    let by_window = sweep(&population("honest"), 9).unwrap();
    let shares: Vec<_> = by_window.iter().map(|one| one.welfare_share).collect();
    assert_eq!(shares[0], 0.0);
    assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)), "{shares:?}");
    assert!(shares.iter().any(|share| *share >= 0.99), "{shares:?}");
}

#[test]
fn charts_name_their_axes_and_every_population() {
    let reports: Vec<_> = ["honest", "commodity"].map(|n| run(&population(n), 1).unwrap()).into();
    let plots = plots(&reports);
    assert_eq!(plots.len(), 2 + reports.len());
    for plot in &plots {
        assert!(plot.svg.starts_with("<svg ") && plot.svg.ends_with("</svg>\n"), "{}", plot.file);
        assert!(plot.svg.contains("(%)"), "{}", plot.file);
        assert!(!plot.svg.contains("NaN"), "{}", plot.file);
    }
    assert!(plots[0].svg.contains(">honest<") && plots[0].svg.contains(">commodity<"));
    assert!(plots[1].svg.contains("window (ms)"));
}

#[test]
fn what_cannot_trade_is_refused_with_its_file_and_what_was_expected() {
    let refused = |from: &str, to: &str| {
        let text = std::fs::read_to_string(path("commodity")).unwrap();
        assert!(text.contains(from), "{from}");
        refusal(&text.replacen(from, to, 1))
    };
    for (from, to, expected) in [
        ("\"rfqs\": 5000,", "\"rfqs\": 5000, \"rfq\": 1,", "unknown field `rfq`, expected one of"),
        ("\"fee_ppm\": 10000,", "", "missing field `fee_ppm`"),
        ("\"count\": 40,", "\"count\": 0,", "buyers.count: expected 1 to 1000, not 0"),
        ("\"10.00\"", "\"-10.00\"", "expected an amount above zero"),
        ("\"10.00\"", "\"10000.01\"", "at most 10000.00"),
        ("\"10.00\"", "\"40.01\"", "cost: expected min to be no larger than max"),
        ("\"rfqs\": 5000,", "\"rfqs\": 4000000000,", "rfqs: expected 1 to 100000"),
        ("\"rfqs\": 5000,", "\"rfqs\": -1,", "invalid value: integer `-1`, expected u32"),
        ("\"capabilities\": 4,", "\"capabilities\": 0,", "capabilities: expected 1 to 64"),
        ("\"capabilities\": 4,", "\"capabilities\": 101,", "capabilities: expected 1 to 64"),
        ("\"margin_bps\": 500", "\"margin_bps\": 10001", "margin_bps: expected 0 to 10000"),
        ("\"honest\": {", "\"kind\": {", "unknown variant `kind`, expected one of"),
        ("\"capacity\": 8", "\"capacity\": 3", "standing_capacity: expected 0 to 3, not 4"),
    ] {
        let error = refused(from, to);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn sizes_that_would_never_end_are_refused() {
    let text = std::fs::read_to_string(path("hostile")).unwrap();
    let many = text.replace("\"rfqs\": 5000,", "\"rfqs\": 100000,").replace(": 20 }", ": 100 }");
    assert!(refusal(&many).contains("expected at most 10000000 answers"));
    let dense = text.replace("\"rfqs_per_s\": 200,", "\"rfqs_per_s\": 2000,");
    let dense = dense.replace("\"capacity_period_ms\": 1000,", "\"capacity_period_ms\": 1001,");
    assert!(refusal(&dense).contains("expected at most 2000 RFQs"));
    assert!(refusal(&" ".repeat(70_000)).contains("expected at most 65536 bytes"));
    let mut population = population("honest");
    population.capabilities = 0;
    assert!(run(&population, 1).unwrap_err().to_string().contains("capabilities: expected 1 to"));
}

/// The table of `docs/ECONOMY.md` is that of the command it names. With `GAVEL_GOLDEN=write` it is
/// written.
#[test]
fn the_document_shows_what_its_command_says() {
    let (begin, end) = ("<!-- BEGIN generated: results -->", "<!-- END generated: results -->");
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ECONOMY.md");
    let text = std::fs::read_to_string(&document).unwrap();
    let (before, rest) = text.split_once(begin).unwrap();
    let (_, after) = rest.split_once(end).unwrap();
    let expected = format!("{before}{begin}\n\n{}\n{end}{after}", table());
    if std::env::var("GAVEL_GOLDEN").is_ok_and(|golden| golden == "write") {
        std::fs::write(&document, &expected).unwrap();
    } else {
        assert!(text == expected, "docs/ECONOMY.md is out of date: run with GAVEL_GOLDEN=write");
    }
}

/// Returns the results of every committed population as it is, with seed 1.
fn table() -> String {
    let mut table = String::from(
        "| population | venue | welfare | buyers | providers | awarded | faded | too late | waited | \
         in vain |\n|---|---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    std::thread::scope(|scope| {
        let report = |name| run(&Population::read(&path(name)).unwrap(), 1).unwrap();
        let reports = POPULATIONS.map(|name| scope.spawn(move || report(name)));
        for report in reports {
            write_rows(&mut table, &report.join().unwrap());
        }
    });
    table
}

fn write_rows(table: &mut String, report: &MarketReport) {
    let optimum = report.optimum.welfare_micros.raw() as f64;
    let percent = |amount: Micros| format!("{:.1} %", 100.0 * amount.raw() as f64 / optimum);
    for venue in &report.venues {
        let late = match venue.answers {
            0 => String::from("–"),
            _ => format!("{:.0} %", 100.0 * (1.0 - venue.answers_in_window_share)),
        };
        writeln!(
            table,
            "| {} | {} | {} | {} | {} | {} | {} | {late} | {:.1} ms | {:.1} ms |",
            report.population,
            venue.venue,
            percent(venue.welfare_micros),
            percent(venue.buyers_surplus_micros),
            percent(venue.providers_profit_micros),
            venue.awarded,
            venue.faded,
            venue.waited.mean_ms,
            venue.waited_after_last_quote.mean_ms,
        )
        .unwrap();
    }
}

/// Returns a committed population, with so few jobs that a run is short.
fn population(name: &str) -> Population {
    let mut population = Population::read(&path(name)).unwrap();
    population.rfqs = 400;
    population
}

/// Returns a population with less capacity than jobs.
fn scarce(name: &str) -> Population {
    let mut population = population(name);
    for group in &mut population.providers {
        group.capacity = 2;
        group.standing_capacity = group.standing_capacity.min(1);
    }
    population
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("populations/{name}.json"))
}

fn of(report: &MarketReport, venue: Venue) -> &VenueReport {
    report.venues.iter().find(|one| one.venue == venue).unwrap()
}

/// Returns what is said of a file with this text: the error and its causes.
fn refusal(text: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad-population.json");
    std::fs::write(&file, text).unwrap();
    let error = Population::read(&file).unwrap_err();
    let mut said = error.to_string();
    assert!(said.contains("bad-population.json"), "{said}");
    let mut cause = error.source();
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}
