//! From the command line's arguments to an RFQ.

use std::path::Path;

use anyhow::{Context as _, bail};
use gavel_client::{Client, NewRfq};
use gavel_protocol::{
    AgentId, BundleTerms, DurationNs, DutchTerms, Eligibility, Exclusivity, Format, Micros,
    PaymentRule, RfqTerms, Scoring,
};

use crate::args::{BundleArgs, FormatArg, FormatArgs, PaymentArg, RfqArgs};
use crate::commands::{capability, read};
use crate::data_dir::DataDir;

/// Stores what the RFQ names, and returns it.
pub async fn new_rfq(client: &Client, data: &DataDir, args: &RfqArgs) -> anyhow::Result<NewRfq> {
    let bundles = bundle_terms(&args.bundles, args.format.format)?;
    let reserve = reserve(args, bundles.as_ref())?;
    let terms = rfq_terms(client, args, reserve).await?;
    let invited = args.admission.invite.iter().map(|name| data.agent(name));
    let invited = invited.collect::<anyhow::Result<Vec<AgentId>>>()?;
    Ok(NewRfq { terms, invited, dutch: dutch_terms(data, &args.format)?, bundles })
}

/// Returns the most to pay per unit, or for all items together.
fn reserve(args: &RfqArgs, bundles: Option<&BundleTerms>) -> anyhow::Result<Micros> {
    match bundles {
        Some(bundles) => bundles.reserve().context("the reserves of the items are too much"),
        None => args.reserve.context("name the most to pay with --reserve"),
    }
}

async fn rfq_terms(client: &Client, args: &RfqArgs, reserve: Micros) -> anyhow::Result<RfqTerms> {
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
    let admits_standing = match format.format {
        FormatArg::FirstPrice | FormatArg::SecondPrice => true,
        FormatArg::Dutch | FormatArg::BuyersChoice | FormatArg::Combinatorial => false,
    };
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
            && admits_standing
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
        ..RfqTerms::plain(listed.capability, listed.currency, reserve)
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

fn bundle_terms(args: &BundleArgs, format: FormatArg) -> anyhow::Result<Option<BundleTerms>> {
    match (format == FormatArg::Combinatorial, args.items.is_empty()) {
        (true, false) => {}
        (false, true) => return Ok(None),
        (true, true) => bail!("a combinatorial RFQ is for items: name them with --items"),
        (false, false) => bail!("items are for a combinatorial RFQ: leave --format out"),
    }
    Ok(Some(BundleTerms {
        items: args.items.clone(),
        free_disposal: args.free_disposal,
        all_or_none: args.all_items,
        payment: args.payment.into(),
        clearing_within: args.clearing,
        external_solvers: args.external_solvers,
    }))
}

impl From<PaymentArg> for PaymentRule {
    fn from(payment: PaymentArg) -> Self {
        match payment {
            PaymentArg::AsBid => Self::PayAsBid,
            PaymentArg::Vcg => Self::Vcg,
            PaymentArg::Core => Self::Core,
        }
    }
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::FirstPrice => Self::FirstPrice,
            FormatArg::SecondPrice => Self::SecondPrice,
            FormatArg::Dutch => Self::Dutch,
            FormatArg::BuyersChoice => Self::BuyersChoice,
            FormatArg::Combinatorial => Self::Combinatorial,
        }
    }
}
