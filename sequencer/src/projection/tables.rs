//! The tables of a projection, and what each column says.
//!
//! Rows are only ever added: what changes has a row per change, and a view shows how it stands now.

use super::schema::{Column, Kind, Table, View, column};

use Kind::{Bytes, Flag, Json, Number, Text};

/// Where a row comes from.
pub(super) const POSITION: Column = column(
    "position",
    Number,
    "The place among all that is projected of the event that it is from.",
);

/// The tables, each after those that it refers to. [`TableId`] has them in the same order.
pub(super) const TABLES: &[Table] = &[
    Table {
        name: "reasons",
        comment: "Why quotes lose.",
        columns: &[
            column("reason", Number, "Its stable number."),
            column("name", Text, "Its name, as in JSON."),
            column("transient", Flag, "Whether the same quote may win later."),
            column("meaning", Text, "What it means."),
            column("remedy", Text, "What the provider may do."),
        ],
        key: "reason",
        indexes: &[],
    },
    Table {
        name: "accounts",
        comment: "Accounts: they own money and limits.",
        columns: &[
            column("account", Text, "Its id."),
            column("enrolled_at_ns", Number, "When it was enrolled, in ns since 1970 (UTC)."),
            column(
                "transaction_max_micros",
                Number,
                "The most that one of its transactions may cost, in millionths of a unit of its \
                 currency; none for the exchange and its operator.",
            )
            .or_null(),
            POSITION,
        ],
        key: "account",
        indexes: &[],
    },
    Table {
        name: "agents",
        comment: "Agents: software that acts for an account.",
        columns: &[
            column("agent", Text, "Its id."),
            column("account", Text, "The account that it acts for.").of("accounts (account)"),
            column("public_key", Text, "Its Ed25519 key, 64 hexadecimal digits."),
            column("roles", Json, "What it may do: a list of names."),
            column("attributes", Json, "What is known to be true of it: a list of names."),
            column("enrolled_at_ns", Number, "When it was enrolled, in ns since 1970 (UTC)."),
            POSITION,
        ],
        key: "agent",
        indexes: &["account"],
    },
    Table {
        name: "capabilities",
        comment: "Capabilities: kinds of work that are traded.",
        columns: &[
            column("capability", Text, "Its id."),
            column("name", Text, "Its public name."),
            column("currency", Text, "What it is traded in: three letters."),
            column("terms", Text, "The digest of the terms of its standing quotes (BLAKE3, hex)."),
            column("listed_at_ns", Number, "When it was listed, in ns since 1970 (UTC)."),
            POSITION,
        ],
        key: "capability",
        indexes: &["name"],
    },
    Table {
        name: "rfqs",
        comment: "Requests for quotes.",
        columns: &[
            column("rfq", Text, "Its id."),
            column("buyer", Text, "Who asks.").of("agents (agent)"),
            column("account", Text, "Whose money is held for it.").of("accounts (account)"),
            column("capability", Text, "The kind of work.").of("capabilities (capability)"),
            column("format", Text, "How it is cleared."),
            column("quantity", Number, "Units of work; 1 if it is combinatorial."),
            column(
                "reserve_micros",
                Number,
                "The most that the buyer pays per unit, or for all items of a combinatorial RFQ, in \
                 millionths of a unit of the currency. Providers do not learn it.",
            ),
            column("currency", Text, "What it is paid in: three letters."),
            column("opened_at_ns", Number, "When it was opened, in ns since 1970 (UTC)."),
            column(
                "closes_at_ns",
                Number,
                "When it was to close at its opening, in ns since 1970.",
            ),
            column("window_ns", Number, "How long it collects quotes, in ns; 0: not at all."),
            column("bond_bps", Number, "What providers put up, in basis points of their price."),
            column(
                "latency_micros_per_ms",
                Number,
                "What a ms of latency costs in the score, in millionths.",
            ),
            column(
                "reputation_micros_per_bps",
                Number,
                "What a basis point of missing reputation costs in the score, in millionths.",
            ),
            column("delivery_within_ns", Number, "Time from the award to the delivery, in ns."),
            column("acceptance_within_ns", Number, "Time to object to a delivery, in ns."),
            column("spec", Text, "The digest of the public job spec (BLAKE3, hex)."),
            column("terms", Text, "The digest of the terms of the contract (BLAKE3, hex)."),
            POSITION,
        ],
        key: "rfq",
        indexes: &["buyer, opened_at_ns", "capability, opened_at_ns", "account"],
    },
    Table {
        name: "quotes",
        comment: "Sealed quotes, as they stood when their RFQ closed. Before that there are none.",
        columns: &[
            column("quote", Text, "Its id."),
            column("rfq", Text, "The RFQ that it answers.").of("rfqs (rfq)"),
            column("provider", Text, "Who quotes.").of("agents (agent)"),
            column("placed_at_ns", Number, "When it was placed, in ns since 1970 (UTC)."),
            column(
                "price_micros",
                Number,
                "The price per unit, in millionths of a unit of the currency; none for a group of \
                 bundles.",
            )
            .or_null(),
            column("quantity", Number, "Units offered; none for a group of bundles.").or_null(),
            column("all_or_none", Flag, "Whether it does all of its units or none."),
            column("latency_ms", Number, "From award to delivery, in ms; none for a group.")
                .or_null(),
            column(
                "valid_until_ns",
                Number,
                "Firm until then, in ns since 1970; none for a group.",
            )
            .or_null(),
            column("standby_until_ns", Number, "Stands by until then, in ns since 1970.").or_null(),
            column("amendments", Number, "How often it was amended, or its group added to."),
            column("canceled_at_ns", Number, "When it was canceled, in ns since 1970.").or_null(),
            column("cancel_cause", Text, "Why it was canceled.").or_null(),
            POSITION,
        ],
        key: "quote",
        indexes: &["rfq", "provider, placed_at_ns"],
    },
    Table {
        name: "bundles",
        comment: "Bundles of combinatorial RFQs, since their RFQ closed.",
        columns: &[
            column("quote", Text, "The group that it is of.").of("quotes (quote)"),
            column("number", Number, "Its number in the group, from 0."),
            column("rfq", Text, "The RFQ that it answers.").of("rfqs (rfq)"),
            column("provider", Text, "Who quotes.").of("agents (agent)"),
            column("items", Json, "The numbers of its items, from 0."),
            column("price_micros", Number, "The price of all of it, in millionths."),
            column("latency_ms", Number, "From award to delivery, in ms."),
            POSITION,
        ],
        key: "quote, number",
        indexes: &["rfq", "provider"],
    },
    Table {
        name: "rfq_ends",
        comment: "How RFQs ended: at most one row for each.",
        columns: &[
            column("rfq", Text, "Which RFQ.").of("rfqs (rfq)"),
            column("ended_at_ns", Number, "When it ended, in ns since 1970 (UTC)."),
            column("result", Text, "awarded, passed or canceled."),
            column("awarded", Number, "Units that were awarded; items if it was combinatorial."),
            column("bundles", Number, "Bundles that were quoted."),
            column(
                "clearing_price_micros",
                Number,
                "The highest price per unit that is paid, or what is paid in all if it was \
                 combinatorial, in millionths; none if nothing was awarded.",
            )
            .or_null(),
            POSITION,
        ],
        key: "rfq",
        indexes: &["ended_at_ns"],
    },
    Table {
        name: "rankings",
        comment: "What competed for an RFQ, in the order of the close.",
        columns: &[
            column("rfq", Text, "Which RFQ.").of("rfqs (rfq)"),
            column("place", Number, "The place in the list, from 1."),
            column("provider", Text, "Who quoted.").of("agents (agent)"),
            column("quote_kind", Text, "sealed, standing, take or bundle."),
            column("quote", Text, "Which sealed quote or group, if it is one.")
                .of("quotes (quote)")
                .or_null(),
            column("bundle", Number, "Which bundle of the group, if it is one.").or_null(),
            column("price_micros", Number, "What it asked per unit, in millionths."),
            column("score_micros", Number, "Its score: the lowest is the best, in millionths."),
            column("latency_ms", Number, "Its quoted latency, in ms."),
            column("reputation_bps", Number, "The reputation at the close, in basis points."),
            column("rank", Number, "Its rank, from 1; 0 if it was not ranked."),
            column("result", Text, "won, lost, standby, shown or declined."),
            column("reason", Number, "Why it lost, or would.").of("reasons (reason)").or_null(),
            POSITION,
        ],
        key: "rfq, place",
        indexes: &["provider", "quote"],
    },
    Table {
        name: "contracts",
        comment: "Contracts: each is one award.",
        columns: &[
            column("contract", Text, "Its id."),
            column("rfq", Text, "The RFQ that it comes from.").of("rfqs (rfq)"),
            column("buyer", Text, "Who pays.").of("agents (agent)"),
            column("provider", Text, "Who works.").of("agents (agent)"),
            column("awarded_at_ns", Number, "When it was awarded, in ns since 1970 (UTC)."),
            column("quote_kind", Text, "sealed, standing, take or bundle."),
            column("quote", Text, "Which sealed quote or group, if it is one.")
                .of("quotes (quote)")
                .or_null(),
            column("bundle", Number, "Which bundle of the group, if it is one.").or_null(),
            column("price_micros", Number, "The price per unit that is paid, in millionths."),
            column("quantity", Number, "Units of work."),
            column("total_micros", Number, "Price times quantity, in millionths."),
            column("currency", Text, "What it is paid in: three letters."),
            column("bond_micros", Number, "What the provider has put up, in millionths."),
            column("asked_micros", Number, "What the quote asked per unit, in millionths."),
            column("latency_ms", Number, "The quoted latency, in ms."),
            column("reputation_bps", Number, "The reputation at the award, in basis points."),
            column("start_due_ns", Number, "To be started by then, in ns since 1970.").or_null(),
            column("delivery_due_ns", Number, "Due by then, in ns since 1970."),
            column("takes_over", Text, "The contract whose place it takes.")
                .of("contracts (contract)")
                .or_null(),
            POSITION,
        ],
        key: "contract",
        indexes: &["rfq", "buyer, awarded_at_ns", "provider, awarded_at_ns", "quote", "takes_over"],
    },
    Table {
        name: "contract_steps",
        comment: "What became of contracts, step by step.",
        columns: &[
            POSITION,
            column("contract", Text, "Which contract.").of("contracts (contract)"),
            column("at_ns", Number, "When, in ns since 1970 (UTC)."),
            column("step", Text, "started, delivered, verified, settled, expired or taken_over."),
            column("deliverable", Text, "The digest of what was delivered (BLAKE3, hex).")
                .or_null(),
            column("acceptance", Text, "Who accepted: buyer or silence.").or_null(),
            column("released_micros", Number, "What the provider got, in millionths.").or_null(),
            column("fee_micros", Number, "What the exchange got, in millionths.").or_null(),
            column("penalty_micros", Number, "What the buyer got for a delay, in millionths.")
                .or_null(),
            column("refunded_micros", Number, "What the buyer got back, in millionths.").or_null(),
            column("compensation_micros", Number, "What the bond paid, in millionths.").or_null(),
            column("successor", Text, "Who takes over.").of("agents (agent)").or_null(),
        ],
        key: "position",
        indexes: &["contract", "step, at_ns", "successor"],
    },
    Table {
        name: "losses",
        comment: "Quotes that lost, each with its final reason.",
        columns: &[
            POSITION,
            column("place", Number, "Its place in the list of the close, from 1; else 1."),
            column("rfq", Text, "Which RFQ.").of("rfqs (rfq)"),
            column("provider", Text, "Whose quote.").of("agents (agent)"),
            column("at_ns", Number, "When it was told, in ns since 1970 (UTC)."),
            column("quote_kind", Text, "sealed, standing, take or bundle."),
            column("quote", Text, "Which sealed quote or group, if it is one.")
                .of("quotes (quote)")
                .or_null(),
            column("bundle", Number, "Which bundle of the group, if it is one.").or_null(),
            column("reason", Number, "Why.").of("reasons (reason)"),
            column("rank", Number, "Its rank, from 1; 0 or none if it was not ranked.").or_null(),
        ],
        key: "position, place",
        indexes: &["rfq", "provider, at_ns", "reason", "quote"],
    },
    Table {
        name: "standing_quotes",
        comment: "Standing quotes: a row for each time that one was set or ended.",
        columns: &[
            POSITION,
            column("capability", Text, "The kind of work.").of("capabilities (capability)"),
            column("provider", Text, "Whose.").of("agents (agent)"),
            column("at_ns", Number, "When, in ns since 1970 (UTC)."),
            column("revision", Number, "Its revision."),
            column("price_micros", Number, "The price per unit, in millionths; none at the end.")
                .or_null(),
            column("latency_ms", Number, "How long the work takes, in ms; none at the end.")
                .or_null(),
            column("capacity", Number, "Units on offer when it was set; none at the end.")
                .or_null(),
            column("valid_until_ns", Number, "Firm until then, in ns since 1970; none at the end.")
                .or_null(),
            column("ended", Text, "Why it ended; none when it was set.").or_null(),
        ],
        key: "position",
        indexes: &["capability, provider, position", "provider"],
    },
    Table {
        name: "postings",
        comment: "The ledger: two rows for each movement, which add up to zero.",
        columns: &[
            POSITION,
            column("side", Number, "1: where money came from; 2: where it went."),
            column("at_ns", Number, "When, in ns since 1970 (UTC)."),
            column("kind", Text, "Why money moved."),
            column("account", Text, "Whose money.").of("accounts (account)"),
            column("bucket", Text, "In which bucket of the account."),
            column("amount_micros", Number, "How much came (above zero) or went, in millionths."),
            column("currency", Text, "In what: three letters."),
        ],
        key: "position, side",
        indexes: &["account, at_ns", "kind"],
    },
    Table {
        name: "reputations",
        comment: "Changes of reputations by what providers did.",
        columns: &[
            POSITION,
            column("agent", Text, "Whose.").of("agents (agent)"),
            column("at_ns", Number, "When, in ns since 1970 (UTC)."),
            column("from_bps", Number, "From so many basis points."),
            column("to_bps", Number, "To so many basis points."),
            column("cause", Text, "settled, late or failed."),
        ],
        key: "position",
        indexes: &["agent, at_ns"],
    },
    Table {
        name: "events",
        comment: "Everything that is projected, in order. What is sealed comes at the close.",
        columns: &[
            column("position", Number, "Its place among all that is projected, from 1."),
            column("ts_event_ns", Number, "When it happened, in ns since 1970 (UTC)."),
            column("kind", Text, "The name of the event."),
            column("rfq", Text, "The RFQ that it is about, if it is about one.").or_null(),
            column("event", Json, "The event, as the exchange said it."),
        ],
        key: "position",
        indexes: &["rfq", "kind"],
    },
    Table {
        name: "stream_events",
        comment: "What subscribers get, from which their gaps are filled. Not for readers: a gap in \
                  stream_seq shows that something is sealed.",
        columns: &[
            column(
                "stream",
                Text,
                "exchange, problems, a capability, or the agent whose own it is.",
            ),
            column("stream_seq", Number, "Its number in the stream, from 1."),
            column("position", Number, "The event that it is made of.").of("events (position)"),
            column("frame", Bytes, "A frame of the protocol, its payload in rkyv."),
        ],
        key: "stream, stream_seq",
        indexes: &["position"],
    },
];

/// Views: how things stand now.
pub(super) const VIEWS: &[View] = &[
    View {
        name: "standing_quotes_live",
        comment: "Standing quotes that have neither ended nor been replaced.",
        // Those of the table, one by one.
        columns: &[],
        query: "SELECT quote.* FROM standing_quotes AS quote WHERE quote.ended IS NULL AND NOT EXISTS \
         (SELECT 1 FROM standing_quotes AS later WHERE later.capability = quote.capability \
         AND later.provider = quote.provider AND later.position > quote.position)",
    },
    View {
        name: "balances",
        comment: "What the accounts have.",
        columns: &[
            ("account", "Whose it is."),
            ("bucket", "What it is for: available, held, escrow, bonds, fees or external."),
            ("currency", "What it is in: three letters."),
            ("balance_micros", "How much, in millionths of a unit of the currency."),
        ],
        query: "SELECT account, bucket, currency, CAST(sum(amount_micros) AS bigint) AS balance_micros \
         FROM postings GROUP BY account, bucket, currency",
    },
    View {
        name: "contract_states",
        comment: "How far contracts are.",
        columns: &[
            ("contract", "Its id."),
            ("state", "Its last step, as in contract_steps; awarded if it has had none."),
        ],
        query: "SELECT contract.contract, COALESCE((SELECT step.step FROM contract_steps AS step \
         WHERE step.contract = contract.contract ORDER BY step.position DESC LIMIT 1), 'awarded') \
         AS state FROM contracts AS contract",
    },
];

/// A table, by its place in [`TABLES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableId {
    Reasons,
    Accounts,
    Agents,
    Capabilities,
    Rfqs,
    Quotes,
    Bundles,
    RfqEnds,
    Rankings,
    Contracts,
    ContractSteps,
    Losses,
    StandingQuotes,
    Postings,
    Reputations,
    Events,
    StreamEvents,
}

impl TableId {
    /// Returns what it looks like.
    pub(super) fn table(self) -> &'static Table {
        &TABLES[self as usize]
    }

    /// Returns how many columns it has.
    pub(super) fn width(self) -> usize {
        self.table().columns.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_places_are_those_of_the_tables() {
        for (table, name) in [
            (TableId::Reasons, "reasons"),
            (TableId::Rfqs, "rfqs"),
            (TableId::Contracts, "contracts"),
            (TableId::Postings, "postings"),
            (TableId::Events, "events"),
            (TableId::StreamEvents, "stream_events"),
        ] {
            assert_eq!(table.table().name, name);
        }
        assert_eq!(TableId::StreamEvents as usize, TABLES.len() - 1);
    }

    #[test]
    fn each_table_comes_after_those_that_it_refers_to() {
        for (place, table) in TABLES.iter().enumerate() {
            for found_in in table.columns.iter().filter_map(|column| column.found_in) {
                let (name, _) = found_in.split_once(' ').unwrap();
                let earlier = TABLES[..=place].iter().any(|table| table.name == name);
                assert!(earlier, "{} refers to {name}", table.name);
            }
        }
    }

    #[test]
    fn a_comment_can_be_quoted() {
        for table in TABLES {
            let comments = table.columns.iter().map(|column| column.comment);
            assert!(comments.chain([table.comment]).all(|comment| !comment.contains('\'')));
        }
    }

    #[test]
    fn whatever_refers_to_rows_that_may_go_is_indexed() {
        for table in TABLES {
            let leads = |columns: &&str, column: &str| columns.split(", ").next() == Some(column);
            for column in table.columns {
                let may_go = column.found_in.is_some_and(|found| !found.starts_with("reasons "));
                let mut indexes = table.indexes.iter().chain([&table.key]);
                let is_indexed = indexes.any(|columns| leads(columns, column.name));
                assert!(!may_go || is_indexed, "{}.{}", table.name, column.name);
            }
        }
    }

    #[test]
    fn a_number_with_a_unit_says_which() {
        for column in TABLES.iter().flat_map(|table| table.columns) {
            for (ending, unit) in [("_ns", "ns"), ("_ms", "ms"), ("_bps", "basis point")] {
                assert!(
                    !column.name.ends_with(ending) || column.comment.contains(unit),
                    "{}: {}",
                    column.name,
                    column.comment
                );
            }
            assert!(
                !column.name.contains("_micros") || column.comment.contains("millionths"),
                "{}: {}",
                column.name,
                column.comment
            );
        }
    }
}
