//! A bad network: datagrams between the load and the exchange are delayed, lost, doubled and
//! overtaken, and cut off for a while.

use rand::RngExt as _;

use crate::load::{Load, from_outside, page, random, row, verify, wait_until_disconnected};
use crate::namespaces::{Namespaces, within};
use crate::process::Served;
use crate::relay::{Cut, Relay, Weather};

/// Acknowledgements that must come through bad weather, for each cut of the other tests.
const ACKNOWLEDGED_PER_CUT: u64 = 100;

/// Cuts that are shorter than what a connection bears, for one that is longer.
const SHORT_CUTS_PER_LONG: u64 = 10;

fn cuts() -> u64 {
    from_outside("GAVEL_CUTS_OF_NETWORK", 2)
}

fn through(weather: Weather, what: &str) {
    let mut served = Served::start_with(&["--keep-history"]);
    let relay = Relay::start(&served, weather);
    let data = relay.data(&served);
    let mut load = Load::start_with(&served, data.path().to_str().unwrap());
    load.wait_for(&served, usize::try_from(cuts() * ACKNOWLEDGED_PER_CUT).unwrap());
    served.kill();
    let (passed, hit) = (relay.passed(), relay.hit());
    assert!(hit > 0, "the weather was good");
    verify(&served, &load, &[], &format!("{hit} of {passed} datagrams {what}"));
}

#[test]
fn datagrams_that_take_their_time_lose_nothing() {
    through(Weather { delay_ms_max: 20, ..Weather::default() }, "delayed by up to 20 ms");
}

#[test]
fn datagrams_that_are_dropped_lose_nothing() {
    through(Weather { dropped: 0.05, ..Weather::default() }, "dropped");
}

#[test]
fn datagrams_that_come_twice_do_nothing_twice() {
    through(Weather { doubled: 0.3, ..Weather::default() }, "doubled");
}

#[test]
fn datagrams_that_overtake_each_other_lose_nothing() {
    through(Weather { overtaken: 0.3, ..Weather::default() }, "overtaken");
}

#[test]
fn everything_at_once_loses_nothing() {
    let weather = Weather { delay_ms_max: 10, dropped: 0.05, doubled: 0.1, overtaken: 0.1 };
    through(weather, "delayed by up to 10 ms, dropped, doubled or overtaken");
}

/// Cuts the way again and again, each time until some datagrams were swallowed.
fn cut(cut: Cut, what: &str) {
    let (mut served, mut random) = (Served::start_with(&["--keep-history"]), random());
    let relay = Relay::start(&served, Weather::default());
    let data = relay.data(&served);
    let mut load = Load::start_with(&served, data.path().to_str().unwrap());
    for _ in 0..cuts() {
        load.wait_for(&served, random.random_range(1..=128));
        relay.cut(cut);
        let until = relay.swallowed() + random.random_range(10..=400);
        load.wait_until(&served, |_| relay.swallowed() >= until);
        relay.mend();
        load.wait_for(&served, 1);
    }
    served.kill();
    verify(&served, &load, &[], &format!("{} × {what}", cuts()));
}

#[test]
fn a_way_that_is_cut_loses_nothing() {
    cut(Cut::Both, "cut the way to the exchange, shorter than a connection bears");
}

#[test]
fn answers_that_never_come_are_of_commands_that_are_kept() {
    cut(Cut::Answers, "cut the way back, shorter than a connection bears");
}

#[test]
fn a_way_that_is_cut_for_longer_than_a_connection_bears_loses_nothing() {
    let (mut served, cuts) =
        (Served::start_with(&["--keep-history"]), cuts().div_ceil(SHORT_CUTS_PER_LONG));
    let relay = Relay::start(&served, Weather::default());
    let data = relay.data(&served);
    let mut load = Load::start_with(&served, data.path().to_str().unwrap());
    for _ in 0..cuts {
        load.wait_for(&served, 50);
        // What the exchange does meanwhile is not heard of until there is another connection.
        relay.cut(Cut::Answers);
        let until = relay.swallowed() + 50;
        load.wait_until(&served, |_| relay.swallowed() >= until);
        relay.cut(Cut::Both);
        wait_until_disconnected(&served);
        relay.mend();
        load.wait_for(&served, 1);
    }
    served.kill();
    let fault = format!("{cuts} × cut until every connection was lost, the way back first");
    verify(&served, &load, &[], &fault);
}

/// Pages that are asked for, one after the other, while a link is down.
const PAGES_WHILE_DOWN_MAX: usize = 200;

#[test]
fn a_link_that_goes_down_and_up_loses_nothing() {
    match Namespaces::make() {
        Ok(namespaces) => within(&namespaces.exchange, || links_go_down(&namespaces)),
        Err(why) => {
            row(&format!("| links between namespaces set down: not tried, {why} | | | | |"))
        }
    }
}

/// Serves in the namespace that this runs in.
fn links_go_down(namespaces: &Namespaces) {
    let (mut served, mut random) = (Served::start_on(&namespaces.address()), random());
    let mut load = within(&namespaces.load, || Load::spawn(&served, &served.data()));
    load.wait_until(&served, |load| load.trades());
    let mut lost = 0;
    for cut in 1..=cuts() {
        load.wait_for(&served, random.random_range(1..=128));
        let end = if cut.is_multiple_of(2) { &namespaces.exchange } else { &namespaces.load };
        namespaces.set_link(end, "down");
        if cut.is_multiple_of(SHORT_CUTS_PER_LONG) {
            wait_until_disconnected(&served);
            lost += 1;
        }
        for _ in 0..random.random_range(1..=PAGES_WHILE_DOWN_MAX) {
            page(&served, "/healthz");
        }
        namespaces.set_link(end, "up");
        load.wait_for(&served, 1);
    }
    served.kill();
    let fault = format!(
        "{} × a link between namespaces set down, {lost} × until every connection was lost",
        cuts()
    );
    verify(&served, &load, &[], &fault);
}
