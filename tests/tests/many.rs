//! Many quotes at once over QUIC, and a capability's book: what its stream goes on from.
#![allow(
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test may stop at anything unexpected"
)]

use gavel_client::{EventStream, StreamEvent, StreamItem};
use gavel_protocol::limits::MASS_QUOTE_LINES_MAX;
use gavel_protocol::*;
use gavel_tests::{Raw, World, next_private, next_public, rfq, standing};

/// Longer than any test takes.
const WINDOW_MS: u64 = 600_000;

/// Returns a full mass quote whose odd lines cannot be accepted, and what is wrong with each line.
fn half_invalid(capability: CapabilityId) -> (Vec<SetStandingQuote>, Vec<Option<RejectReason>>) {
    (1..=MASS_QUOTE_LINES_MAX as u64)
        .map(|number| {
            let mut line = standing(capability, number, 10_000_000);
            let wrong = match number % 8 {
                1 => {
                    line.price = Micros::ZERO;
                    Some(RejectReason::InvalidAmount)
                }
                3 => {
                    line.revision = 1;
                    Some(RejectReason::StaleRevision)
                }
                5 => {
                    line.terms = Digest::new([99; 32]);
                    Some(RejectReason::TermsNotListed)
                }
                7 => {
                    line.capability = CapabilityId::new(1);
                    Some(RejectReason::UnknownCapability)
                }
                _ => None,
            };
            (line, wrong)
        })
        .unzip()
}

#[tokio::test]
async fn each_line_of_a_mass_quote_is_answered() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let provider = world.trader().await;
        let (lines, expected) = half_invalid(capability);
        assert_eq!(expected.iter().filter(|wrong| wrong.is_some()).count(), lines.len() / 2);
        let results = provider.client.mass_quote(lines.clone()).await.unwrap();
        assert_eq!(results, expected);
        let statement = provider.client.statement().await.unwrap();
        assert_eq!(statement.standing.len(), 1);
        assert_eq!(statement.standing[0].revision, 1_000);

        // The same again: what stands is repeated, what came before it is stale.
        let results = provider.client.mass_quote(lines).await.unwrap();
        assert_eq!(results.last(), Some(&None));
        assert_eq!(results[1], Some(RejectReason::StaleRevision));
        world.stop().await;
    }
}

#[tokio::test]
async fn the_parts_of_a_mass_quotes_answer_cover_it_without_gap() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let (key, _) = world.enrol().await;
        let mut raw = Raw::log_on(world.address().0, codec, &key).await;
        let (lines, expected) = half_invalid(capability);
        let mut answer = raw.call(&Command::MassQuote(MassQuote { lines })).await;
        let mut results = vec![None; expected.len()];
        let mut answered = 0;
        loop {
            let ServerMessage::MassQuoteAnswer(part) = answer else { panic!("{answer:?}") };
            let first = part.first_line as usize;
            results[first..first + part.results.len()].copy_from_slice(&part.results);
            answered += part.results.len();
            assert_eq!(part.last, first + part.results.len() == expected.len());
            if answered == expected.len() {
                break;
            }
            answer = raw.answer().await;
        }
        assert_eq!(results, expected);
        world.stop().await;
    }
}

#[tokio::test]
async fn a_mass_quote_of_no_lines_or_too_many_is_rejected_whole() {
    let mut world = World::start(Codec::Rkyv).await;
    let capability = world.capability("ocr").await;
    let provider = world.trader().await;
    let line = standing(capability, 1, 1_000_000);
    for lines in [Vec::new(), vec![line; MASS_QUOTE_LINES_MAX + 1]] {
        let refused = provider.client.mass_quote(lines).await.unwrap_err();
        assert_eq!(refused.reason(), Some(RejectReason::InvalidQuantity));
    }
    world.stop().await;
}

#[tokio::test]
async fn a_mass_cancel_takes_the_quotes_of_its_kind() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let mut capabilities = Vec::new();
        for name in ["ocr", "translation", "speech"] {
            capabilities.push(world.capability(name).await);
        }
        let (buyer, mut provider) = (world.trader().await, world.trader().await);
        let topic = Topic::Capability(capabilities[0]);
        let mut feed = buyer.client.subscribe(topic, None).await.unwrap();
        for capability in &capabilities {
            let quote = standing(*capability, 1, 60_000_000);
            provider.client.set_standing_quote(quote).await.unwrap();
        }
        let opened = buyer.client.open_rfq(rfq(capabilities[0], WINDOW_MS)).await.unwrap();
        let offer = Offer::new(Micros::new(30_000_000), TimestampNs::MAX);
        provider.client.place_quote(opened.rfq, offer).await.unwrap();

        provider.client.mass_cancel(QuoteKind::Standing).await.unwrap();
        let ended = next_public!(&mut feed, StandingQuoteEnded);
        assert_eq!((ended.provider, ended.cause), (provider.id, CancelCause::MassCancel));
        for _ in &capabilities {
            next_private!(&mut provider.events, StandingQuoteCanceled);
        }
        let statement = provider.client.statement().await.unwrap();
        assert_eq!((statement.standing.len(), statement.quotes.len()), (0, 1));

        provider.client.mass_cancel(QuoteKind::All).await.unwrap();
        let canceled = next_private!(&mut provider.events, QuoteCanceled);
        assert_eq!((canceled.rfq, canceled.cause), (opened.rfq, CancelCause::MassCancel));
        assert!(provider.client.statement().await.unwrap().quotes.is_empty());
        world.stop().await;
    }
}

#[tokio::test]
async fn a_book_and_what_its_stream_says_afterwards_are_the_later_book() {
    for codec in Codec::ALL {
        let mut world = World::start(codec).await;
        let capability = world.capability("ocr").await;
        let buyer = world.trader().await;
        let providers = [world.trader().await, world.trader().await, world.trader().await];
        for (number, provider) in (0..).zip(&providers) {
            let quote = standing(capability, 1, 30_000_000 + number);
            provider.client.set_standing_quote(quote).await.unwrap();
        }
        let first_rfq = buyer.client.open_rfq(rfq(capability, WINDOW_MS)).await.unwrap();
        let mut book = buyer.client.book(capability).await.unwrap();
        assert_eq!((book.standing_total, book.rfqs_total), (3, 1));

        let [first, second, third] = &providers;
        first.client.set_standing_quote(standing(capability, 2, 29_000_000)).await.unwrap();
        second.client.cancel_standing_quote(capability, 2).await.unwrap();
        buyer.client.cancel_rfq(first_rfq.rfq).await.unwrap();
        buyer.client.open_rfq(rfq(capability, WINDOW_MS)).await.unwrap();
        // Awarded at once: takes a unit of the best.
        buyer.client.open_rfq(rfq(capability, 0)).await.unwrap();
        let band = Some(PriceBand { low: Micros::new(1), high: Micros::new(90_000_000) });
        world.operator().set_price_band(capability, band).await.unwrap();
        third.client.set_standing_quote(standing(capability, 2, 28_000_000)).await.unwrap();
        world.operator().halt(Some(capability)).await.unwrap();

        let later = buyer.client.book(capability).await.unwrap();
        let topic = Topic::Capability(capability);
        let from = book.next.stream_seq;
        let mut deltas = buyer.client.subscribe(topic, Some(from)).await.unwrap();
        while book.next.stream_seq < later.next.stream_seq {
            apply_next(&mut book, &mut deltas).await;
        }
        assert!(later.halted && later.band == band);
        assert_eq!((later.standing.len(), later.rfqs.len()), (2, 1));
        // The lists come in an order of their own; what is in them is what counts here.
        assert_eq!(sorted(book), sorted(later));
        world.stop().await;
    }
}

/// Applies the next event of a capability's stream to its book.
async fn apply_next(book: &mut Book, deltas: &mut EventStream) {
    let item = deltas.next().await.unwrap().unwrap();
    let StreamItem::Event(number, StreamEvent::Public(event)) = item else { panic!("{item:?}") };
    assert_eq!(number, book.next.stream_seq);
    book.next.stream_seq += 1;
    match event {
        PublicEvent::RfqAnnounced(announced) => book.rfqs.push(*announced),
        PublicEvent::RfqClosedPublicly(closed) => book.rfqs.retain(|rfq| rfq.rfq != closed.rfq),
        PublicEvent::StandingQuoteSet(set) => {
            book.standing.retain(|quote| quote.provider != set.provider);
            book.standing.push(set);
        }
        PublicEvent::StandingQuoteEnded(ended) => {
            book.standing.retain(|quote| quote.provider != ended.provider);
        }
        PublicEvent::PriceBandSet(set) => book.band = set.band,
        PublicEvent::Halted(_) => book.halted = true,
        PublicEvent::Reopened(_) => book.halted = false,
        PublicEvent::RfqTakenPublicly(_) => {}
        PublicEvent::CapabilityListed(_)
        | PublicEvent::ProblemPosed(_)
        | PublicEvent::ProblemBundles(_)
        | PublicEvent::Resumed(_)
        | PublicEvent::Upgraded(_) => {
            panic!("{event:?} does not belong to a capability's stream")
        }
    }
    book.standing_total = u32::try_from(book.standing.len()).unwrap();
    book.rfqs_total = u32::try_from(book.rfqs.len()).unwrap();
}

fn sorted(mut book: Book) -> Book {
    book.standing.sort_by_key(|quote| quote.provider);
    book.rfqs.sort_by_key(|rfq| rfq.rfq);
    book
}
