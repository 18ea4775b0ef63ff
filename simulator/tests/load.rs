//! The load against a real exchange in the same process: gateway, sequencer, embedded journal.
#![expect(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gavel_client::{SigningKey, Trust};
use gavel_gateway::{FanOut, Gateway, GatewayConfig, Identity};
use gavel_protocol::{Codec, Digest, Found, Micros, Outcome, PublicKey, Settings};
use gavel_sequencer::journal::SqliteJournal;
use gavel_sequencer::{Audit, Inbox, Layout, Sequencer, SequencerConfig};
use gavel_simulator::load::{AckSink, Load, LoadConfig, LoadError, Progress, Report, Sinks};
use object_store::memory::InMemory;

fn operator_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

/// An exchange whose journal and certificate lie in a folder.
struct Exchange {
    sequencer: Sequencer,
    gateway: Gateway,
}

impl Exchange {
    async fn start(folder: &Path, quic_addr: SocketAddr, blobs: &Arc<InMemory>) -> Self {
        let found = Found {
            name: "test".parse().unwrap(),
            id_key: Digest::new([1; 32]),
            operator_key: PublicKey::new(operator_key().verifying_key().to_bytes()),
            settings: Settings::fee(10_000),
        };
        let fan_out = FanOut::new();
        let journal = SqliteJournal::open(folder).await.unwrap();
        let config = SequencerConfig {
            layout: Layout::Thread,
            found,
            alive: None,
            snapshots: None,
            quarantine: None,
        };
        let sequencer =
            Sequencer::start(config, journal, Inbox::new(), fan_out.clone()).await.unwrap();
        while fan_out.exchange().is_none() {
            tokio::task::yield_now().await;
        }
        let identity = Identity::load_or_make(folder).unwrap();
        let config = GatewayConfig { quic_addr, ..GatewayConfig::new(identity) };
        let inbox = sequencer.inbox().clone();
        let gateway = Gateway::start(config, inbox, fan_out, blobs.clone()).await.unwrap();
        Self { sequencer, gateway }
    }

    /// Starts on any port.
    async fn start_anywhere(folder: &Path) -> Self {
        Self::start(folder, ([127, 0, 0, 1], 0).into(), &Arc::default()).await
    }

    fn load(&self) -> LoadConfig {
        let trust = Trust::Fingerprint(self.gateway.fingerprint().parse().unwrap());
        LoadConfig {
            buyers: 3,
            providers: 8,
            capabilities: 2,
            ..LoadConfig::new(self.gateway.quic_addr(), trust, operator_key())
        }
    }

    async fn stop(self) -> Audit {
        self.gateway.shutdown().await;
        Audit::of(&self.sequencer.stop().await.unwrap())
    }
}

async fn report_of(config: LoadConfig, acks: &AckSink) -> Report {
    let mut load = Load::start(config, Sinks { acks: Some(acks.clone()) }).await.unwrap();
    load.ended().await;
    load.stop().await
}

/// Asserts that nothing was rejected but for `reasons` and what a close rejects that comes while a
/// quote is under way: on a busy machine that happens.
fn assert_rejected_only(totals: &Progress, reasons: &[&str]) {
    let expected =
        |reason: &&str| ["TooLate", "UnknownQuote"].contains(reason) || reasons.contains(reason);
    assert!(totals.rejected.keys().all(expected), "{totals:?}");
}

/// Waits until so many commands of a template have been acknowledged from now on.
async fn wait_for(acks: &AckSink, template: &str, count: usize) {
    acks.drain_collected();
    let mut come = 0;
    while come < count {
        tokio::task::yield_now().await;
        come += acks.drain_collected().iter().filter(|ack| ack.template == template).count();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_trades_settles_and_ends_by_itself() {
    for codec in Codec::ALL {
        let folder = tempfile::tempdir().unwrap();
        let exchange = Exchange::start_anywhere(folder.path()).await;
        let duration = Some(Duration::from_secs(1));
        let config = LoadConfig { codec, duration, blobs: true, ..exchange.load() };
        let acks = AckSink::memory();
        let Report { totals, conditions } = report_of(config, &acks).await;

        assert_rejected_only(&totals, &[]);
        assert!(totals.rfqs > 0 && totals.quotes > totals.rfqs, "{totals}");
        assert!(totals.awards > 0 && totals.contracts_settled == totals.awards, "{totals}");
        assert!(totals.blobs_checked > 0, "{totals:?}");
        let went_wrong = [
            totals.contracts_expired,
            totals.reconnects,
            totals.resyncs,
            totals.unanswered,
            totals.blobs_failed,
        ];
        assert_eq!(went_wrong, [0; 5], "{totals:?}");
        let latencies = totals.latency_ns;
        assert_eq!(latencies.rfq_ack.count, totals.rfqs);
        assert!((1..totals.rfqs).contains(&latencies.window0_award.count));
        assert!(latencies.quote_ack.count > 0);
        assert_eq!(conditions.buyers, 3);

        let acks = acks.drain_collected();
        assert_eq!(acks.len() as u64, totals.acknowledged);
        let opened = acks.iter().filter(|ack| matches!(ack.outcome, Outcome::Rfq(_)));
        assert_eq!(opened.count() as u64, totals.rfqs);
        assert_eq!(exchange.stop().await.trial_balance, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_load_finds_its_place_beside_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start_anywhere(folder.path()).await;
    let acks = AckSink::memory();
    let duration = Some(Duration::from_millis(300));
    for _ in 0..2 {
        let config = LoadConfig { salt: Some(7), duration, ..exchange.load() };
        let totals = report_of(config, &acks).await.totals;
        assert!(totals.contracts_settled > 0, "{totals}");
        assert_rejected_only(&totals, &["KeyTaken"]);
    }
    let listed = acks.drain_collected();
    let listed = listed.iter().filter(|ack| matches!(ack.outcome, Outcome::Capability(_)));
    assert_eq!(listed.count(), 2, "what is listed is used again");
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_survives_a_restart_of_the_exchange() {
    let (folder, blobs) = (tempfile::tempdir().unwrap(), Arc::default());
    let exchange = Exchange::start(folder.path(), ([127, 0, 0, 1], 0).into(), &blobs).await;
    let address = exchange.gateway.quic_addr();
    let acks = AckSink::memory();
    let load = Load::start(exchange.load(), Sinks { acks: Some(acks.clone()) }).await.unwrap();
    wait_for(&acks, "AcceptDelivery", 1).await;
    exchange.stop().await;
    let exchange = Exchange::start(folder.path(), address, &blobs).await;
    wait_for(&acks, "AcceptDelivery", 20).await;
    let totals = load.stop().await.totals;
    assert!(totals.reconnects >= 11, "{totals}");
    assert_eq!(totals.contracts_expired, 0);
    assert_eq!(exchange.stop().await.trial_balance, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_buyer_that_has_spent_its_money_is_topped_up() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start_anywhere(folder.path()).await;
    // Less than most RFQs hold.
    let deposit = Micros::new(30_000_000);
    let config = LoadConfig { deposit, ..exchange.load() };
    let acks = AckSink::memory();
    let load = Load::start(config, Sinks { acks: Some(acks.clone()) }).await.unwrap();
    wait_for(&acks, "Deposit", 3).await;
    wait_for(&acks, "AcceptDelivery", 10).await;
    let totals = load.stop().await.totals;
    assert_rejected_only(&totals, &["InsufficientFunds"]);
    exchange.stop().await;
}

#[tokio::test]
async fn a_load_without_the_operators_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let exchange = Exchange::start_anywhere(folder.path()).await;
    let config = LoadConfig { operator_key: SigningKey::from_bytes(&[8; 32]), ..exchange.load() };
    let error = Load::start(config, Sinks::default()).await.unwrap_err();
    assert!(matches!(error, LoadError::LoggingOn { who: "the operator", .. }), "{error}");
    exchange.stop().await;
}
