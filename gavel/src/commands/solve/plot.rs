//! Objective and bound over time, drawn as SVG.

use std::fmt::Write as _;
use std::time::Duration;

use gavel_solver::Progress;
use gavel_solver::file::Instance;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 110.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 56.0;
/// Told apart by people with colour blindness, too.
const OBJECTIVE: &str = "#0072b2";
const BOUND: &str = "#d55e00";

/// Draws what was known at each time, until the end.
pub fn objective_and_bound(instance: &Instance, history: &[Progress], end: Duration) -> String {
    let problem = &instance.problem;
    let objectives: Vec<_> =
        history.iter().map(|known| (known.elapsed, problem.objective(known.surplus))).collect();
    // Until the first prices there is no bound to draw.
    let bounds: Vec<_> = history
        .iter()
        .filter(|known| known.bound < i64::MAX)
        .map(|known| (known.elapsed, problem.objective(known.bound)))
        .collect();
    let values = || objectives.iter().chain(&bounds).map(|(_, value)| *value);
    let axes = Axes {
        end: micros(end).max(1.0),
        low: number(values().min().unwrap_or(0)),
        high: number(values().max().unwrap_or(1)),
    };
    let mut svg = axes.frame(&instance.name);
    axes.steps(&mut svg, &bounds, BOUND);
    axes.steps(&mut svg, &objectives, OBJECTIVE);
    svg.push_str("</svg>\n");
    svg
}

struct Axes {
    end: f64,
    low: f64,
    high: f64,
}

impl Axes {
    fn frame(&self, name: &str) -> String {
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let name = name.replace('&', "&amp;").replace('<', "&lt;");
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"15\">{name}: \
             <tspan fill=\"{OBJECTIVE}\">objective</tspan> and \
             <tspan fill=\"{BOUND}\">bound</tspan></text>\n\
             <path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"black\"/>\n"
        );
        for part in 0..=4 {
            let share = f64::from(part) / 4.0;
            let (time, value) = (share * self.end, self.low + share * (self.high - self.low));
            let (x, y) = (self.x(time), self.y(value));
            let text = format_args!(
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{time:.0}</text>\n\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{value:.0}</text>\n",
                bottom + 18.0,
                LEFT - 8.0,
                y + 4.0
            );
            write!(svg, "{text}").expect("a string takes whatever is written");
        }
        let (middle, below) = (f64::midpoint(LEFT, right), HEIGHT - 14.0);
        let label = format_args!(
            "<text x=\"{middle}\" y=\"{below}\" text-anchor=\"middle\">time (µs)</text>\n"
        );
        write!(svg, "{label}").expect("a string takes whatever is written");
        svg
    }

    /// Draws a line that stays at each value until the next.
    fn steps(&self, svg: &mut String, values: &[(Duration, i64)], colour: &str) {
        let Some((first, value)) = values.first() else { return };
        let mut path = format!("M{:.1} {:.1}", self.x(micros(*first)), self.y(number(*value)));
        for (time, value) in &values[1..] {
            let (x, y) = (self.x(micros(*time)), self.y(number(*value)));
            write!(path, "H{x:.1}V{y:.1}").expect("a string takes whatever is written");
        }
        let end = self.x(self.end);
        let line = format_args!(
            "<path d=\"{path}H{end:.1}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n"
        );
        write!(svg, "{line}").expect("a string takes whatever is written");
    }

    fn x(&self, time: f64) -> f64 {
        LEFT + (time / self.end).min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low).max(1.0);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a place on a picture")]
fn number(value: i64) -> f64 {
    value as f64
}
