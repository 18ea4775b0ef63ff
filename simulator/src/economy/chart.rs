//! Plain SVG charts: grouped bars, and lines. Light background, axes with labels and units.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 176.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;

/// Told apart by people with colour blindness, too (the Okabe-Ito palette).
const COLOURS: [&str; 7] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000"];

/// What a chart is about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels<'a> {
    pub(super) title: &'a str,
    pub(super) x: &'a str,
    pub(super) y: &'a str,
}

/// A named series of values.
#[derive(Clone, Debug)]
pub(super) struct Series<T> {
    pub(super) name: String,
    pub(super) values: Vec<T>,
}

/// Draws a group of bars per name: one bar for each series that has a value there. Values run from 0
/// to `y_max`.
pub(super) fn bars(
    labels: Labels<'_>,
    groups: &[String],
    series: &[Series<Option<f64>>],
    y_max: f64,
) -> String {
    let mut chart = Chart::new(labels, (0.0, groups.len() as f64), y_max);
    let width = 0.8 / series.len().max(1) as f64;
    for (index, group) in groups.iter().enumerate() {
        let x = index as f64;
        chart.tick_x(x + 0.5, group);
        for (number, one) in series.iter().enumerate() {
            if let Some(value) = one.values.get(index).copied().flatten() {
                let left = x + 0.1 + number as f64 * width;
                chart.bar((left, left + width * 0.92), value, COLOURS[number % COLOURS.len()]);
            }
        }
    }
    chart.legend(series.iter().map(|one| one.name.as_str()));
    chart.finish()
}

/// Draws a line with points for each series. Values run from 0 to `y_max`.
pub(super) fn lines(
    labels: Labels<'_>,
    ticks: &[f64],
    series: &[Series<(f64, f64)>],
    y_max: f64,
) -> String {
    let x_max = ticks.iter().copied().fold(1.0, f64::max);
    let mut chart = Chart::new(labels, (0.0, x_max), y_max);
    for tick in ticks {
        chart.tick_x(*tick, &format!("{tick}"));
    }
    for (number, one) in series.iter().enumerate() {
        chart.line(&one.values, COLOURS[number % COLOURS.len()]);
    }
    chart.legend(series.iter().map(|one| one.name.as_str()));
    chart.finish()
}

/// A chart that is being drawn.
struct Chart {
    svg: String,
    x_range: (f64, f64),
    y_max: f64,
}

impl Chart {
    fn new(labels: Labels<'_>, x_range: (f64, f64), y_max: f64) -> Self {
        let mut chart = Self { svg: String::new(), x_range, y_max };
        chart.add(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#222\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>"
        ));
        let (middle, bottom) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - BOTTOM);
        chart.text((middle, 24.0), "middle", "font-size=\"15\"", labels.title);
        chart.text((middle, HEIGHT - 14.0), "middle", "", labels.x);
        let centre = (TOP + bottom) / 2.0;
        let turned = format!("transform=\"rotate(-90 18 {centre})\"");
        chart.text((18.0, centre), "middle", &turned, labels.y);
        for step in 0..=5 {
            let value = y_max * f64::from(step) / 5.0;
            let y = chart.y(value);
            let right = WIDTH - RIGHT;
            chart.add(&format!(
                "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#ddd\" fill=\"none\"/>"
            ));
            chart.text((LEFT - 8.0, y + 4.0), "end", "", &rounded(value));
        }
        chart
    }

    fn x(&self, value: f64) -> f64 {
        let (from, to) = self.x_range;
        LEFT + (value - from) / (to - from) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - value / self.y_max * (HEIGHT - TOP - BOTTOM)
    }

    fn tick_x(&mut self, value: f64, label: &str) {
        let x = self.x(value);
        self.text((x, HEIGHT - BOTTOM + 18.0), "middle", "", label);
    }

    fn bar(&mut self, (from, to): (f64, f64), value: f64, colour: &str) {
        // Below zero there is nothing to draw; the number says it.
        let (x, y, bottom) = (self.x(from), self.y(value.max(0.0)), self.y(0.0));
        let (width, height) = (self.x(to) - x, bottom - y);
        self.add(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             fill=\"{colour}\"/>"
        ));
        self.text((x + width / 2.0, y - 4.0), "middle", "font-size=\"10\"", &rounded(value));
    }

    fn line(&mut self, points: &[(f64, f64)], colour: &str) {
        let mut path = String::new();
        for (index, (x, y)) in points.iter().enumerate() {
            let (x, y) = (self.x(*x), self.y(*y));
            let command = if index == 0 { 'M' } else { 'L' };
            write!(path, "{command}{x:.1} {y:.1}").expect("a String takes everything");
        }
        self.add(&format!(
            "<path d=\"{path}\" stroke=\"{colour}\" stroke-width=\"2\" fill=\"none\"/>"
        ));
        for (x, y) in points {
            let (x, y) = (self.x(*x), self.y(*y));
            self.add(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"));
        }
    }

    fn legend<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let left = WIDTH - RIGHT + 20.0;
        for (index, name) in names.enumerate() {
            let (y, colour) = (TOP + index as f64 * 20.0, COLOURS[index % COLOURS.len()]);
            self.add(&format!(
                "<rect x=\"{left}\" y=\"{y}\" width=\"12\" height=\"12\" fill=\"{colour}\"/>"
            ));
            self.text((left + 18.0, y + 10.0), "start", "", name);
        }
    }

    /// Writes a text. Names and labels of an economy have no character that SVG would take for its own.
    fn text(&mut self, (x, y): (f64, f64), anchor: &str, attributes: &str, text: &str) {
        self.add(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {attributes}>{text}</text>"
        ));
    }

    fn add(&mut self, element: &str) {
        self.svg.push_str(element);
        self.svg.push('\n');
    }

    fn finish(mut self) -> String {
        self.add("</svg>");
        self.svg
    }
}

fn rounded(value: f64) -> String {
    if value.fract().abs() < 0.05 { format!("{value:.0}") } else { format!("{value:.1}") }
}
