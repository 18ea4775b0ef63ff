//! What people look at: the reports of several populations as charts.

use super::chart::{Labels, Series, bars, lines};
use super::report::MarketReport;
use super::strategy::Venue;

/// A chart with the name of its file.
#[derive(Clone, Debug)]
pub struct Plot {
    /// The name of the file.
    pub file: String,
    /// The chart.
    pub svg: String,
}

/// Draws the reports: welfare by venue, welfare by window, and for each population the win rate by
/// answer time.
pub fn plots(reports: &[MarketReport]) -> Vec<Plot> {
    let mut plots = vec![
        Plot { file: String::from("welfare-by-venue.svg"), svg: welfare_by_venue(reports) },
        Plot { file: String::from("welfare-by-window.svg"), svg: welfare_by_window(reports) },
    ];
    plots.extend(reports.iter().map(|report| Plot {
        file: format!("win-rate-{}.svg", report.population),
        svg: win_rate_by_latency(report),
    }));
    plots
}

fn welfare_by_venue(reports: &[MarketReport]) -> String {
    let labels = Labels {
        title: "Welfare by population and venue",
        x: "population",
        y: "share of the optimum (%)",
    };
    let groups: Vec<_> = reports.iter().map(|report| report.population.to_string()).collect();
    let percent = |report: &MarketReport, venue| {
        let found = report.venues.iter().find(|one| one.venue == venue);
        found.map(|one| one.welfare_share * 100.0)
    };
    let series = Venue::ALL.map(|venue| Series {
        name: venue.to_string(),
        values: reports.iter().map(|report| percent(report, venue)).collect(),
    });
    bars(labels, &groups, &series, 100.0)
}

fn welfare_by_window(reports: &[MarketReport]) -> String {
    let labels = Labels {
        title: "Welfare on the exchange by length of the window",
        x: "window (ms)",
        y: "share of the optimum (%)",
    };
    let series: Vec<_> = reports
        .iter()
        .map(|report| Series {
            name: report.population.to_string(),
            values: report
                .by_window
                .iter()
                // A share below zero, where work that cost more than its worth was done, is drawn as
                // zero.
                .map(|one| (f64::from(one.window_ms), one.welfare_share.max(0.0) * 100.0))
                .collect(),
        })
        .collect();
    lines(labels, &[0.0, 25.0, 50.0, 75.0, 100.0, 125.0, 150.0, 175.0, 200.0], &series, 100.0)
}

fn win_rate_by_latency(report: &MarketReport) -> String {
    let title = format!("Win rate by answer time: {}", report.population);
    let labels = Labels { title: &title, x: "answer time (ms)", y: "answers that won (%)" };
    let series: Vec<_> = report
        .venues
        .iter()
        .filter(|venue| venue.venue != Venue::WindowZero)
        .map(|venue| Series {
            name: venue.venue.to_string(),
            values: venue
                .win_rate_by_latency
                .iter()
                .filter(|bucket| bucket.chances.answers > 0)
                .filter_map(|bucket| {
                    let middle = (bucket.from_ms + bucket.to_ms?) as f64 / 2.0;
                    Some((middle, bucket.chances.win_rate * 100.0))
                })
                .collect(),
        })
        .collect();
    let highest = series.iter().flat_map(|one| &one.values).map(|(_, y)| *y).fold(0.0, f64::max);
    // The next multiple of ten above, so that the axis has plain numbers.
    let y_max = (highest / 10.0).ceil().max(1.0) * 10.0;
    lines(labels, &[0.0, 25.0, 50.0, 75.0, 100.0, 125.0, 150.0], &series, y_max)
}
