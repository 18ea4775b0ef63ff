//! Lines as commands.

use std::fmt::Write as _;

use gavel_protocol::limits::QUANTITY_MAX;
use gavel_protocol::{
    AcceptDelivery, AgentId, AmendQuote, Attribute, Attributes, BundleTerms, CancelQuote,
    CancelRfq, CancelStandingQuote, CapabilityId, ClientId, Command, ContractId, Currency,
    CurvePoint, DeclineRfq, Deliver, Deposit, Disclosure, DurationNs, DutchTerms, Eligibility,
    Exclusivity, Format, Halt, ListCapability, Logon, MassCancel, MassQuote, Micros, Name,
    NoQuoteReason, Offer, OfferEnvelope, OpenRfq, Outcome, PickQuote, PlaceQuote, PriceBand,
    QuoteId, QuoteKind, QuoteSignature, QuoteTarget, Reopen, RfqId, RfqSignature, RfqTarget,
    RfqTerms, Scoring, SessionId, SessionLost, SetPriceBand, SetStandingQuote, SignEnvelope,
    Signature, SignatureBytes, SignatureScheme, StartWork, TakeRfq, TimestampNs,
};

use super::line::{Line, ScenarioError};
use super::world::{CAPABILITY, World, digest};

/// Yes or no.
pub(super) const YES_NO: [(&str, bool); 2] = [("yes", true), ("no", false)];

impl World {
    /// Makes the command of a line. Returns who sends it, and how its outcome is called.
    pub(super) fn command(
        &mut self,
        line: &mut Line<'_>,
    ) -> Result<(AgentId, Command, String), ScenarioError> {
        let verb = line.verb();
        if let Some(command) = self.operator_command(line)? {
            return Ok((self.operator, command, verb.into()));
        }
        if verb == "propose" {
            return self.propose(line);
        }
        let (name, agent) = self.agent(line)?;
        let mut what = format!("{verb} {name}");
        let command = match verb {
            "logon" => self.logon(line, &name)?,
            "lost" => {
                let session = self.sessions.remove(&name).unwrap_or(SessionId::new(0));
                let command = Command::SessionLost(SessionLost { agent, session });
                return Ok((AgentId::EXCHANGE, command, what));
            }
            "standing" => Command::SetStandingQuote(self.standing(line, agent)?),
            "mass" => self.mass(line, agent)?,
            "mass-cancel" => {
                let kinds = [
                    ("sealed", QuoteKind::Sealed),
                    ("standing", QuoteKind::Standing),
                    ("all", QuoteKind::All),
                ];
                let what = line.word("sealed, standing or all", &kinds)?;
                Command::MassCancel(MassCancel { client_id: self.client_id(line), what })
            }
            "envelope" => self.envelope(line, &name)?,
            "cancel-standing" => {
                let capability = self.capability(line)?;
                let revision = self.revision(line, agent, capability)?;
                Command::CancelStandingQuote(CancelStandingQuote { capability, revision })
            }
            _ => {
                let label = line.argument("an RFQ such as #1")?;
                write!(what, " {label}").expect("a String takes everything");
                self.command_on_rfq(line, agent, label)?
            }
        };
        Ok((agent, command, what))
    }

    fn operator_command(&mut self, line: &mut Line<'_>) -> Result<Option<Command>, ScenarioError> {
        Ok(Some(match line.verb() {
            "deposit" => {
                let (_, account) = self.account(line)?;
                let amount = line.money("an amount")?;
                let currency = line.option("currency", "a currency such as USD")?;
                let currency = currency.unwrap_or(Currency::USD);
                Command::Deposit(Deposit {
                    client_id: self.client_id(line),
                    account,
                    amount,
                    currency,
                })
            }
            "halt" => {
                let capability = self.optional_capability(line)?;
                Command::Halt(Halt { client_id: self.client_id(line), capability })
            }
            "reopen" => {
                let capability = self.optional_capability(line)?;
                Command::Reopen(Reopen { client_id: self.client_id(line), capability })
            }
            "band" => self.band(line)?,
            _ => return Ok(None),
        }))
    }

    fn command_on_rfq(
        &mut self,
        line: &mut Line<'_>,
        agent: AgentId,
        label: &str,
    ) -> Result<Command, ScenarioError> {
        let client_id = self.client_id(line);
        let rfq = self.rfqs.get(label).copied().unwrap_or(RfqId::new(0));
        Ok(match line.verb() {
            "rfq" => {
                self.names.rfq_pending = Some(label.to_string());
                let bundles = self.bundle_terms(line)?.map(Box::new);
                Command::OpenRfq(Box::new(OpenRfq {
                    client_id,
                    rfq: self.rfq_terms(line, bundles.as_deref())?,
                    bundles,
                    invited: self.invited(line)?,
                    dutch: self.dutch(line)?,
                    signature: signed(line)?.map(|signature| {
                        let (salt, commitment) = (digest("salt"), digest("commitment"));
                        Box::new(RfqSignature {
                            salt,
                            commitment,
                            digest: digest(label),
                            signature,
                        })
                    }),
                }))
            }
            "cancel-rfq" => {
                let target = match line.text_option("target") {
                    Some(target) => RfqTarget::ClientId(self.named_client_id(target)),
                    None => RfqTarget::Id(rfq),
                };
                Command::CancelRfq(CancelRfq { client_id, target })
            }
            "quote" => {
                let offer = self.offer(line)?;
                let signature = quote_signature(line, label)?;
                Command::PlaceQuote(PlaceQuote { client_id, rfq, offer, signature })
            }
            "bundles" => self.quote_bundles(line, agent, (label, rfq))?,
            "amend" => {
                let target = self.quote_target(line, agent, rfq);
                let offer = self.offer(line)?;
                let signature = quote_signature(line, label)?;
                Command::AmendQuote(AmendQuote { client_id, target, offer, signature })
            }
            "decline" => {
                let reasons = [
                    ("outside_capability", NoQuoteReason::OutsideCapability),
                    ("no_capacity", NoQuoteReason::NoCapacity),
                    ("deadline_too_short", NoQuoteReason::DeadlineTooShort),
                    ("unprofitable", NoQuoteReason::Unprofitable),
                    ("policy", NoQuoteReason::Policy),
                    ("counterparty", NoQuoteReason::Counterparty),
                    ("other", NoQuoteReason::Other),
                ];
                let reason = line.word("why there is no quote", &reasons)?;
                Command::DeclineRfq(DeclineRfq { client_id, rfq, reason })
            }
            "take" => {
                let limit = line.money("the lowest price that will do")?;
                let quantity = line.option("quantity", "a number of units")?.unwrap_or(1);
                let signature = quote_signature(line, label)?;
                Command::TakeRfq(TakeRfq { client_id, rfq, quantity, limit, signature })
            }
            "pick" => {
                let (_, provider) = self.agent(line)?;
                let quote = self.quote_ids.get(&(provider, rfq)).copied();
                let quote = quote.unwrap_or(QuoteId::new(0));
                Command::PickQuote(PickQuote { client_id, rfq, quote })
            }
            "cancel-quote" => {
                let target = self.quote_target(line, agent, rfq);
                Command::CancelQuote(CancelQuote { client_id, target })
            }
            "start" => {
                let contract = self.contract(rfq, agent);
                Command::StartWork(StartWork { client_id, contract })
            }
            "deliver" => {
                let contract = self.contract(rfq, agent);
                let text = line.optional_argument().unwrap_or("deliverable");
                let deliverable = digest(text);
                Command::Deliver(Deliver { client_id, contract, deliverable })
            }
            "accept" => {
                let provider = match line.text_option("of") {
                    Some(name) => self.agents.get(name).map_or(agent, |(provider, _)| *provider),
                    None => agent,
                };
                let contract = self.contract(rfq, provider);
                Command::AcceptDelivery(AcceptDelivery { client_id, contract })
            }
            verb => return Err(line.error(format!("no verb `{verb}` in the language"))),
        })
    }

    /// Returns the contract of the RFQ with this provider, or the last one.
    fn contract(&self, rfq: RfqId, provider: AgentId) -> ContractId {
        let own = self.contracts.get(&(rfq, Some(provider)));
        let contract = own.or_else(|| self.contracts.get(&(rfq, None)));
        contract.copied().unwrap_or(ContractId::new(0))
    }

    /// Takes who proposes an allocation, `exchange` being the exchange's own solvers, and for what.
    fn propose(
        &mut self,
        line: &mut Line<'_>,
    ) -> Result<(AgentId, Command, String), ScenarioError> {
        let name = line.argument("a solver, or exchange")?.to_string();
        let agent = match name.as_str() {
            "exchange" => AgentId::EXCHANGE,
            name => self.agent_named(line, name)?,
        };
        let label = line.argument("an RFQ such as #1")?;
        let rfq = self.rfqs.get(label).copied().unwrap_or(RfqId::new(0));
        let what = format!("propose {name} {label}");
        Ok((agent, self.proposal(line, rfq)?, what))
    }

    fn rfq_terms(
        &mut self,
        line: &mut Line<'_>,
        bundles: Option<&BundleTerms>,
    ) -> Result<RfqTerms, ScenarioError> {
        let hour = DurationNs::from_secs(3_600);
        let reserve = line.money_option("reserve")?;
        // That of a combinatorial RFQ is the sum of its items' reserves, unless the scenario says.
        let reserve = reserve.or_else(|| bundles.and_then(BundleTerms::reserve));
        let reserve = reserve.ok_or_else(|| line.error("`rfq` needs reserve=PRICE"))?;
        let disclosures = [("nothing", Disclosure::Nothing), ("price", Disclosure::ClearingPrice)];
        let formats = [
            ("first_price", Format::FirstPrice),
            ("second_price", Format::SecondPrice),
            ("dutch", Format::Dutch),
            ("buyers_choice", Format::BuyersChoice),
            ("combinatorial", Format::Combinatorial),
        ];
        let terms = line.text_option("terms").unwrap_or("terms");
        let capability = self.capability(line)?;
        let currency = line.option("currency", "a currency")?.unwrap_or(Currency::USD);
        let mut duration = |name| Ok(line.duration_option(name)?.unwrap_or(DurationNs::ZERO));
        let (window, cutoff) = (duration("window")?, duration("cutoff")?);
        let (pick_within, start_within) = (duration("pick")?, duration("start")?);
        let mut yes = |name| Ok(line.choice(name, &YES_NO)? == Some(true));
        let (split, close_early) = (yes("split")?, yes("close_early")?);
        let (admit_standing, top_up) = (yes("standing")?, yes("top_up")?);
        Ok(RfqTerms {
            quantity: line.option("quantity", "a number of units")?.unwrap_or(1),
            split,
            format: line.choice("format", &formats)?.unwrap_or(Format::FirstPrice),
            window,
            cutoff,
            close_early,
            pick_within,
            admit_standing,
            scoring: Scoring {
                latency_per_ms: line.money_option("latency_per_ms")?.unwrap_or_default(),
                reputation_per_bps: line.money_option("reputation_per_bps")?.unwrap_or_default(),
            },
            eligibility: Eligibility {
                reputation_min_bps: line.option("reputation_min", "basis points")?.unwrap_or(0),
                attributes: attributes(line, "require")?,
            },
            bond_bps: line.option("bond", "basis points")?.unwrap_or(0),
            top_up,
            disclosure: line.choice("disclose", &disclosures)?.unwrap_or(Disclosure::ClearingPrice),
            start_within,
            delivery_within: line.duration_option("delivery")?.unwrap_or(hour),
            acceptance_within: line.duration_option("acceptance")?.unwrap_or(hour),
            spec: digest("spec"),
            terms: digest(terms),
            ..RfqTerms::plain(capability, currency, reserve)
        })
    }

    fn invited(&mut self, line: &mut Line<'_>) -> Result<Vec<AgentId>, ScenarioError> {
        let names = line.text_option("invite").into_iter().flat_map(|names| names.split(','));
        names.map(|name| self.agent_named(line, name)).collect()
    }

    fn dutch(&mut self, line: &mut Line<'_>) -> Result<Option<DutchTerms>, ScenarioError> {
        let Some(text) = line.text_option("curve") else { return Ok(None) };
        let point = |point: &str| {
            let (after, price) = point.split_once(':')?;
            let price = Micros::parse_units(price).ok()?;
            Some(CurvePoint { after: super::line::duration(after)?, price })
        };
        let curve = text.split(',').map(point).collect::<Option<Vec<_>>>();
        let curve = curve.ok_or_else(|| line.error("curve: expected 0:1.00,10s:2.50,…"))?;
        let exclusive = match line.text_option("exclusive") {
            None => None,
            Some(name) => Some(Exclusivity {
                provider: self.agent_named(line, name)?,
                until: line.duration_option("until")?.unwrap_or(DurationNs::ZERO),
                beatable_by_bps: line.option("beatable_by", "basis points")?.unwrap_or(0),
            }),
        };
        Ok(Some(DutchTerms { curve, exclusive }))
    }

    fn offer(&mut self, line: &mut Line<'_>) -> Result<Offer, ScenarioError> {
        let price = line.money("a price")?;
        let mut offer = Offer::new(price, self.valid_until(line)?);
        offer.quantity = line.option("quantity", "a number of units")?.unwrap_or(QUANTITY_MAX);
        offer.all_or_none = line.choice("all_or_none", &YES_NO)? == Some(true);
        offer.latency_ms = line.option("latency_ms", "milliseconds")?.unwrap_or(0);
        let standby = line.duration_option("standby")?;
        offer.standby_until = standby.map(|standby| self.now.after(standby));
        Ok(offer)
    }

    fn standing(
        &mut self,
        line: &mut Line<'_>,
        agent: AgentId,
    ) -> Result<SetStandingQuote, ScenarioError> {
        let price = line.money("a price")?;
        let capability = self.capability(line)?;
        Ok(SetStandingQuote {
            capability,
            revision: self.revision(line, agent, capability)?,
            price,
            latency_ms: line.option("latency_ms", "milliseconds")?.unwrap_or(0),
            capacity: line.option("capacity", "a number of units")?.unwrap_or(1),
            valid_until: self.valid_until(line)?,
            terms: digest(line.text_option("terms").unwrap_or("terms")),
        })
    }

    /// Takes lines such as `ocr:30.00`: one capability and price each.
    fn mass(&mut self, line: &mut Line<'_>, agent: AgentId) -> Result<Command, ScenarioError> {
        let capacity = line.option("capacity", "a number of units")?.unwrap_or(1);
        let revision = line.option("revision", "a number")?;
        let valid_until = self.valid_until(line)?;
        let mut lines = Vec::new();
        while let Some(text) = line.optional_argument() {
            let (name, price) = text.split_once(':').unwrap_or((text, ""));
            let price = Micros::parse_units(price);
            let price = price.map_err(|error| line.error(format!("{text}: {error}")))?;
            let capability = self.capability_named(line, name)?;
            let revision = match revision {
                Some(revision) => revision,
                None => self.revision(line, agent, capability)?,
            };
            let (latency_ms, terms) = (0, digest("terms"));
            lines.push(SetStandingQuote {
                capability,
                revision,
                price,
                latency_ms,
                capacity,
                valid_until,
                terms,
            });
        }
        Ok(Command::MassQuote(MassQuote { lines }))
    }

    fn envelope(&mut self, line: &mut Line<'_>, name: &str) -> Result<Command, ScenarioError> {
        let capability = self.capability(line)?;
        let envelope = OfferEnvelope {
            capability,
            terms: digest(line.text_option("terms").unwrap_or("terms")),
            price_min: line.money_option("min")?.unwrap_or(Micros::new(1)),
            capacity_max: line.option("capacity", "a number of units")?.unwrap_or(1),
            valid_until: self.valid_until(line)?,
            session: self.sessions.get(name).copied().unwrap_or(SessionId::new(0)),
        };
        let (client_id, signature) = (self.client_id(line), unverified());
        Ok(Command::SignEnvelope(Box::new(SignEnvelope { client_id, envelope, signature })))
    }

    fn band(&mut self, line: &mut Line<'_>) -> Result<Command, ScenarioError> {
        let name = line.argument("a capability")?;
        let capability = self.capability_named(line, name)?;
        let band = match (line.money_option("low")?, line.money_option("high")?) {
            (None, None) => None,
            (low, high) => {
                let (low, high) =
                    (low.unwrap_or(Micros::new(1)), high.unwrap_or(super::world::MOST));
                Some(PriceBand { low, high })
            }
        };
        Ok(Command::SetPriceBand(SetPriceBand {
            client_id: self.client_id(line),
            capability,
            band,
        }))
    }

    fn logon(&mut self, line: &mut Line<'_>, name: &str) -> Result<Command, ScenarioError> {
        let cancel_on_disconnect = line.choice("cancel_on_disconnect", &YES_NO)? == Some(true);
        let resume = match line.choice("resume", &YES_NO)? {
            Some(true) => self.sessions.get(name).copied(),
            Some(false) | None => None,
        };
        self.names.session_pending = Some(name.to_string());
        Ok(Command::Logon(Logon { resume, cancel_on_disconnect }))
    }

    pub(super) fn valid_until(&self, line: &mut Line<'_>) -> Result<TimestampNs, ScenarioError> {
        let valid = line.duration_option("valid")?.unwrap_or(DurationNs::from_secs(24 * 3_600));
        Ok(self.now.after(valid))
    }

    fn quote_target(&mut self, line: &mut Line<'_>, agent: AgentId, rfq: RfqId) -> QuoteTarget {
        if let Some(target) = line.text_option("target") {
            return QuoteTarget::ClientId(self.named_client_id(target));
        }
        let known = self.quote_ids.get(&(agent, rfq)).copied();
        QuoteTarget::Id(known.unwrap_or(QuoteId::new(0)))
    }

    fn revision(
        &mut self,
        line: &mut Line<'_>,
        agent: AgentId,
        capability: CapabilityId,
    ) -> Result<u64, ScenarioError> {
        let last = self.revisions.entry((agent, capability)).or_default();
        let revision = line.option("revision", "a number")?.unwrap_or(*last + 1);
        *last = revision.max(*last);
        Ok(revision)
    }

    /// Takes the option `id`, or makes an id that was never used.
    pub(super) fn client_id(&mut self, line: &mut Line<'_>) -> ClientId {
        match line.text_option("id") {
            Some(name) => self.named_client_id(name),
            None => self.new_client_id(),
        }
    }

    fn named_client_id(&mut self, name: &str) -> ClientId {
        if let Some(known) = self.client_ids.get(name) {
            return *known;
        }
        let made = self.new_client_id();
        self.client_ids.insert(name.into(), made);
        made
    }

    fn capability(&mut self, line: &mut Line<'_>) -> Result<CapabilityId, ScenarioError> {
        let name = line.text_option("capability").unwrap_or(CAPABILITY);
        self.capability_named(line, name)
    }

    fn optional_capability(
        &mut self,
        line: &mut Line<'_>,
    ) -> Result<Option<CapabilityId>, ScenarioError> {
        let name = line.optional_argument();
        name.map(|name| self.capability_named(line, name)).transpose()
    }

    fn capability_named(
        &mut self,
        line: &Line<'_>,
        name: &str,
    ) -> Result<CapabilityId, ScenarioError> {
        if let Some(known) = self.capabilities.get(name) {
            return Ok(*known);
        }
        let parsed: Name = name.parse().map_err(|error| line.error(format!("{error}")))?;
        let client_id = self.new_client_id();
        let terms = digest("terms");
        let list = ListCapability { client_id, name: parsed, currency: Currency::USD, terms };
        let listed = self.submit(self.operator, Command::ListCapability(list), "capability");
        let Some(Outcome::Capability(id)) = listed else {
            return Err(line.error(format!("the capability {name} cannot be listed")));
        };
        self.capabilities.insert(name.into(), id);
        self.names.capabilities.insert(id, name.into());
        Ok(id)
    }
}

/// Takes an option as a list of attributes.
pub(super) fn attributes(line: &mut Line<'_>, name: &str) -> Result<Attributes, ScenarioError> {
    let names = line.text_option(name).into_iter().flat_map(|names| names.split(','));
    let attribute = |name: &str| {
        let json = serde_json::Value::String(name.to_string());
        let attribute = serde_json::from_value::<Attribute>(json);
        attribute.map_err(|_| line.error(format!("no attribute `{name}`")))
    };
    names.map(attribute).collect()
}

/// Takes the option that says whether the command is signed. The pure exchange does not verify
/// signatures: that has been done before a command comes to it.
fn signed(line: &mut Line<'_>) -> Result<Option<Signature>, ScenarioError> {
    Ok((line.choice("signed", &YES_NO)? == Some(true)).then(unverified))
}

pub(super) fn quote_signature(
    line: &mut Line<'_>,
    label: &str,
) -> Result<Option<Box<QuoteSignature>>, ScenarioError> {
    let Some(label) = line.text_option("signed_for").or(signed(line)?.map(|_| label)) else {
        return Ok(None);
    };
    let (rfq_digest, signature) = (digest(label), unverified());
    Ok(Some(Box::new(QuoteSignature { rfq_digest, signature })))
}

fn unverified() -> Signature {
    Signature { scheme: SignatureScheme::Ed25519, bytes: SignatureBytes::new([0; 64]) }
}
