//! Sealed means sealed: two worlds that differ only in what others have quoted look the same to
//! everybody else until the close: events, numbers, heartbeats, sizes, statements, metrics.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use std::io::{Read as _, Write as _};

use gavel_client::SigningKey;
use gavel_protocol::*;
use gavel_tests::{Raw, World, now, rfq, standing};
use quinn::RecvStream;

/// Longer than the time between two heartbeats.
const WINDOW_MS: u64 = 60_000;

/// What an observer got: where, under which number, of which template, how long, and what it said.
type Seen = Vec<(String, u64, u16, usize, String)>;

#[tokio::test]
async fn nobody_can_tell_how_many_sealed_quotes_others_sent() {
    let (none, many) = tokio::join!(world(0), world(3));
    for (one, other) in none.0.iter().zip(&many.0) {
        assert_eq!(one, other);
    }
    for (one, other) in none.1.lines().zip(many.1.lines()) {
        assert_eq!(one, other);
    }
    assert_eq!(none, many);
    let heartbeats = none.0.iter().filter(|seen| seen.0.starts_with("stream") && seen.2 == 66);
    assert_eq!(heartbeats.count(), 3, "a heartbeat on each stream is part of what was compared");
}

/// Runs a market in which `rivals` others quote before and after the observer does, and returns what
/// the observer and the public can see.
async fn world(rivals: usize) -> (Seen, String) {
    let mut world = World::start(Codec::Json).await;
    let capability = world.capability("ocr").await;
    let (buyer, _) = world.agent().await;
    let (observer, _) = world.enrol().await;
    let mut others = Vec::new();
    // The same agents in both worlds: only what they quote differs.
    for _ in 0..3 {
        others.push(world.agent().await.0);
    }
    let opened = buyer.open_rfq(rfq(capability, WINDOW_MS)).await.unwrap();
    let quote = async |price| {
        for other in &others[..rivals] {
            let price = Micros::new(price);
            let quote =
                other.place_quote(opened.rfq, Offer::new(price, TimestampNs::MAX)).await.unwrap();
            other.amend_quote(quote, Offer::new(Micros::new(7), TimestampNs::MAX)).await.unwrap();
            other.cancel_quote(quote).await.unwrap();
            other.place_quote(opened.rfq, Offer::new(price, TimestampNs::MAX)).await.unwrap();
        }
    };
    quote(1_000_000).await;
    let (seen, still_connected) = observe(&world, &observer, capability, opened.rfq).await;
    let page = metrics(&world).await;
    drop(still_connected);
    world.stop().await;
    (seen, page)
}

/// Logs on, subscribes to everything, trades, and waits for a heartbeat on each stream.
async fn observe(
    world: &World,
    key: &SigningKey,
    capability: CapabilityId,
    rfq: RfqId,
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
        rfq,
        offer: Offer::new(Micros::new(2_000_000), TimestampNs::MAX),
        signature: None,
    };
    let commands = [
        Command::PlaceQuote(place.clone()),
        Command::PlaceQuote(PlaceQuote { client_id: ClientId::from_parts(now(), 2), ..place }),
        Command::SetStandingQuote(standing(capability, 1, 3_000_000)),
    ];
    for command in &commands {
        let answer = raw.call(command).await;
        note(&mut seen, "session", raw.session_seq, &answer);
    }
    raw.session_seq += 1;
    let (number, query) = (raw.session_seq, Query { kind: QueryKind::Statement });
    raw.send_message(&ClientMessage::Query(query), number).await;
    note(&mut seen, "session", number, &raw.answer().await);
    for _ in 0..3 {
        let stream = raw.connection.accept_uni().await.unwrap();
        read_to_heartbeat(stream, &mut seen).await;
    }
    (seen, raw)
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

/// Blanks what differs in any two worlds: ids, which are as good as random, and times.
fn masked(text: &str) -> String {
    let hex_run = |c: char| c.is_ascii_hexdigit();
    let mut masked = String::new();
    for part in text.split_inclusive(|c| !hex_run(c)) {
        let run = part.trim_end_matches(|c| !hex_run(c));
        let blank = (run.len() == 16 || run.len() == 19) && run.chars().all(hex_run);
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
