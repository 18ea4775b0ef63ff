//! What the core's memory grows by: what is open, in bytes that are resident.

use std::env;
use std::fmt;
use std::fs;
use std::process::Command as Process;

use anyhow::Context as _;
use gavel_protocol::{Command, DurationNs, Event, Micros, Offer, PlaceQuote, Request};
use serde::{Deserialize, Serialize};

use crate::bench::market::Market;

/// Resident growth.
#[derive(Debug, Serialize, Deserialize)]
pub struct Memory {
    /// An exchange with its agents and a full table of client ids, in MiB.
    pub exchange_mib: f64,
    /// One open RFQ with its quotes.
    pub bytes_per_open_rfq: f64,
    pub quotes_per_rfq: usize,
    pub open_rfqs: usize,
    /// All the standing quotes, in MiB.
    pub standing_quotes_mib: f64,
    pub standing_quotes: usize,
}

const AGENTS: usize = 10_000;
const CAPABILITIES: usize = 100;
const QUOTES_PER_RFQ: usize = 16;

/// As many as have room with that many quotes each, so that no page is counted half empty.
const OPEN_RFQS: usize = 16_000;

const MIB: f64 = 1_048_576.0;

impl Memory {
    /// Measures in a process of its own: what this one freed would be used again and not be counted,
    /// and huge pages would be counted as a whole.
    pub fn measure_apart() -> anyhow::Result<Self> {
        let mut process = Process::new(env::current_exe().context("finding this program")?);
        process.args(["bench", "core", "--memory-only", "--json"]);
        let output = process.output().context("measuring memory")?;
        anyhow::ensure!(output.status.success(), "measuring memory ended with {}", output.status);
        serde_json::from_slice(&output.stdout).context("reading what memory was measured")
    }

    /// Measures in this process, which must not have done anything else.
    pub fn measure() -> anyhow::Result<Self> {
        let before = resident()?;
        let mut market = Market::new(AGENTS as u64, u32::try_from(CAPABILITIES)?)?;
        market.fill_client_ids()?;
        let made = resident()?;
        open_rfqs(&mut market)?;
        let opened = resident()?;
        for capability in 0..CAPABILITIES {
            for number in 0..AGENTS {
                let price = i64::try_from(number)? + 1;
                market.apply(market.standing(market.agents[number], capability, 1, price))?;
            }
        }
        let quoted = resident()?;
        Ok(Self {
            exchange_mib: (made - before) / MIB,
            bytes_per_open_rfq: (opened - made) / OPEN_RFQS as f64,
            quotes_per_rfq: QUOTES_PER_RFQ,
            open_rfqs: OPEN_RFQS,
            standing_quotes_mib: (quoted - opened) / MIB,
            standing_quotes: AGENTS * CAPABILITIES,
        })
    }
}

fn open_rfqs(market: &mut Market) -> anyhow::Result<()> {
    for number in 0..OPEN_RFQS {
        let request = market.rfq(market.agents[number % AGENTS], 0, DurationNs::from_secs(3_600));
        market.apply(request)?;
        let Some(Event::RfqOpened(opened)) = market.events().first() else {
            anyhow::bail!("opening an RFQ brought about {:?}", market.events().first());
        };
        let rfq = opened.rfq;
        for provider in 1..=QUOTES_PER_RFQ {
            let agent = market.agents[(number + provider) % AGENTS];
            let (client_id, valid_until) = (market.client_id(), market.valid_until());
            let price = Micros::new(1_000);
            let place = PlaceQuote {
                client_id,
                rfq,
                offer: Offer::new(price, valid_until),
                signature: None,
            };
            market.apply(Request { agent, command: Command::PlaceQuote(place) })?;
        }
    }
    Ok(())
}

/// Returns what the process has resident, in bytes.
fn resident() -> anyhow::Result<f64> {
    let status = fs::read_to_string("/proc/self/status").context("reading the resident memory")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).context("no VmRSS line")?;
    Ok(kib.trim().parse::<f64>()? * 1_024.0)
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "resident: exchange with full client ids {:.0} MiB; {:.0} bytes per open RFQ with {} \
             quotes; {} standing quotes {:.0} MiB",
            self.exchange_mib,
            self.bytes_per_open_rfq,
            self.quotes_per_rfq,
            self.standing_quotes,
            self.standing_quotes_mib
        )
    }
}
