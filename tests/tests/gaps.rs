//! A subscriber who was away for longer than memory goes back gets what it missed from the projection.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use std::path::Path;
use std::time::Duration;

use gavel_client::{Client, EventStream, StreamItem};
use gavel_protocol::{CapabilityId, Codec, Command, OpenRfq, Settings, Topic};
use gavel_sequencer::projection::ProjectionPlace;
use gavel_tests::postgres::Database;
use gavel_tests::{World, rfq};

/// RFQs that a buyer opens, of each of which it is told the end: more than memory keeps of a stream.
const MANY: usize = 1_100;

#[tokio::test]
async fn what_was_missed_comes_from_a_file_and_goes_on_live() {
    for codec in Codec::ALL {
        let folder = tempfile::tempdir().unwrap();
        fills_gaps(codec, in_file(folder.path())).await;
    }
}

#[tokio::test]
async fn what_was_missed_comes_from_a_server_and_goes_on_live() {
    for codec in Codec::ALL {
        let database = Database::shared();
        fills_gaps(codec, ProjectionPlace::Postgres(database.url().parse().unwrap())).await;
    }
}

#[tokio::test]
async fn without_a_projection_what_memory_has_not_must_be_asked_for() {
    let mut world = World::start(Codec::Json).await;
    let capability = world.capability("ocr").await;
    let (buyer, _) = world.agent().await;
    open(&buyer, capability, MANY).await;
    let mut events = buyer.subscribe(Topic::Private, Some(1)).await.unwrap();
    assert!(matches!(next(&mut events).await, StreamItem::Resync { .. }));
    drop((events, buyer));
    world.stop().await;
}

#[tokio::test]
async fn nothing_comes_from_a_projection_of_another_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let place = in_file(folder.path());
    let mut first = projected(Codec::Rkyv, &place).await;
    let capability = first.capability("ocr").await;
    let (buyer, _) = first.agent().await;
    open(&buyer, capability, MANY).await;
    assert!(from_the_start(&buyer, Topic::Private).await.0.is_some());
    drop(buyer);
    first.stop().await;

    // Its ids are others, its streams are called the same.
    let mut other = projected(Codec::Rkyv, &place).await;
    for _ in 0..MANY {
        other.operator().halt(None).await.unwrap();
        other.operator().reopen(None).await.unwrap();
    }
    let (agent, _) = other.agent().await;
    let mut events = agent.subscribe(Topic::Exchange, Some(1)).await.unwrap();
    assert!(matches!(next(&mut events).await, StreamItem::Resync { .. }));
    drop((events, agent));
    other.stop().await;
}

/// Lets a subscriber be there from the beginning, and another come late.
async fn fills_gaps(codec: Codec, place: ProjectionPlace) {
    let mut world = projected(codec, &place).await;
    let capability = world.capability("ocr").await;
    let topic = Topic::Capability(capability);
    let (watcher, _) = world.agent().await;
    let mut live = watcher.subscribe(topic, Some(1)).await.unwrap();
    let mut buyer = world.trader().await;
    open(&buyer.client, capability, MANY).await;
    // Each is announced and closed.
    let seen = collect(None, &mut live, 2 * MANY).await;
    let own = collect(None, &mut buyer.events, MANY).await;
    let key = buyer.key.clone();
    drop(buyer);

    // While what is missing comes, there is more.
    let late = world.connect(&key).await;
    let (first, mut again) = from_the_start(&late, topic).await;
    let (own_first, mut own_again) = from_the_start(&late, Topic::Private).await;
    open(&late, capability, 10).await;
    let after = collect(None, &mut live, 20).await;
    assert!(collect(first, &mut again, seen.len()).await == seen, "the same events and numbers");
    assert!(collect(None, &mut again, 20).await == after, "and then those that came meanwhile");
    assert!(collect(own_first, &mut own_again, own.len()).await == own);
    drop((again, own_again, late));

    // Nor does a restart matter.
    drop((live, watcher));
    let world = world.restart().await;
    let late = world.connect(&key).await;
    let (own_first, mut own_again) = from_the_start(&late, Topic::Private).await;
    assert!(collect(own_first, &mut own_again, own.len()).await == own);
    // What is ahead of the stream is still no number of it.
    let mut ahead = late.subscribe(topic, Some(1_000_000)).await.unwrap();
    assert!(matches!(next(&mut ahead).await, StreamItem::Resync { .. }));
    drop((own_again, ahead, late));
    world.stop().await;
}

async fn projected(codec: Codec, place: &ProjectionPlace) -> World {
    World::start_projected(codec, Settings::fee(0), Some(place.clone())).await
}

fn in_file(folder: &Path) -> ProjectionPlace {
    ProjectionPlace::Sqlite(folder.join("projection.sqlite"))
}

/// Opens RFQs that nobody answers and that end at once.
async fn open(buyer: &Client, capability: CapabilityId, count: usize) {
    let mut answers = Vec::new();
    for _ in 0..count {
        let terms = OpenRfq::plain(buyer.next_client_id(), rfq(capability, 0));
        answers.push(buyer.send(Command::OpenRfq(Box::new(terms))).await.unwrap());
    }
    for answer in answers {
        answer.await.unwrap();
    }
}

/// Subscribes from the first event on, once that is projected. Returns it, and the rest.
async fn from_the_start(client: &Client, topic: Topic) -> (Option<StreamItem>, EventStream) {
    loop {
        let mut events = client.subscribe(topic, Some(1)).await.unwrap();
        let first = next(&mut events).await;
        if !matches!(first, StreamItem::Resync { .. }) {
            return (Some(first), events);
        }
        drop(events);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn next(events: &mut EventStream) -> StreamItem {
    events.next().await.unwrap().unwrap()
}

/// Returns so many events with their numbers, those that were taken before among them.
async fn collect(
    before: Option<StreamItem>,
    events: &mut EventStream,
    count: usize,
) -> Vec<StreamItem> {
    let mut items = Vec::from_iter(before);
    while items.len() < count {
        items.push(next(events).await);
    }
    items
}
