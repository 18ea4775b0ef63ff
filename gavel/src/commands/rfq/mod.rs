//! `gavel rfq`: a buyer's hand. A job spec goes in as a file, deliverables come out as files.

mod cleared;
mod deal;
mod opening;
mod picking;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use gavel_client::{Client, EventStream};
use gavel_protocol::{
    Awarded, BlobSource, BookOpened, ContractId, Delivered, PrivateEvent, RfqCleared, RfqEnded,
    RfqId, RfqResult, Topic,
};
use serde_json::{Value, json};

use crate::Exit;
use crate::args::RfqArgs;
use crate::commands::rfq::deal::{Deal, DealResult};
use crate::commands::rfq::picking::Picking;
use crate::commands::{block_on, next_private};
use crate::data_dir::DataDir;
use crate::output::Output;

/// Asks for quotes, and waits for the work.
pub fn run(args: &RfqArgs, output: &Output) -> anyhow::Result<Exit> {
    block_on(buy(args, output))
}

async fn buy(args: &RfqArgs, output: &Output) -> anyhow::Result<Exit> {
    let data = DataDir::new(&args.data);
    let client = data.connect(&args.agent).await?;
    let mut events = client.subscribe(Topic::Private, None).await?;
    let rfq = opening::new_rfq(&client, &data, args).await?;
    let opened = client.open_rfq(rfq).await.context("cannot open the RFQ")?;
    output.note(format!("{} is open", opened.rfq));
    let mut buyer = Buyer::new(client, args, output, opened.rfq);
    buyer.follow(&mut events).await?;
    buyer.client.close().await;
    let (text, mut summary, exit) = summary(opened.rfq, &buyer.deals);
    if let Some(cleared) = &buyer.cleared {
        summary["cleared"] = cleared::json(cleared);
    }
    output.summary(text, &summary);
    Ok(exit)
}

/// A buyer that waits for its work.
struct Buyer<'a> {
    client: Client,
    args: &'a RfqArgs,
    output: &'a Output,
    rfq: RfqId,
    ended: Option<RfqResult>,
    /// How it was cleared, if it is combinatorial.
    cleared: Option<RfqCleared>,
    picking: Picking,
    deals: Vec<Deal>,
    delivered: u32,
}

impl<'a> Buyer<'a> {
    fn new(client: Client, args: &'a RfqArgs, output: &'a Output, rfq: RfqId) -> Self {
        let picking = Picking::new(args.format.pick);
        let (ended, cleared, deals, delivered) = (None, None, Vec::new(), 0);
        Self { client, args, output, rfq, ended, cleared, picking, deals, delivered }
    }

    /// Follows the RFQ to the end of its last contract.
    async fn follow(&mut self, events: &mut EventStream) -> anyhow::Result<()> {
        while !self.is_over() {
            tokio::select! {
                event = next_private(events) => self.handle(event?).await?,
                quote = self.picking.picked() => {
                    self.client.pick_quote(self.rfq, quote).await.context("cannot pick")?;
                }
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.ended.is_some() && self.deals.iter().all(|deal| self.is_final(deal))
    }

    /// Returns whether a contract is over, and nothing follows from it.
    fn is_final(&self, deal: &Deal) -> bool {
        let failed = Some(deal.awarded.contract);
        match deal.result {
            // The successor's contract is told of a moment later.
            Some(DealResult::TakenOver) => {
                self.deals.iter().any(|other| other.awarded.takes_over == failed)
            }
            Some(DealResult::Settled | DealResult::Expired) => true,
            None => false,
        }
    }

    async fn handle(&mut self, event: PrivateEvent) -> anyhow::Result<()> {
        match event {
            PrivateEvent::Awarded(awarded) if awarded.rfq == self.rfq => self.begin(awarded),
            PrivateEvent::RfqEnded(RfqEnded { rfq, result, .. }) if rfq == self.rfq => {
                self.ended = Some(result);
            }
            PrivateEvent::RfqCleared(cleared) if cleared.rfq == self.rfq => {
                self.output.note(cleared::text(&cleared));
                self.cleared = Some(cleared);
            }
            PrivateEvent::BookOpened(BookOpened { rfq, shown, .. }) if rfq == self.rfq => {
                self.picking.open(shown);
            }
            PrivateEvent::QuoteShown(shown) if shown.rfq == self.rfq => {
                self.picking.show(shown, self.output);
            }
            PrivateEvent::Declined(declined) if declined.rfq == self.rfq => {
                let (provider, reason) = (declined.provider, declined.reason);
                self.output.note(format!("{provider} has declined: {reason:?}"));
            }
            PrivateEvent::Delivered(delivered) => self.accept(delivered).await?,
            PrivateEvent::ContractSettled(settled) => {
                if settled.penalty.raw() > 0 {
                    self.output.note(format!("late: {} comes back as penalty", settled.penalty));
                }
                self.end(settled.contract, DealResult::Settled);
            }
            PrivateEvent::ContractExpired(expired) => {
                self.end(expired.contract, DealResult::Expired);
            }
            PrivateEvent::ContractTakenOver(taken) => {
                self.output
                    .note(format!("{} is taken over by {}", taken.contract, taken.successor));
                self.end(taken.contract, DealResult::TakenOver);
            }
            // Of another RFQ, of this agent as a provider, or nothing that is waited for.
            PrivateEvent::Awarded(_)
            | PrivateEvent::RfqEnded(_)
            | PrivateEvent::BookOpened(_)
            | PrivateEvent::QuoteShown(_)
            | PrivateEvent::Declined(_)
            | PrivateEvent::QuoteLost(_)
            | PrivateEvent::QuoteCanceled(_)
            | PrivateEvent::StandingQuoteCanceled(_)
            | PrivateEvent::WorkStarted(_)
            | PrivateEvent::ContractVerified(_)
            | PrivateEvent::Invited(_)
            | PrivateEvent::InvitedRfqEnded(_)
            | PrivateEvent::InvitedRfqTaken(_)
            | PrivateEvent::RfqCleared(_)
            | PrivateEvent::BundleLost(_)
            | PrivateEvent::Standby(_)
            | PrivateEvent::ReputationChanged(_)
            | PrivateEvent::ProviderSuspended(_) => {}
        }
        Ok(())
    }

    fn begin(&mut self, awarded: Awarded) {
        let Awarded { contract, parties, total, currency, quantity, .. } = awarded;
        let units = match awarded.bundle {
            Some(bundle) => format!(" for items {}", bundle.items),
            None if quantity == 1 => String::new(),
            None => format!(" for {quantity} units"),
        };
        let provider = parties.provider;
        self.output.note(format!("{contract} with {provider} for {total} {currency}{units}"));
        self.output.note(format!("  {}", deal::score(&awarded)));
        self.deals.push(Deal::new(awarded));
    }

    /// Fetches what was delivered, and accepts it unless silence is to do that.
    async fn accept(&mut self, delivered: Delivered) -> anyhow::Result<()> {
        let Delivered { contract, deliverable: digest, .. } = delivered;
        let Some(index) = self.index(contract) else { return Ok(()) };
        let bytes = self.client.fetch_blob(BlobSource::Deliverable(contract)).await;
        let bytes = bytes.context("cannot fetch the deliverable")?;
        self.delivered += 1;
        put_out(self.args.out.as_deref(), self.delivered, &bytes)?;
        self.deals[index].deliverable = Some((digest, bytes.len()));
        if !self.args.silent {
            let accepted = self.client.accept_delivery(contract).await;
            accepted.context("cannot accept the delivery")?;
        }
        Ok(())
    }

    fn end(&mut self, contract: ContractId, result: DealResult) {
        if let Some(index) = self.index(contract) {
            self.deals[index].result = Some(result);
        }
    }

    fn index(&self, contract: ContractId) -> Option<usize> {
        self.deals.iter().position(|deal| deal.awarded.contract == contract)
    }
}

/// Returns what came out: for people, for machines, and as an exit code.
fn summary(rfq: RfqId, deals: &[Deal]) -> (String, Value, Exit) {
    if deals.is_empty() {
        let text = format!("{rfq} passed: nothing was awarded, the money is back");
        return (text, json!({ "rfq": rfq, "result": "passed" }), Exit::No);
    }
    let settled = || deals.iter().filter(|deal| deal.result == Some(DealResult::Settled));
    let failed = deals.iter().any(|deal| deal.result == Some(DealResult::Expired));
    let first = settled().next().unwrap_or(&deals[0]);
    let paid: i64 = settled().map(|deal| deal.awarded.total.raw()).sum();
    let mut summary = first.json();
    summary["rfq"] = json!(rfq);
    summary["contracts"] = deals.iter().map(Deal::json).collect();
    if failed {
        summary["result"] = json!("expired");
    } else {
        summary["total_micros"] = json!(paid.to_string());
    }
    let lines: Vec<String> = deals.iter().map(ToString::to_string).collect();
    (lines.join("\n"), summary, if failed { Exit::No } else { Exit::Done })
}

/// Writes the deliverable of a number, from 1.
fn put_out(path: Option<&Path>, number: u32, bytes: &[u8]) -> anyhow::Result<()> {
    match path {
        Some(path) => {
            let path = numbered(path, number);
            std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
        }
        None => {
            // A summary must not begin in the middle of a line.
            let end = if bytes.ends_with(b"\n") { b"".as_slice() } else { b"\n" };
            let written = std::io::stdout().write_all(&[bytes, end].concat());
            written.context("cannot write to standard output")
        }
    }
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    if number == 1 {
        return path.into();
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}
