//! Answering combinatorial RFQs with bundles.

use gavel_protocol::{Bundle, BundleGroup, BundleLost, NewGroup, RfqAnnounced};

use super::{FIRM_AFTER_CLOSE, Provider};
use crate::args::{BundlesArgs, QuoteArgs};

/// Returns the bundles that the command line names.
pub fn of(args: &QuoteArgs) -> Vec<Bundle> {
    let latency_ms = args.offer.latency_ms.unwrap_or(0);
    let named = args.bundles.bundles.iter();
    named.map(|bundle| Bundle { items: bundle.items, price: bundle.price, latency_ms }).collect()
}

/// Returns bundles as the command line names them.
pub fn text(bundles: &[Bundle]) -> String {
    let text = |bundle: &Bundle| format!("{}:{}", bundle.items, bundle.price);
    bundles.iter().map(text).collect::<Vec<_>>().join(" ")
}

impl Provider<'_> {
    /// Quotes the bundles for a combinatorial RFQ.
    pub(super) async fn quote_bundles(&self, announced: &RfqAnnounced) -> anyhow::Result<()> {
        let rfq = announced.rfq;
        let Some(terms) = &announced.bundles else {
            self.output.line(format!("no quote for {rfq}: it asks for no items, give --price"));
            return Ok(());
        };
        if !self.promises_enough(announced) {
            return Ok(());
        }
        let decided_at = announced.closes_at.after(terms.clearing_within);
        let BundlesArgs { group, into, .. } = self.args.bundles;
        let group = match into {
            Some(quote) => BundleGroup::Existing(quote),
            None => BundleGroup::New(NewGroup {
                rule: group,
                valid_until: decided_at.after(FIRM_AFTER_CLOSE),
                standby_until: self.standby_until(decided_at),
            }),
        };
        let bundles = of(self.args);
        let count = bundles.len();
        let quoted = self.client.quote_bundles(announced, group, bundles).await;
        if let Some(quote) = self.accepted(announced, "quote", quoted)? {
            self.output.line(format!("{quote} for {rfq}, {count} bundles"));
        }
        Ok(())
    }

    /// Says why a bundle lost, to whom, and what it would have taken to win.
    pub(super) fn lose_bundle(&self, lost: &BundleLost) {
        let BundleLost { rfq, bundle, reason, lost_on, price_to_win, .. } = *lost;
        // Those that came into the group before are known by their number alone.
        let named = match self.args.bundles.into {
            Some(_) => None,
            None => usize::try_from(bundle.number).ok().and_then(|n| of(self.args).get(n).copied()),
        };
        let which = match named {
            Some(named) => text(&[named]),
            None => format!("bundle {} of {}", bundle.number, bundle.quote),
        };
        let others = match lost_on.is_empty() {
            true => String::new(),
            false => format!("; items {lost_on} went to others"),
        };
        let better = match price_to_win {
            Some(price) => format!("; below {price} it would have been worth more"),
            None => String::new(),
        };
        let meaning = reason.info().meaning;
        self.output.line(format!("lost {rfq} with {which}: {meaning}{others}{better}"));
    }
}
