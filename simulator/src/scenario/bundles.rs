//! The lines about combinatorial RFQs: items, bundles, and allocations that are proposed.

use gavel_protocol::{
    AgentId, Bundle, BundleGroup, BundleTerms, Command, DualPrices, DurationNs, GroupRule, Item,
    Items, Micros, NewGroup, PaymentRule, ProposeAllocation, ProposedPayment, QuoteBundles,
    QuoteId, RfqId,
};

use super::commands::{YES_NO, quote_signature};
use super::line::{Line, ScenarioError};
use super::world::World;

impl World {
    /// Takes the items of a combinatorial RFQ: `items=10.00,5.00x2@3` are two of them, the first for
    /// 10.00, the second of two units at 5.00 each and with a load of 3.
    pub(super) fn bundle_terms(
        &self,
        line: &mut Line<'_>,
    ) -> Result<Option<BundleTerms>, ScenarioError> {
        let Some(text) = line.text_option("items") else { return Ok(None) };
        let items = list(text).map(item).collect::<Option<Vec<_>>>();
        let items = items.ok_or_else(|| line.error("items: expected 10.00,5.00x2@3,…"))?;
        let rules = [
            ("as_bid", PaymentRule::PayAsBid),
            ("vcg", PaymentRule::Vcg),
            ("core", PaymentRule::Core),
        ];
        let budget = line.duration_option("budget")?.unwrap_or(DurationNs::from_millis(1));
        Ok(Some(BundleTerms {
            items,
            free_disposal: line.choice("free_disposal", &YES_NO)? == Some(true),
            all_or_none: line.choice("all_items", &YES_NO)? == Some(true),
            payment: line.choice("payment", &rules)?.unwrap_or(PaymentRule::PayAsBid),
            clearing_within: budget,
            external_solvers: line.choice("solvers", &YES_NO)? == Some(true),
        }))
    }

    /// Takes bundles such as `0,2:15.00`: items and a price.
    pub(super) fn quote_bundles(
        &mut self,
        line: &mut Line<'_>,
        agent: AgentId,
        (label, rfq): (&str, RfqId),
    ) -> Result<Command, ScenarioError> {
        let client_id = self.client_id(line);
        let latency_ms = line.option("latency_ms", "milliseconds")?.unwrap_or(0);
        let group = match line.text_option("into") {
            Some(name) => {
                let owner = self.agents.get(name).map_or(agent, |(owner, _)| *owner);
                let group = self.quote_ids.get(&(owner, rfq)).copied();
                BundleGroup::Existing(group.unwrap_or(QuoteId::new(0)))
            }
            None => BundleGroup::New(self.new_group(line)?),
        };
        let mut bundles = Vec::new();
        while let Some(text) = line.optional_argument() {
            let (items, price) = text.split_once(':').unwrap_or((text, ""));
            let price = Micros::parse_units(price);
            let price = price.map_err(|error| line.error(format!("{text}: {error}")))?;
            bundles.push(Bundle { items: set(line, items)?, price, latency_ms });
        }
        let signature = quote_signature(line, label)?;
        let quote = QuoteBundles { client_id, rfq, group, bundles, signature };
        Ok(Command::QuoteBundles(Box::new(quote)))
    }

    fn new_group(&self, line: &mut Line<'_>) -> Result<NewGroup, ScenarioError> {
        let rule = match line.text_option("group").unwrap_or("xor") {
            "xor" => GroupRule::Xor,
            text => {
                let capacity = text.strip_prefix("or:").and_then(|capacity| capacity.parse().ok());
                GroupRule::Or(capacity.ok_or_else(|| line.error("group: expected xor or or:10"))?)
            }
        };
        let valid_until = self.valid_until(line)?;
        let standby = line.duration_option("standby")?;
        let standby_until = standby.map(|standby| self.now.after(standby));
        Ok(NewGroup { rule, valid_until, standby_until })
    }

    /// Takes an allocation: `winners=0,2`, numbers of the problem; none are `winners=-`.
    pub(super) fn proposal(
        &self,
        line: &mut Line<'_>,
        rfq: RfqId,
    ) -> Result<Command, ScenarioError> {
        let winners = line.text_option("winners").unwrap_or("-");
        let winners = list(winners).map(|winner| winner.parse().ok()).collect::<Option<Vec<_>>>();
        let winners = winners.ok_or_else(|| line.error("winners: expected 0,2,… or -"))?;
        let surplus = line.money_option("surplus")?;
        let surplus = surplus.ok_or_else(|| line.error("`propose` needs surplus=AMOUNT"))?;
        let bound = line.money_option("bound")?;
        let prices = match line.text_option("prices") {
            None => None,
            Some(text) => {
                let (items, groups) = text.split_once('/').unwrap_or((text, "-"));
                let (items, groups) = (amounts(items), amounts(groups));
                let prices = items.zip(groups).map(|(items, groups)| DualPrices { items, groups });
                Some(prices.ok_or_else(|| line.error("prices: expected ITEM,…/GROUP,…"))?)
            }
        };
        let payments = line.text_option("payments").unwrap_or("-");
        let payments = list(payments).map(payment).collect::<Option<Vec<_>>>();
        let payments = payments.ok_or_else(|| line.error("payments: expected 10.00,8.00..9.00"))?;
        let proposal = ProposeAllocation { rfq, winners, surplus, bound, prices, payments };
        Ok(Command::ProposeAllocation(Box::new(proposal)))
    }
}

/// Returns the entries of a list; `-` is an empty one.
fn list(text: &str) -> impl Iterator<Item = &str> {
    let text = if text == "-" { "" } else { text };
    text.split(',').filter(|entry| !entry.is_empty())
}

fn item(text: &str) -> Option<Item> {
    let (text, load) = text.split_once('@').unwrap_or((text, "1"));
    let (reserve, quantity) = text.split_once('x').unwrap_or((text, "1"));
    Some(Item {
        quantity: quantity.parse().ok()?,
        load: load.parse().ok()?,
        reserve: Micros::parse_units(reserve).ok()?,
    })
}

fn set(line: &Line<'_>, text: &str) -> Result<Items, ScenarioError> {
    let mut items = Items::EMPTY;
    for item in list(text) {
        let number = item.parse().map_err(|_| line.error(format!("`{item}` is no item")))?;
        if !items.insert(number) {
            return Err(line.error(format!("item {item} stands there twice")));
        }
    }
    Ok(items)
}

fn amounts(text: &str) -> Option<Vec<Micros>> {
    list(text).map(|amount| Micros::parse_units(amount).ok()).collect()
}

fn payment(text: &str) -> Option<ProposedPayment> {
    let (low, high) = text.split_once("..").unwrap_or((text, text));
    let (low, high) = (Micros::parse_units(low).ok()?, Micros::parse_units(high).ok()?);
    Some(ProposedPayment { low, high })
}
