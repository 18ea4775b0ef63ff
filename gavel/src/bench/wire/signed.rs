//! Signed sealed quotes per second over the wire, beside the bare checks of as many signatures on
//! the same cores.

use std::collections::VecDeque;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use gavel_client::{Client, Pending, RfqRef};
use gavel_protocol::limits::WINDOW_MAX;
use gavel_protocol::{
    Command, Micros, Offer, OpenRfq, Outcome, PlaceQuote, QuoteKind, RfqTerms, TimestampNs,
};
use tokio::task::JoinSet;

use crate::bench::wire::market::{Market, PRICE, Quoter};
use crate::bench::wire::{CONNECTIONS, IN_FLIGHT};

/// RFQs that are quoted for at the most: a little less than an account may quote for at a time.
const RFQS_MAX: usize = 4_000;

/// How many more quotes are signed beforehand than bare checks would be done in the time.
const SPARE: f64 = 1.2;

/// Bytes of what is signed: about as many as a quote has.
const MESSAGE_BYTES: usize = 170;

/// Returns how many signatures all cores check in a second, and how many cores that is.
pub fn bare_checks(slice: Duration) -> anyhow::Result<(f64, usize)> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let (key, message) = (SigningKey::from_bytes(&[7; 32]), [7; MESSAGE_BYTES]);
    let signature = key.sign(&message);
    let begun = Instant::now();
    let checkers = (0..cores).map(|_| {
        let key = key.verifying_key();
        thread::spawn(move || check(&key, &message, &signature, begun + slice))
    });
    let checkers: Vec<_> = checkers.collect();
    let mut checks = 0;
    for checker in checkers {
        checks += checker.join().map_err(|_| anyhow::anyhow!("a checker panicked"))??;
    }
    Ok((checks as f64 / begun.elapsed().as_secs_f64(), cores))
}

fn check(
    key: &VerifyingKey,
    message: &[u8],
    signature: &Signature,
    end: Instant,
) -> anyhow::Result<u64> {
    let mut checks = 0;
    while Instant::now() < end {
        key.verify_strict(message, signature).context("a good signature was refused")?;
        checks += 1;
    }
    Ok(checks)
}

impl Market {
    /// Sends signed quotes for so long, or until so many as `bare` checks per second allow are used
    /// up. Returns how many were accepted per second. They are signed before, and canceled after.
    pub async fn signed_quotes(&mut self, bare: f64, slice: Duration) -> anyhow::Result<f64> {
        self.gather_crowd(CONNECTIONS).await?;
        let per_session = bare * slice.as_secs_f64() * SPARE / CONNECTIONS as f64;
        while self.signed_rfqs.len() < RFQS_MAX && (self.signed_rfqs.len() as f64) < per_session {
            let more = RFQS_MAX.min(self.signed_rfqs.len() + IN_FLIGHT) - self.signed_rfqs.len();
            let opened = open_signed(&self.buyer, self.rfq, more).await?;
            self.signed_rfqs.extend(opened);
        }
        let rfqs = &self.signed_rfqs;
        let prepared = self.crowd.drain(..).map(|quoter| (quotes(&quoter.client, rfqs), quoter));
        let prepared: Vec<_> = prepared.collect();
        let begun = Instant::now();
        let mut tasks = JoinSet::new();
        for (quotes, quoter) in prepared {
            tasks.spawn(quoter.place(quotes, begun + slice));
        }
        let mut accepted = 0;
        while let Some(task) = tasks.join_next().await {
            let (quoter, count) = task.context("a session panicked")??;
            self.crowd.push(quoter);
            accepted += count;
        }
        let rate = accepted as f64 / begun.elapsed().as_secs_f64();
        for quoter in &self.crowd {
            quoter.client.mass_cancel(QuoteKind::Sealed).await?;
        }
        Ok(rate)
    }
}

/// Opens RFQs that stay open, and returns what is needed to answer them.
async fn open_signed(buyer: &Client, rfq: RfqTerms, count: usize) -> anyhow::Result<Vec<RfqRef>> {
    let terms = RfqTerms { window: WINDOW_MAX, admit_standing: false, ..rfq };
    let mut opening = Vec::new();
    for _ in 0..count {
        let open = OpenRfq::plain(buyer.next_client_id(), terms);
        let mut command = Command::OpenRfq(Box::new(open));
        buyer.signer().sign(&mut command);
        let Command::OpenRfq(open) = &command else { continue };
        let digest = open.signature.as_ref().map(|signature| signature.digest);
        opening.push((digest, buyer.send(command).await?));
    }
    let mut opened = Vec::new();
    for (digest, pending) in opening {
        if let Outcome::Rfq(handle) = pending.await?.outcome {
            opened.push(RfqRef { rfq: handle.rfq, digest });
        }
    }
    Ok(opened)
}

/// Returns a signed quote for each RFQ.
fn quotes(provider: &Client, rfqs: &[RfqRef]) -> Vec<Command> {
    let offer = Offer::new(Micros::new(PRICE.raw() / 2), TimestampNs::MAX);
    let quote = |rfq: &RfqRef| {
        let (client_id, signature) = (provider.next_client_id(), rfq.unsigned());
        let place = PlaceQuote { client_id, rfq: rfq.rfq, offer, signature };
        let mut command = Command::PlaceQuote(place);
        provider.signer().sign(&mut command);
        command
    };
    rfqs.iter().map(quote).collect()
}

impl Quoter {
    /// Places quotes, so many in flight at a time, until `end` or until there are no more. Returns
    /// how many were accepted.
    async fn place(self, quotes: Vec<Command>, end: Instant) -> anyhow::Result<(Self, u64)> {
        let mut accepted = 0;
        let mut unanswered: VecDeque<Pending> = VecDeque::with_capacity(IN_FLIGHT);
        for command in quotes {
            if unanswered.len() == IN_FLIGHT
                && let Some(oldest) = unanswered.pop_front()
            {
                accepted += u64::from(is_accepted(oldest).await?);
            }
            if Instant::now() >= end {
                break;
            }
            unanswered.push_back(self.client.send(command).await?);
        }
        for late in unanswered {
            accepted += u64::from(is_accepted(late).await?);
        }
        Ok((self, accepted))
    }
}

/// Waits for the answer to a quote. Whatever found no room is not accepted, and nothing else may be
/// wrong with it.
async fn is_accepted(answer: Pending) -> anyhow::Result<bool> {
    match answer.await {
        Ok(_) => Ok(true),
        Err(error) if error.is_transient() => Ok(false),
        Err(error) => Err(error).context("a signed quote was not accepted"),
    }
}
