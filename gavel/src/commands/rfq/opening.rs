//! From the command line's arguments to an RFQ.

use std::path::Path;

use anyhow::Context as _;
use gavel_client::{Client, NewRfq};
use gavel_protocol::{
    AgentId, DurationNs, DutchTerms, Eligibility, Exclusivity, Format, RfqTerms, Scoring,
};

use crate::args::{FormatArg, FormatArgs, RfqArgs};
use crate::commands::{capability, read};
use crate::data_dir::DataDir;

/// Stores what the RFQ names, and returns it.
pub async fn new_rfq(client: &Client, data: &DataDir, args: &RfqArgs) -> anyhow::Result<NewRfq> {
    let terms = rfq_terms(client, args).await?;
    let invited = args.admission.invite.iter().map(|name| data.agent(name));
    let invited = invited.collect::<anyhow::Result<Vec<AgentId>>>()?;
    Ok(NewRfq { terms, invited, dutch: dutch_terms(data, &args.format)?, bundles: None })
}

async fn rfq_terms(client: &Client, args: &RfqArgs) -> anyhow::Result<RfqTerms> {
    let listed = capability(client, &args.capability).await?;
    let store = async |path: &Path| {
        let stored = client.put_blob(&read(path)?).await;
        stored.with_context(|| format!("cannot store {}", path.display()))
    };
    let spec = store(&args.spec).await?;
    let inputs = match &args.inputs {
        Some(path) => Some(store(path).await?),
        None => None,
    };
    let terms = match &args.terms {
        Some(path) => store(path).await?,
        None => listed.terms,
    };
    let RfqArgs { format, admission, scoring, work, .. } = args;
    let quotes_only = matches!(format.format, FormatArg::Dutch | FormatArg::BuyersChoice);
    let pick_ms = if format.format == FormatArg::BuyersChoice { format.pick_ms } else { 0 };
    Ok(RfqTerms {
        quantity: args.quantity,
        split: format.split,
        format: format.format.into(),
        window: DurationNs::from_millis(args.window_ms),
        cutoff: DurationNs::from_millis(format.cutoff_ms),
        close_early: admission.close_early,
        pick_within: DurationNs::from_millis(pick_ms),
        // A standing quote is firm on the listed terms only, has no bond, and nobody invites it.
        admit_standing: terms == listed.terms
            && !quotes_only
            && work.bond_bps == 0
            && admission.invite.is_empty(),
        scoring: Scoring {
            latency_per_ms: scoring.latency_per_ms,
            reputation_per_bps: scoring.reputation_per_bps,
        },
        eligibility: Eligibility {
            reputation_min_bps: admission.reputation_min,
            attributes: admission.require.iter().copied().collect(),
        },
        disclosure: format.disclose,
        bond_bps: work.bond_bps,
        top_up: work.top_up,
        start_within: DurationNs::from_secs(work.start_s),
        delivery_within: DurationNs::from_secs(work.delivery_s),
        acceptance_within: DurationNs::from_secs(work.acceptance_s),
        spec,
        inputs,
        terms,
        ..RfqTerms::plain(listed.capability, listed.currency, args.reserve)
    })
}

fn dutch_terms(data: &DataDir, args: &FormatArgs) -> anyhow::Result<Option<DutchTerms>> {
    if args.curve.is_empty() {
        return Ok(None);
    }
    let exclusive = match &args.exclusive {
        Some(name) => Some(Exclusivity {
            provider: data.agent(name)?,
            until: DurationNs::from_millis(args.exclusive_ms.unwrap_or(0)),
            beatable_by_bps: args.exclusive_bps,
        }),
        None => None,
    };
    Ok(Some(DutchTerms { curve: args.curve.clone(), exclusive }))
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::FirstPrice => Self::FirstPrice,
            FormatArg::SecondPrice => Self::SecondPrice,
            FormatArg::Dutch => Self::Dutch,
            FormatArg::BuyersChoice => Self::BuyersChoice,
        }
    }
}
