//! From values to pixels. Comes in: the values that have to be seen. Goes out: a scale with round ticks. Linear, or logarithmic where the
//! largest value is far from the smallest.

use super::Panel;
use crate::svg::{Anchor, Svg};

/// Above this ratio of the largest to the smallest, a linear axis would press the small ones together.
const LOGARITHMIC_FROM: f64 = 8.0;
const TICKS: f64 = 6.0;

/// A scale.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    low: f64,
    high: f64,
    is_logarithmic: bool,
    pub ticks: Vec<f64>,
}

impl Axis {
    /// For values that are not negative, with some room beside them.
    pub fn of(values: impl Iterator<Item = f64> + Clone) -> Axis {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(0.0, f64::max);
        match low > 0.0 && low.is_finite() && high / low > LOGARITHMIC_FROM {
            true => Axis::logarithmic(low / 1.3, high * 1.3),
            false => Axis::linear(low.min(high), high),
        }
    }

    /// From 0 on.
    pub fn from_zero(high: f64) -> Axis {
        let step = round_step(high.max(1e-9));
        Axis { low: 0.0, high: high.max(1e-9), is_logarithmic: false, ticks: ticks(0.0, high.max(1e-9), step) }
    }

    fn linear(low: f64, high: f64) -> Axis {
        let spread = if high > low { high - low } else { high.max(1.0) };
        let (low, high) = ((low - 0.12 * spread).max(0.0), high + 0.12 * spread);
        Axis { low, high, is_logarithmic: false, ticks: ticks(low, high, round_step(high - low)) }
    }

    fn logarithmic(low: f64, high: f64) -> Axis {
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let ticks = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(decade)));
        Axis { low, high, is_logarithmic: true, ticks: ticks.filter(|tick| (low..=high).contains(tick)).collect() }
    }

    /// 0 at the lower end, 1 at the upper one.
    pub fn place(&self, value: f64) -> f64 {
        let of = |v: f64| if self.is_logarithmic { v.max(f64::MIN_POSITIVE).ln() } else { v };
        (of(value) - of(self.low)) / (of(self.high) - of(self.low))
    }
}

/// 1, 2, 2.5 or 5 times a power of ten, so that there are about [`TICKS`].
fn round_step(spread: f64) -> f64 {
    let rough = spread / TICKS;
    let decade = 10f64.powf(rough.log10().floor());
    let digit = [1.0, 2.0, 2.5, 5.0].into_iter().find(|digit| digit * decade >= rough);
    digit.unwrap_or(10.0) * decade
}

fn ticks(low: f64, high: f64, step: f64) -> Vec<f64> {
    let (first, last) = ((low / step).ceil() as i64, (high / step + 1e-9).floor() as i64);
    (first..=last).map(|n| n as f64 * step).collect()
}

/// 12000 as `12k`, and no digits that say nothing.
pub fn number(value: f64) -> String {
    match value {
        v if v >= 10_000_000.0 => format!("{}M", v / 1_000_000.0),
        v if v >= 10_000.0 => format!("{}k", v / 1_000.0),
        v => format!("{}", (v * 1e6).round() / 1e6),
    }
}

impl Panel {
    pub fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.left + x * (self.right - self.left), self.bottom - y * (self.bottom - self.top))
    }

    /// Grid, ticks and what the axes mean.
    pub fn frame(&self, svg: &mut Svg, x: (&Axis, &str), y: (&Axis, &str), title: &str) {
        svg.text((self.left, self.top - 22.0), Anchor::Start, "default", title);
        for tick in &x.0.ticks {
            let (at, _) = self.at(x.0.place(*tick), 0.0);
            svg.line((at, self.top), (at, self.bottom), "grid");
            svg.text((at, self.bottom + 16.0), Anchor::Middle, "tick", &number(*tick));
        }
        for tick in &y.0.ticks {
            let (_, at) = self.at(0.0, y.0.place(*tick));
            svg.line((self.left, at), (self.right, at), "grid");
            svg.text((self.left - 6.0, at + 4.0), Anchor::End, "tick", &number(*tick));
        }
        svg.line((self.left, self.bottom), (self.right, self.bottom), "axis");
        svg.line((self.left, self.top), (self.left, self.bottom), "axis");
        svg.text((self.right, self.bottom + 34.0), Anchor::End, "tick", x.1);
        svg.text((self.left - 6.0, self.top - 8.0), Anchor::End, "tick", y.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::of([40.0, 92.0].into_iter());
        assert_eq!(axis.ticks, [40.0, 60.0, 80.0], "from 33.76 to 98.24");
        assert_eq!(Axis::from_zero(1.0).ticks, [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        let wide = Axis::of([5.0, 20_000.0].into_iter());
        assert_eq!(
            wide.ticks,
            [5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0, 10_000.0, 20_000.0]
        );
        let (low, middle, high) = (wide.place(5.0 / 1.3), wide.place(100_000f64.sqrt()), wide.place(26_000.0));
        assert!(low.abs() < 1e-9 && (middle - 0.5).abs() < 1e-9 && (high - 1.0).abs() < 1e-9, "{low} {middle} {high}");
    }

    #[test]
    fn values_that_are_all_the_same_or_none_have_an_axis_too() {
        for values in [vec![], vec![0.0], vec![7.0, 7.0], vec![0.0, 1e9]] {
            let axis = Axis::of(values.iter().copied());
            assert!(axis.high > axis.low && axis.ticks.iter().all(|t| (axis.low..=axis.high).contains(t)), "{axis:?}");
            assert!(values.iter().all(|v| (0.0..=1.0).contains(&axis.place(*v))), "{axis:?}");
        }
        assert_eq!(
            [number(0.6000000000000001), number(12_500.0), number(2e7), number(0.0)],
            ["0.6", "12.5k", "20M", "0"]
        );
    }
}
