//! How sure a mean is. Comes in: one value per seed. Goes out: their mean and its 95 % interval by Student's t distribution, which takes
//! the values as independent and roughly normal. What was measured is deliberately not known here.

use serde::Serialize;

/// A mean over seeds.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize)]
pub struct Interval {
    pub mean: f64,
    /// Half the width of the 95 % interval; one value says nothing of it.
    pub ci95: Option<f64>,
}

impl Interval {
    /// 0 for no values.
    pub fn of(values: &[f64]) -> Interval {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n.max(1.0);
        let Some(degrees) = values.len().checked_sub(1).filter(|degrees| *degrees > 0) else {
            return Interval { mean, ci95: None };
        };
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / degrees as f64;
        Interval { mean, ci95: Some(student_t(degrees) * (variance / n).sqrt()) }
    }
}

/// The published table for 1 to 30 degrees of freedom.
const TABLE: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// The same of the normal distribution.
const NORMAL: f64 = 1.959_963_985;

/// The 97.5 % point: 5 % of the values lie outside of both. Beyond the table its expansion in 1/degrees (Abramowitz and Stegun,
/// 26.7.5), which is exact to the table's digits there.
fn student_t(degrees: usize) -> f64 {
    if let Some(t) = degrees.checked_sub(1).and_then(|place| TABLE.get(place)) {
        return *t;
    }
    let (z, n) = (NORMAL, degrees as f64);
    let first = (z.powi(3) + z) / 4.0;
    let second = (5.0 * z.powi(5) + 16.0 * z.powi(3) + 3.0 * z) / 96.0;
    z + first / n + second / (n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_by_hand() {
        // Mean 12, deviations -2, 0, 2: variance 8 / 2 = 4. 4.303 · sqrt(4 / 3) = 4.9687.
        let three = Interval::of(&[10.0, 12.0, 14.0]);
        assert_eq!(three.mean, 12.0);
        assert!((three.ci95.unwrap() - 4.968_67).abs() < 1e-4, "{three:?}");
        // Ten values, 1 to 10: mean 5.5, variance 82.5 / 9 = 9.16667. 2.262 · sqrt(0.916667) = 2.16571.
        let ten = Interval::of(&(1..=10).map(f64::from).collect::<Vec<_>>());
        assert_eq!(ten.mean, 5.5);
        assert!((ten.ci95.unwrap() - 2.165_71).abs() < 1e-4, "{ten:?}");
        assert_eq!(Interval::of(&[7.0]), Interval { mean: 7.0, ci95: None });
        assert_eq!(Interval::of(&[7.0, 7.0]), Interval { mean: 7.0, ci95: Some(0.0) });
        assert_eq!(Interval::of(&[]), Interval::default());
    }

    #[test]
    fn beyond_the_table_it_goes_on_as_published() {
        for (degrees, published) in [(1, 12.706), (30, 2.042), (40, 2.021), (60, 2.000), (120, 1.980), (100_000, 1.960)]
        {
            assert!((student_t(degrees) - published).abs() < 6e-4, "{degrees}: {}", student_t(degrees));
        }
        assert!((1..200).all(|degrees| student_t(degrees + 1) < student_t(degrees)), "it falls all the way");
    }

    /// The interval keeps its promise: of many samples, 95 % of the intervals hold the true mean.
    #[test]
    fn nineteen_of_twenty_intervals_hold_the_true_mean() {
        let mut seeded = crate::seeded::Seeded::new(1);
        let samples = 20_000;
        let holding = (0..samples).filter(|_| {
            let values: Vec<f64> = (0..5).map(|_| 3.0 + seeded.normal()).collect();
            let interval = Interval::of(&values);
            (interval.mean - 3.0).abs() <= interval.ci95.unwrap()
        });
        let share = holding.count() as f64 / f64::from(samples);
        assert!((share - 0.95).abs() < 0.005, "{share}");
    }
}
