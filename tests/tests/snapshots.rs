//! Snapshots of the whole, core and edge: whoever continues from one goes on as if nothing had been cut.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use std::fs;
use std::path::Path;

use gavel_exchange::Exchange;
use gavel_gateway::FanOut;
use gavel_protocol::{Codec, PrivateEvent, Topic};
use gavel_sequencer::journal::{Head, SqliteJournal};
use gavel_sequencer::{Audit, Batch, Consumer as _, Saved, Snapshots, recover, replay};
use gavel_simulator::scenario;
use gavel_tests::{World, next_private, private, rfq};

/// Each scenario's commands pass through an exchange and an edge; beside it goes an edge that is saved
/// and restored after every one of them.
#[test]
fn an_edge_restored_after_each_command_of_any_scenario_stays_the_same() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut commands = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "scenario") {
            continue;
        }
        let scenario = scenario::run(&fs::read_to_string(&path).unwrap()).unwrap();
        let (mut exchange, kept, mut cut) = (Exchange::new(), FanOut::new(), FanOut::new());
        for stamped in scenario.journal {
            let mut batch = Batch::default();
            exchange.apply(&stamped, &mut batch.out());
            batch.end_step(stamped, None);
            kept.published(&batch);
            cut.published(&batch);
            let saved = cut.snapshot();
            assert_eq!(saved, kept.snapshot(), "{}", path.display());
            cut = FanOut::new();
            cut.restore(&saved).unwrap();
            commands += 1;
        }
    }
    assert!(commands > 1_000, "only {commands} commands");
}

#[tokio::test]
async fn a_client_that_comes_back_gets_exactly_the_private_events_it_missed() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let mut buyer = world.trader().await;
        for _ in 0..3 {
            buyer.client.open_rfq(rfq(capability, 0)).await.unwrap();
        }
        // Each ended at once, unanswered.
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(private(&mut buyer.events).await);
        }
        assert!(seen.iter().all(|event| matches!(event, PrivateEvent::RfqEnded(_))));
        let world = world.restart().await;
        let client = world.connect(&buyer.key).await;
        let mut events = client.subscribe(Topic::Private, Some(2)).await.unwrap();
        for missed in &seen[1..] {
            assert_eq!(private(&mut events).await, *missed);
        }
        // Then it goes on.
        client.open_rfq(rfq(capability, 0)).await.unwrap();
        let ended = next_private!(&mut events, RfqEnded);
        assert!(seen.iter().all(|event| *event != PrivateEvent::RfqEnded(ended)));
        drop(client);

        let (exchange, folder) = world.close().await;
        let audit = Audit::of(&exchange);
        assert_eq!(audit.trial_balance, 0);
        check_from_everywhere(folder.path(), audit).await;
    }
}

/// Checks that the journal alone and each snapshot come to the same state, inside and at the edge.
async fn check_from_everywhere(folder: &Path, audit: Audit) {
    let mut journal = SqliteJournal::open(&folder.join("journal")).await.unwrap();
    let snapshots = Snapshots::new(&folder.join("snapshots"));
    let whole = FanOut::new();
    let replayed = replay(&mut journal, |batch| whole.published(batch)).await.unwrap();
    assert_eq!(Audit::of(&replayed.exchange), audit);
    let list = snapshots.list().unwrap();
    assert_eq!(list.len(), 2, "the first one and the last one");
    for seq in list.into_iter().rev() {
        let edge = FanOut::new();
        let recovered = recover(&mut journal, Head::EMPTY, Some(&snapshots), &*edge).await.unwrap();
        assert_eq!(Audit::of(&recovered.exchange), audit);
        assert!(recovered.records < replayed.records);
        assert_eq!(edge.snapshot(), whole.snapshot());
        let Saved { head, .. } = snapshots.read(seq).unwrap();
        assert_eq!(head.seq, seq);
        fs::remove_file(snapshots.path(seq)).unwrap();
    }
}
