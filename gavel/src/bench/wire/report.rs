//! What came out, with its conditions and its ratios: for people, and for machines.

use std::fmt::Write as _;
use std::path::Path;

use gavel_sequencer::Layout;
use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use crate::bench::latency::{Latencies, Percentiles};
use crate::bench::machine::{Machine, file_system};
use crate::bench::rates::Rates;
use crate::bench::wire::idle::Idle;
use crate::bench::wire::paced::{Paced, SHARES};
use crate::bench::wire::{CONNECTIONS, IN_FLIGHT};

/// Everything that was measured. What was not is left out.
#[derive(Serialize)]
pub struct Report {
    /// Where and how.
    pub conditions: Conditions,
    /// A bare QUIC echo.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_echo: Option<Latencies>,
    /// One bare durable commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_commit: Option<Latencies>,
    /// The exchange whose core is a task beside the gateway's.
    pub inline: LayoutFigures,
    /// The exchange whose core has a thread of its own.
    pub thread: LayoutFigures,
    /// Bare echoes per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_echo_throughput_per_s: Option<Rates>,
    /// Durable updates at parts of the maximum, open loop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<AllPaced>,
    /// Signed sealed quotes, beside bare checks of signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// How the exchange compares to its limits.
    pub ratios: AllRatios,
    /// What an idle exchange costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle: Option<Idle>,
}

/// Where and how it was measured.
#[derive(Debug, Serialize)]
pub struct Conditions {
    machine: Machine,
    file_system: String,
    seconds_per_measurement: f64,
    loops: &'static str,
    included: &'static str,
}

/// What was measured of one layout.
#[derive(Default, Serialize)]
pub struct LayoutFigures {
    /// Command sent to `Sequenced` received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequenced: Option<Latencies>,
    /// Command sent to `Accepted` received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable: Option<Latencies>,
    /// RFQ sent to `Awarded` received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window0_award: Option<Latencies>,
    /// Durable updates per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durable_updates_per_s: Option<Rates>,
}

/// Updates at parts of the maximum, of both layouts. Empty where it was not measured.
#[derive(Default, Serialize)]
pub struct AllPaced {
    inline: Vec<Paced>,
    thread: Vec<Paced>,
}

/// Signed sealed quotes per second, of both layouts.
#[derive(Serialize)]
pub struct Signed {
    /// Cores that checked signatures.
    cores: usize,
    /// Bare strict checks per second, on all of them.
    pub bare_checks_per_s: Rates,
    inline: SignedFigures,
    thread: SignedFigures,
}

/// Signed sealed quotes per second.
#[derive(Default)]
struct SignedFigures {
    quotes_per_s: Rates,
    ratio: Option<f64>,
}

/// The ratios of both layouts.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct AllRatios {
    inline: Ratios,
    thread: Ratios,
}

/// How a layout compares to its limits: medians throughout.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Ratios {
    /// Sequenced round trip to bare echo.
    sequenced: Option<f64>,
    /// Durable round trip to bare echo and bare commit.
    durable: Option<f64>,
    /// Award to bare echo and bare commit.
    window0_award: Option<f64>,
    /// Durable updates to bare echoes, per second.
    updates: Option<f64>,
}

impl AllPaced {
    /// Returns those of a layout, from now on one per share.
    pub fn of(&mut self, layout: Layout) -> &mut [Paced] {
        let all = match layout {
            Layout::Inline => &mut self.inline,
            Layout::Thread => &mut self.thread,
        };
        if all.is_empty() {
            all.extend(SHARES.map(Paced::new));
        }
        all
    }
}

impl Signed {
    /// Begins with nothing, on so many cores.
    pub fn on(cores: usize) -> Self {
        let (inline, thread) = (SignedFigures::default(), SignedFigures::default());
        Self { cores, bare_checks_per_s: Rates::default(), inline, thread }
    }

    /// Returns the rates of a layout.
    pub fn of(&mut self, layout: Layout) -> &mut Rates {
        match layout {
            Layout::Inline => &mut self.inline.quotes_per_s,
            Layout::Thread => &mut self.thread.quotes_per_s,
        }
    }

    fn compare(&mut self) {
        let bare = Some(self.bare_checks_per_s.median());
        for figures in [&mut self.inline, &mut self.thread] {
            figures.ratio = ratio(figures.quotes_per_s.measured(), bare);
        }
    }
}

impl Serialize for SignedFigures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("quotes_per_s", &self.quotes_per_s.measured().map(f64::round))?;
        map.serialize_entry("ratio", &self.ratio)?;
        map.end()
    }
}

impl Report {
    /// Makes an empty report of measurements whose journals lie in `folder`.
    pub fn new(folder: &Path, seconds: f64) -> Self {
        Self {
            conditions: Conditions::here(folder, seconds),
            raw_echo: None,
            bare_commit: None,
            inline: LayoutFigures::default(),
            thread: LayoutFigures::default(),
            raw_echo_throughput_per_s: None,
            rates: None,
            signed: None,
            ratios: AllRatios::default(),
            idle: None,
        }
    }

    /// Returns the figures of a layout.
    pub fn of(&mut self, layout: Layout) -> &mut LayoutFigures {
        match layout {
            Layout::Inline => &mut self.inline,
            Layout::Thread => &mut self.thread,
        }
    }

    /// Compares what was measured.
    pub fn compare(&mut self) {
        if let Some(signed) = &mut self.signed {
            signed.compare();
        }
        self.ratios = AllRatios {
            inline: self.ratios_of(&self.inline),
            thread: self.ratios_of(&self.thread),
        };
    }

    fn ratios_of(&self, figures: &LayoutFigures) -> Ratios {
        let echo = median(&self.raw_echo);
        let echo_and_commit =
            echo.zip(median(&self.bare_commit)).map(|(echo, commit)| echo + commit);
        let rate = |rates: &Option<Rates>| rates.as_ref().map(Rates::median);
        Ratios {
            sequenced: ratio(median(&figures.sequenced), echo),
            durable: ratio(median(&figures.durable), echo_and_commit),
            window0_award: ratio(median(&figures.window0_award), echo_and_commit),
            updates: ratio(
                rate(&figures.durable_updates_per_s),
                rate(&self.raw_echo_throughput_per_s),
            ),
        }
    }

    /// Returns the report as a table.
    pub fn table(&self) -> String {
        let mut table = String::new();
        self.write_table(&mut table).expect("memory is the only thing that a String needs");
        table
    }

    fn write_table(&self, out: &mut String) -> std::fmt::Result {
        let Conditions { machine, file_system, .. } = &self.conditions;
        let Conditions { seconds_per_measurement, loops, included, .. } = self.conditions;
        writeln!(out, "{machine}; journals on {file_system}")?;
        writeln!(out, "{seconds_per_measurement} s each in turns; {loops}; {included}\n")?;
        let Ratios { sequenced, durable, window0_award, updates } = self.ratios.inline;
        let inline = [sequenced, durable, window0_award, updates];
        let Ratios { sequenced, durable, window0_award, updates } = self.ratios.thread;
        let thread = [sequenced, durable, window0_award, updates];

        let heads = ["count", "p50", "p99", "p99.9", "max µs"];
        write!(out, "{:24}", "one at a time")?;
        heads.iter().try_for_each(|head| write!(out, "{head:>10}"))?;
        writeln!(out, "   of the limit")?;
        row(out, "bare echo", &self.raw_echo, None)?;
        row(out, "bare commit", &self.bare_commit, None)?;
        for (name, figures, of) in
            [("inline", &self.inline, inline), ("thread", &self.thread, thread)]
        {
            row(out, &format!("{name}: sequenced"), &figures.sequenced, of[0])?;
            row(out, &format!("{name}: durable"), &figures.durable, of[1])?;
            row(out, &format!("{name}: window-0 award"), &figures.window0_award, of[2])?;
        }
        writeln!(out, "\n{CONNECTIONS} sessions, {IN_FLIGHT} in flight each, per second")?;
        rate(out, "bare echo", &self.raw_echo_throughput_per_s, None)?;
        rate(out, "inline: durable updates", &self.inline.durable_updates_per_s, inline[3])?;
        rate(out, "thread: durable updates", &self.thread.durable_updates_per_s, thread[3])?;
        self.write_rates(out)?;
        if let Some(Signed { cores, bare_checks_per_s, inline, thread }) = &self.signed {
            writeln!(out, "\nsigned sealed quotes, per second; bare checks on {cores} cores")?;
            let some = |rates: &Rates| rates.measured().map(|_| rates.clone());
            rate(out, "bare checks", &some(bare_checks_per_s), None)?;
            rate(out, "inline: signed quotes", &some(&inline.quotes_per_s), inline.ratio)?;
            rate(out, "thread: signed quotes", &some(&thread.quotes_per_s), thread.ratio)?;
        }
        if let Some(Idle { cpu_percent, resident_mib }) = self.idle {
            write!(out, "\nidle: {cpu_percent:.2} % of a core, {resident_mib:.0} MiB resident")?;
        }
        Ok(())
    }
}

impl Report {
    fn write_rates(&self, out: &mut String) -> std::fmt::Result {
        let Some(AllPaced { inline, thread }) = &self.rates else { return Ok(()) };
        writeln!(out, "\n{CONNECTIONS} sessions, updates open loop, from the scheduled time")?;
        for (name, paced) in [("inline", inline), ("thread", thread)] {
            for paced in paced {
                let (rate, latencies) = paced.row();
                row(out, &format!("{name}: {rate}"), latencies, None)?;
            }
        }
        Ok(())
    }
}

/// Writes a row of the table, if there is anything to write.
fn row<'a>(
    out: &mut String,
    name: &str,
    latencies: impl Into<Option<&'a Latencies>>,
    of_the_limit: Option<f64>,
) -> std::fmt::Result {
    let Some(latencies) = latencies.into() else { return Ok(()) };
    let Percentiles { count, p50_ns, p99_ns, p999_ns, max_ns } = latencies.percentiles();
    write!(out, "{name:24}{count:>10}")?;
    for nanos in [p50_ns, p99_ns, p999_ns, max_ns] {
        write!(out, "{:>10.1}", nanos as f64 / 1_000.0)?;
    }
    match of_the_limit {
        Some(ratio) => writeln!(out, "{ratio:>10.2} ×"),
        None => writeln!(out),
    }
}

/// Writes a rate, if there is one.
fn rate(
    out: &mut String,
    name: &str,
    rates: &Option<Rates>,
    of_the_limit: Option<f64>,
) -> std::fmt::Result {
    let Some(rates) = rates else { return Ok(()) };
    write!(out, "{name:24}{:>10.0}", rates.median())?;
    match of_the_limit {
        Some(ratio) => writeln!(out, "{ratio:>50.2} ×"),
        None => writeln!(out),
    }
}

fn median(latencies: &Option<Latencies>) -> Option<f64> {
    latencies.as_ref().map(|latencies| latencies.percentiles().p50_ns as f64)
}

fn ratio(figure: Option<f64>, limit: Option<f64>) -> Option<f64> {
    figure.zip(limit).map(|(figure, limit)| figure / limit)
}

impl Conditions {
    fn here(folder: &Path, seconds_per_measurement: f64) -> Self {
        Self {
            machine: Machine::read(),
            file_system: file_system(folder).unwrap_or_else(|| "an unknown file system".into()),
            seconds_per_measurement,
            loops: "closed loop, but the rates, which are open loop in steps of 200 µs",
            included: "over loopback, client and server included, each on a thread of its own in \
                       one process",
        }
    }
}
