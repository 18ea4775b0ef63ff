//! Sealed means sealed: two worlds that differ only in how others have answered look the same to
//! everybody else until the close: events, numbers, heartbeats, sizes, statements, books, metrics,
//! logs.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use std::io::{Read as _, Write};
use std::sync::{Arc, Mutex};

use gavel_client::{Client, NewRfq, SigningKey};
use gavel_protocol::limits::BUNDLES_PER_ACCOUNT_MAX;
use gavel_protocol::*;
use gavel_tests::{Raw, World, bundle, group, now, rfq, rfq_for_items, standing};
use quinn::RecvStream;
use tracing_subscriber::EnvFilter;

/// Longer than the time between two heartbeats.
const WINDOW_MS: u64 = 60_000;

/// Each item that the combinatorial RFQ asks for.
const ITEM: Item = Item { quantity: 1, load: 1, reserve: Micros::new(10_000_000) };

/// An RFQ for units of one kind, and a combinatorial one.
#[derive(Clone, Copy)]
struct Rfqs {
    whole: RfqId,
    parts: RfqId,
}

/// What an observer got: where, under which number, of which template, how long, and what it said.
type Seen = Vec<(String, u64, u16, usize, String)>;

#[tokio::test]
async fn nobody_can_tell_whether_and_how_others_have_answered() {
    let log = Log::default();
    log.capture();
    // One after the other: they share the log.
    let (none, many) = (world(false, &log).await, world(true, &log).await);
    for (one, other) in none.seen.iter().zip(&many.seen) {
        assert_eq!(one, other);
    }
    assert_eq!(none.seen, many.seen);
    assert_eq!(none.metrics, many.metrics);
    assert_eq!(none.log, many.log);
    let heartbeats = none.seen.iter().filter(|seen| seen.0.starts_with("stream") && seen.2 == 66);
    assert_eq!(heartbeats.count(), 4, "a heartbeat on each stream is part of what was compared");
    let books = none.seen.iter().filter(|seen| seen.2 == 78 && seen.4.contains("rfqs_total"));
    assert_eq!(books.count(), 2, "so is the book, before and after others go on");
    assert!(none.log.contains("the gateway listens"), "so is the log: {}", none.log);
}

/// What an observer and the public can see of a world.
struct Observed {
    seen: Seen,
    metrics: String,
    log: String,
}

/// Runs a market in which others may answer before and after the observer does.
async fn world(others_answer: bool, log: &Log) -> Observed {
    let mut world = World::start(Codec::Json).await;
    let capability = world.capability("ocr").await;
    let (buyer, _) = world.agent().await;
    let (observer, _) = world.enrol().await;
    // The same agents in both worlds: only what they do differs.
    let others = [world.agent().await.0, world.agent().await.0, world.agent().await.0];
    let mut asked = rfq(capability, WINDOW_MS);
    (asked.bond_bps, asked.split, asked.quantity) = (100, true, 3);
    let whole = buyer.open_rfq(asked).await.unwrap().rfq;
    let (terms, bundles) = rfq_for_items(capability, WINDOW_MS, &[ITEM; 3]);
    let bundles = Some(bundles);
    let asked = NewRfq { terms, invited: Vec::new(), dutch: None, bundles };
    let parts = buyer.open_rfq(asked).await.unwrap().rfq;
    let rfqs = Rfqs { whole, parts };
    let (solver, _) = world.enrol_as(Roles::SOLVER).await;
    if others_answer {
        answer(&others, rfqs.whole).await;
        answer_with_bundles(&others, rfqs.parts).await;
    }
    let (mut seen, mut raw) = trade(&world, &observer, capability, rfqs).await;
    let solver = solve(&world, &solver, rfqs.parts, &mut seen).await;
    if others_answer {
        answer_again(&others, rfqs.whole, capability).await;
    }
    ask(&mut raw, QueryKind::Book(capability), &mut seen).await;
    ask(&mut raw, QueryKind::Statement, &mut seen).await;
    for connection in [&raw.connection, &raw.connection, &raw.connection, &solver.connection] {
        let stream = connection.accept_uni().await.unwrap();
        read_to_heartbeat(stream, &mut seen).await;
    }
    let metrics = metrics(&world).await;
    let log = log.take(&world);
    drop((raw, solver));
    world.stop().await;
    Observed { seen, metrics, log }
}

fn offer(price: i64) -> Offer {
    Offer::new(Micros::new(price), TimestampNs::MAX)
}

/// Two of the others quote, amend whatever can be amended, cancel and quote again; one declines.
async fn answer(others: &[Client; 3], rfq: RfqId) {
    let [first, second, third] = others;
    for other in [first, second] {
        let quote = other.place_quote(rfq, offer(1_000_000)).await.unwrap();
        let amended = Offer {
            quantity: 2,
            all_or_none: true,
            latency_ms: 1_234,
            standby_until: Some(TimestampNs::MAX),
            ..offer(7)
        };
        other.amend_quote(rfq, quote, amended).await.unwrap();
        other.cancel_quote(quote).await.unwrap();
        other.place_quote(rfq, offer(1_000_000)).await.unwrap();
    }
    third.decline_rfq(rfq, NoQuoteReason::Policy).await.unwrap();
}

/// They quote bundles: in several groups, in one that grows, in one that goes again, and too many.
async fn answer_with_bundles(others: &[Client; 3], rfq: RfqId) {
    let [first, second, third] = others;
    for other in [first, second] {
        let kept = vec![bundle(&[0, 1], 1_000_000), bundle(&[2], 30_000_000)];
        let kept = other.quote_bundles(rfq, group(GroupRule::Xor), kept).await.unwrap();
        let more = vec![bundle(&[0, 1, 2], 2_000_000); BUNDLES_PER_ACCOUNT_MAX - 3];
        other.quote_bundles(rfq, BundleGroup::Existing(kept), more).await.unwrap();
        let gone = vec![bundle(&[1], 1)];
        let gone = other.quote_bundles(rfq, group(GroupRule::Or(2)), gone).await.unwrap();
        let above = vec![bundle(&[2], 1)];
        let above = other.quote_bundles(rfq, BundleGroup::Existing(kept), above).await.unwrap_err();
        assert_eq!(above.reason(), Some(RejectReason::QuoteLimit));
        other.cancel_quote(gone).await.unwrap();
    }
    third.decline_rfq(rfq, NoQuoteReason::Policy).await.unwrap();
    let late = third.quote_bundles(rfq, group(GroupRule::Or(2)), vec![bundle(&[1], 7)]).await;
    late.unwrap();
}

/// They go on: one thinks better of declining, one leaves, and one sends standing quotes that are
/// all rejected.
async fn answer_again(others: &[Client; 3], rfq: RfqId, capability: CapabilityId) {
    let [first, second, third] = others;
    third.place_quote(rfq, offer(900_000)).await.unwrap();
    first.mass_cancel(QuoteKind::Sealed).await.unwrap();
    let lines = (1..=100).map(|revision| standing(capability, revision, 0)).collect();
    let results = second.mass_quote(lines).await.unwrap();
    assert!(results.iter().all(|wrong| *wrong == Some(RejectReason::InvalidAmount)));
    let refused = second.place_quote(rfq, offer(1)).await.unwrap_err();
    assert_eq!(refused.reason(), Some(RejectReason::QuoteExists));
}

/// Logs on, subscribes to everything, and trades.
async fn trade(
    world: &World,
    key: &SigningKey,
    capability: CapabilityId,
    rfqs: Rfqs,
) -> (Seen, Raw) {
    let (addr, _) = world.address();
    let mut seen = Vec::new();
    let mut raw = Raw::log_on(addr, Codec::Json, key).await;
    for topic in [Topic::Private, Topic::Exchange, Topic::Capability(capability)] {
        raw.session_seq += 1;
        let number = raw.session_seq;
        let subscribe = Subscribe { topic, from: None };
        raw.send_message(&ClientMessage::Subscribe(subscribe), number).await;
        note(&mut seen, "session", number, &raw.answer().await);
    }
    let place = PlaceQuote {
        client_id: ClientId::from_parts(now(), 1),
        rfq: rfqs.whole,
        offer: offer(2_000_000),
        signature: None,
    };
    let quote = |number, group| {
        let client_id = ClientId::from_parts(now(), number);
        let bundles = vec![bundle(&[0, 2], 3_000_000)];
        let quote = QuoteBundles { client_id, rfq: rfqs.parts, group, bundles, signature: None };
        Command::QuoteBundles(Box::new(quote))
    };
    let commands = [
        Command::PlaceQuote(place.clone()),
        Command::PlaceQuote(PlaceQuote { client_id: ClientId::from_parts(now(), 2), ..place }),
        Command::SetStandingQuote(standing(capability, 1, 3_000_000)),
        quote(3, group(GroupRule::Xor)),
        quote(4, group(GroupRule::Or(3))),
        quote(5, BundleGroup::Existing(QuoteId::new(9))),
    ];
    for command in &commands {
        let answer = raw.call(command).await;
        note(&mut seen, "session", raw.session_seq, &answer);
    }
    ask(&mut raw, QueryKind::Statement, &mut seen).await;
    ask(&mut raw, QueryKind::Book(capability), &mut seen).await;
    (seen, raw)
}

/// Logs a solver on, which subscribes to the problems, and proposes something too early.
async fn solve(world: &World, key: &SigningKey, rfq: RfqId, seen: &mut Seen) -> Raw {
    let (addr, _) = world.address();
    let mut raw = Raw::log_on(addr, Codec::Json, key).await;
    raw.session_seq += 1;
    let number = raw.session_seq;
    let subscribe = Subscribe { topic: Topic::Problems, from: None };
    raw.send_message(&ClientMessage::Subscribe(subscribe), number).await;
    note(seen, "solver", number, &raw.answer().await);
    let (winners, surplus) = (vec![0], Micros::new(27_000_000));
    let (bound, prices, payments) = (None, None, Vec::new());
    let early = ProposeAllocation { rfq, winners, surplus, bound, prices, payments };
    let answer = raw.call(&Command::ProposeAllocation(Box::new(early))).await;
    note(seen, "solver", raw.session_seq, &answer);
    raw
}

/// Asks a question, and notes the answer.
async fn ask(raw: &mut Raw, kind: QueryKind, seen: &mut Seen) {
    raw.session_seq += 1;
    let number = raw.session_seq;
    raw.send_message(&ClientMessage::Query(Query { kind }), number).await;
    note(seen, "session", number, &raw.answer().await);
}

/// Notes everything up to the first heartbeat of a subscription's stream.
async fn read_to_heartbeat(mut stream: RecvStream, seen: &mut Seen) {
    let mut bytes = Vec::new();
    let mut topic = String::from("stream");
    loop {
        let chunk = stream.read_chunk(65_536, true).await.unwrap().unwrap();
        bytes.extend_from_slice(&chunk.bytes);
        let mut frames = Frames::new(&bytes);
        while let Some((header, payload)) = frames.next_frame().unwrap() {
            let text = masked(std::str::from_utf8(payload).unwrap());
            if header.template == 74 {
                topic = format!("stream {text}");
            }
            seen.push((topic.clone(), header.number, header.template, payload.len(), text));
            if header.template == 66 {
                seen.sort();
                return;
            }
        }
        let consumed = frames.consumed();
        bytes.drain(..consumed);
    }
}

fn note(seen: &mut Seen, place: &str, number: u64, message: &ServerMessage) {
    let mut frame = Vec::new();
    message.encode(Codec::Json, number, &mut frame);
    let payload = std::str::from_utf8(&frame[FRAME_HEADER_BYTES..]).unwrap();
    let (template, text) = (message.template_id(), masked(payload));
    seen.push((place.into(), number, template, frame.len(), text));
}

/// Blanks what differs in any two worlds: ids and salted digests, which are as good as random, and
/// times.
fn masked(text: &str) -> String {
    let hex_run = |c: char| c.is_ascii_hexdigit();
    let mut masked = String::new();
    for part in text.split_inclusive(|c| !hex_run(c)) {
        let run = part.trim_end_matches(|c| !hex_run(c));
        let blank = [16, 19, 64].contains(&run.len()) && run.chars().all(hex_run);
        masked.push_str(if blank { "?" } else { run });
        masked.push_str(&part[run.len()..]);
    }
    masked
}

/// Returns the page of metrics.
async fn metrics(world: &World) -> String {
    let addr = world.http_addr();
    let fetch = move || {
        let mut stream = std::net::TcpStream::connect(addr).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        page
    };
    let page = tokio::task::spawn_blocking(fetch).await.unwrap();
    let body = page.split_once("\r\n\r\n").unwrap().1;
    body.to_owned()
}

/// What the exchange has logged, from every thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to capture everything that the exchange may ever log; clients are no part of it.
    fn capture(&self) {
        let filter =
            EnvFilter::new("info,gavel_client=off,gavel_gateway=trace,gavel_sequencer=trace");
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt().without_time().with_ansi(false);
        subscriber.with_env_filter(filter).with_writer(move || log.clone()).init();
    }

    /// Takes what was logged, with everything blanked that differs in any two worlds. Threads write
    /// in an order of their own.
    fn take(&self, world: &World) -> String {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap());
        let mut text = String::from_utf8(bytes).unwrap();
        for addr in [world.address().0, world.http_addr()] {
            text = text.replace(&addr.to_string(), "?");
        }
        let mut lines: Vec<String> = text.lines().map(masked).collect();
        lines.sort();
        lines.join("\n")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
