//! Every format over QUIC, in both codecs, from the opening to the paid contract.
//!
//! Nobody waits for a clock: an RFQ that invites closes once everybody has answered.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use gavel_client::NewRfq;
use gavel_protocol::*;
use gavel_tests::{Trader, World, next_private, next_public, public, rfq};

/// Longer than any test takes.
const WINDOW_MS: u64 = 600_000;

/// An exchange with a buyer and three providers.
struct Round {
    world: World,
    capability: CapabilityId,
    buyer: Trader,
    providers: [Trader; 3],
}

impl Round {
    async fn start(codec: Codec) -> Self {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let buyer = world.trader().await;
        let providers = [world.trader().await, world.trader().await, world.trader().await];
        Self { world, capability, buyer, providers }
    }

    /// Opens an RFQ for the providers alone, which closes as soon as all of them have answered, and
    /// returns what they are told of it.
    async fn open(&mut self, change: impl FnOnce(&mut RfqTerms)) -> RfqAnnounced {
        let mut terms = rfq(self.capability, WINDOW_MS);
        terms.close_early = true;
        change(&mut terms);
        let invited = self.providers.iter().map(|provider| provider.id).collect();
        let dutch = None;
        self.buyer.client.open_rfq(NewRfq { terms, invited, dutch, bundles: None }).await.unwrap();
        let mut invited = None;
        for provider in &mut self.providers {
            invited = Some(*next_private!(&mut provider.events, Invited));
        }
        invited.unwrap()
    }

    async fn quote(&self, number: usize, announced: &RfqAnnounced, offer: Offer) {
        self.providers[number].client.place_quote(announced, offer).await.unwrap();
    }

    /// Does the work of a contract, and returns what its provider was paid.
    async fn settle(&mut self, number: usize, contract: ContractId) -> Micros {
        let provider = &mut self.providers[number];
        let work = provider.client.put_blob(b"the text").await.unwrap();
        provider.client.deliver(contract, work).await.unwrap();
        let delivered = next_private!(&mut self.buyer.events, Delivered);
        assert_eq!(delivered.contract, contract);
        self.buyer.client.accept_delivery(contract).await.unwrap();
        let settled = next_private!(&mut provider.events, ContractSettled);
        assert_eq!(settled.contract, contract);
        settled.released
    }
}

fn offer(price: i64) -> Offer {
    Offer::new(Micros::new(price), TimestampNs::MAX)
}

#[tokio::test]
async fn second_price_pays_what_the_cover_asked() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let announced = round.open(|terms| terms.format = Format::SecondPrice).await;
        for (number, price) in [30_000_000, 32_000_000, 40_000_000].into_iter().enumerate() {
            round.quote(number, &announced, offer(price)).await;
        }
        let awarded = next_private!(&mut round.buyer.events, Awarded);
        assert_eq!(awarded.parties.provider, round.providers[0].id);
        assert_eq!(awarded.breakdown.price, Micros::new(30_000_000));
        assert_eq!(awarded.price, Micros::new(32_000_000));
        let lost = next_private!(&mut round.providers[1].events, QuoteLost);
        assert_eq!((lost.reason, lost.rank), (LossReason::Cover, Some(2)));
        assert_eq!(round.settle(0, awarded.contract).await, Micros::new(31_680_000));
        round.world.stop().await;
    }
}

#[tokio::test]
async fn units_are_split_and_each_contract_is_paid() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let announced = round.open(|terms| (terms.quantity, terms.split) = (5, true)).await;
        for (number, (price, quantity)) in
            [(10_000_000, 2), (20_000_000, 2), (30_000_000, 4)].into_iter().enumerate()
        {
            round.quote(number, &announced, Offer { quantity, ..offer(price) }).await;
        }
        let mut contracts = Vec::new();
        for (number, units) in [(0, 2), (1, 2), (2, 1)] {
            let awarded = next_private!(&mut round.buyer.events, Awarded);
            assert_eq!(awarded.parties.provider, round.providers[number].id);
            assert_eq!(awarded.quantity, units);
            contracts.push((number, awarded.contract));
        }
        let ended = next_private!(&mut round.buyer.events, RfqEnded);
        assert_eq!((ended.awarded, ended.clearing_price), (5, Some(Micros::new(30_000_000))));
        let mut paid = 0;
        for (number, contract) in contracts {
            paid += round.settle(number, contract).await.raw();
        }
        // 2 × 10 + 2 × 20 + 1 × 30, less one percent.
        assert_eq!(paid, 89_100_000);
        round.world.stop().await;
    }
}

#[tokio::test]
async fn a_dutch_price_is_taken_and_its_contract_is_paid() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let taker = &mut round.providers[0];
        let topic = Topic::Capability(round.capability);
        let mut feed = taker.client.subscribe(topic, None).await.unwrap();
        let mut terms = rfq(round.capability, WINDOW_MS);
        (terms.format, terms.quantity, terms.split) = (Format::Dutch, 3, true);
        let point = |after, price| CurvePoint {
            after: DurationNs::from_millis(after),
            price: Micros::new(price),
        };
        let curve = vec![point(0, 10_000_000), point(WINDOW_MS, 50_000_000)];
        let dutch = Some(DutchTerms { curve: curve.clone(), exclusive: None });
        let opening = NewRfq { terms, invited: Vec::new(), dutch, bundles: None };
        round.buyer.client.open_rfq(opening).await.unwrap();
        let announced = next_public!(&mut feed, RfqAnnounced);
        assert_eq!(announced.dutch.as_ref().map(|dutch| &dutch.curve), Some(&curve));

        let greedy = taker.client.take_rfq(&*announced, 1, Micros::new(50_000_000)).await;
        assert_eq!(greedy.unwrap_err().reason(), Some(RejectReason::BelowLimit));
        let floor = Micros::new(10_000_000);
        let taken = taker.client.take_rfq(&*announced, 2, floor).await.unwrap();
        assert_eq!((taken.quantity, taken.remaining), (2, 1));
        assert!(taken.price >= floor && taken.price < Micros::new(50_000_000));
        let told = next_public!(&mut feed, RfqTakenPublicly);
        assert_eq!((told.rfq, told.price, told.remaining), (taken.rfq, taken.price, 1));
        let awarded = next_private!(&mut round.buyer.events, Awarded);
        assert_eq!((awarded.contract, awarded.quote), (taken.contract, QuoteRef::Take));
        let fee = awarded.total.fee_rounded_down(10_000).unwrap();
        let paid = round.settle(0, taken.contract).await;
        assert_eq!(paid, awarded.total.minus(fee).unwrap());
        let rest = round.providers[1].client.take_rfq(&*announced, 9, floor).await.unwrap();
        assert_eq!((rest.quantity, rest.remaining), (1, 0));
        let closed = next_public!(&mut feed, RfqClosedPublicly);
        assert_eq!((closed.result, closed.awarded), (RfqResult::Awarded, 3));
        round.world.stop().await;
    }
}

#[tokio::test]
async fn a_buyer_picks_from_its_book() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let choice = |terms: &mut RfqTerms| {
            (terms.format, terms.pick_within) =
                (Format::BuyersChoice, DurationNs::from_millis(WINDOW_MS));
            terms.scoring.latency_per_ms = Micros::new(10_000);
        };
        let announced = round.open(choice).await;
        round.quote(0, &announced, Offer { latency_ms: 900, ..offer(30_000_000) }).await;
        round.quote(1, &announced, offer(33_000_000)).await;
        round.quote(2, &announced, offer(51_000_000)).await;
        let opened = next_private!(&mut round.buyer.events, BookOpened);
        assert_eq!((opened.shown, opened.quotes), (3, 3));
        let mut book = Vec::new();
        for _ in 0..opened.shown {
            book.push(next_private!(&mut round.buyer.events, QuoteShown));
        }
        let shown: Vec<_> = book.iter().map(|s| (s.rank, s.score.raw(), s.barred)).collect();
        let above = Some(LossReason::AboveReserve);
        assert_eq!(shown, [(1, 33_000_000, None), (2, 39_000_000, None), (3, 51_000_000, above)]);

        let quote = |rank: usize| match book[rank - 1].quote {
            QuoteRef::Sealed(quote) => quote,
            other => panic!("{other:?} is not sealed"),
        };
        let id = announced.rfq;
        let stranger = round.providers[0].client.pick_quote(id, quote(2)).await.unwrap_err();
        assert_eq!(stranger.reason(), Some(RejectReason::UnknownRfq));
        let barred = round.buyer.client.pick_quote(id, quote(3)).await.unwrap_err();
        assert_eq!(barred.reason(), Some(RejectReason::NotEligible));
        round.buyer.client.pick_quote(id, quote(2)).await.unwrap();
        let awarded = next_private!(&mut round.providers[0].events, Awarded);
        assert_eq!(awarded.price, Micros::new(30_000_000));
        let lost = next_private!(&mut round.providers[1].events, QuoteLost);
        assert_eq!((lost.reason, lost.rank), (LossReason::DoneAway, Some(1)));
        assert_eq!(round.settle(0, awarded.contract).await, Micros::new(29_700_000));
        round.world.stop().await;
    }
}

#[tokio::test]
async fn a_directed_rfq_is_declined_by_some_and_closes_early() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let stranger = round.world.trader().await;
        let announced = round.open(|_| ()).await;
        let turned_away = stranger.client.place_quote(&announced, offer(1)).await.unwrap_err();
        assert_eq!(turned_away.reason(), Some(RejectReason::NotInvited));
        let hidden = stranger.client.fetch_blob(BlobSource::RfqSpec(announced.rfq)).await;
        assert_eq!(hidden.unwrap_err().reason(), Some(RejectReason::UnknownBlob));

        let reason = NoQuoteReason::NoCapacity;
        round.providers[1].client.decline_rfq(announced.rfq, reason).await.unwrap();
        round.providers[2].client.decline_rfq(announced.rfq, reason).await.unwrap();
        round.quote(0, &announced, offer(44_000_000)).await;
        let awarded = next_private!(&mut round.buyer.events, Awarded);
        let ended = next_private!(&mut round.buyer.events, RfqEnded);
        assert_eq!((ended.quotes, ended.result), (1, RfqResult::Awarded));
        for number in [1, 2] {
            let declined = next_private!(&mut round.buyer.events, Declined);
            assert_eq!((declined.provider, declined.reason), (round.providers[number].id, reason));
        }
        let told = next_private!(&mut round.providers[1].events, InvitedRfqEnded);
        assert_eq!(told.clearing_price, Some(Micros::new(44_000_000)));
        assert_eq!(round.settle(0, awarded.contract).await, Micros::new(43_560_000));
        round.world.stop().await;
    }
}

#[tokio::test]
async fn a_take_over_is_seen_by_all_parties() {
    for codec in Codec::ALL {
        let mut round = Round::start(codec).await;
        let soon = |terms: &mut RfqTerms| {
            // Nobody can deliver in so little time, so the winner fails.
            terms.delivery_within = DurationNs::from_nanos(1);
            terms.bond_bps = 1_000;
        };
        let announced = round.open(soon).await;
        let standby_until = Some(TimestampNs::MAX);
        round.quote(0, &announced, offer(30_000_000)).await;
        round.quote(1, &announced, Offer { standby_until, ..offer(32_000_000) }).await;
        round.quote(2, &announced, offer(33_000_000)).await;

        let [winner, runner_up, third] = &mut round.providers;
        let first = next_private!(&mut winner.events, Awarded);
        assert_eq!((first.takes_over, first.bond), (None, Micros::new(3_000_000)));
        let standby = next_private!(&mut runner_up.events, Standby);
        assert_eq!((standby.rfq, standby.rank), (announced.rfq, 2));
        let lost = next_private!(&mut third.events, QuoteLost);
        assert_eq!(lost.reason, LossReason::Outscored);

        for events in [&mut winner.events, &mut runner_up.events, &mut round.buyer.events] {
            let taken = next_private!(events, ContractTakenOver);
            assert_eq!((taken.contract, taken.successor), (first.contract, runner_up.id));
            assert_eq!(taken.compensation, Micros::new(3_000_000));
        }
        for events in [&mut runner_up.events, &mut round.buyer.events] {
            let second = next_private!(events, Awarded);
            assert_eq!(second.takes_over, Some(first.contract));
            assert_eq!(second.price, Micros::new(32_000_000));
        }
        let changed = next_private!(&mut winner.events, ReputationChanged);
        assert_eq!((changed.from_bps, changed.to_bps), (5_000, 3_750));
        let suspended = next_private!(&mut winner.events, ProviderSuspended);
        assert_eq!(suspended.fades, 1);
        round.world.stop().await;
    }
}

#[tokio::test]
async fn a_halted_capability_is_announced_on_its_stream_alone() {
    for codec in Codec::ALL {
        let round = Round::start(codec).await;
        let other = round.world.capability("translation").await;
        let client = &round.buyer.client;
        let halted = Topic::Capability(round.capability);
        let mut of_halted = client.subscribe(halted, None).await.unwrap();
        let mut of_other = client.subscribe(Topic::Capability(other), None).await.unwrap();
        let mut of_exchange = client.subscribe(Topic::Exchange, None).await.unwrap();
        let operator = round.world.operator();
        let reach = Some(round.capability);

        operator.halt(reach).await.unwrap();
        let event = public(&mut of_halted).await;
        assert_eq!(event, PublicEvent::Halted(Halted { capability: reach }));
        let refused = client.open_rfq(rfq(round.capability, WINDOW_MS)).await.unwrap_err();
        assert_eq!(refused.reason(), Some(RejectReason::Halted));
        assert!(refused.is_transient());
        client.open_rfq(rfq(other, WINDOW_MS)).await.unwrap();
        assert!(matches!(public(&mut of_other).await, PublicEvent::RfqAnnounced(_)));
        operator.reopen(reach).await.unwrap();
        let event = public(&mut of_halted).await;
        assert_eq!(event, PublicEvent::Reopened(Reopened { capability: reach }));
        client.open_rfq(rfq(round.capability, WINDOW_MS)).await.unwrap();

        // The first thing that its stream says concerns the whole exchange.
        operator.halt(None).await.unwrap();
        let event = public(&mut of_exchange).await;
        assert_eq!(event, PublicEvent::Halted(Halted { capability: None }));
        round.world.stop().await;
    }
}
