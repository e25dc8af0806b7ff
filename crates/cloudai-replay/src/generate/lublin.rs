//! The workload of supercomputers with rigid jobs (Lublin and Feitelson, "The workload on parallel supercomputers: modeling the
//! characteristics of rigid jobs", JPDC 63(11), 2003), with the published parameters for logs whose batch and interactive jobs are not told
//! apart. The number of the first half hour and the bounds of what is drawn are those of the authors' program; the code is our own.
//!
//! *Width*: serial with a fixed chance; else 2 to the power of a number from a two-stage uniform distribution, which is rounded to an integer
//! with another fixed chance. *Run time*: its natural logarithm is one of two gamma distributions; the wider the job, the rarer the one of
//! short times. *Gap*: its natural logarithm is a gamma distribution too, in a time that passes faster when people are at work: the share
//! of the arrivals in each half hour is a gamma distribution over the day, which begins at five.

use super::Made;
use crate::seeded::Seeded;

pub(super) const SERIAL: f64 = 0.244;
pub(super) const POWER_OF_TWO: f64 = 0.576;
/// Logarithms to the base 2 of widths; the upper end is the machine's, and the middle so much below it.
pub(super) const WIDTH_LOW: f64 = 0.8;
const WIDTH_MIDDLE_BELOW_HIGH: f64 = 2.5;
pub(super) const WIDTH_BELOW_MIDDLE: f64 = 0.86;

/// Shape and scale.
pub(super) const SHORT_RUN: (f64, f64) = (4.2, 0.94);
pub(super) const LONG_RUN: (f64, f64) = (312.0, 0.03);
/// The chance of a short run: `.0 · width + .1`.
pub(super) const SHORT: (f64, f64) = (-0.0054, 0.78);
/// Longer ones are drawn again: e¹² s, 45 hours ("MaxRuntime: 162754" in the published samples).
pub(super) const LN_RUN_MAX: f64 = 12.0;

/// Fitted in rush hours; the factor of the shape makes it one of all hours.
pub(super) const GAP: (f64, f64) = (10.2303 * 1.0225, 0.4871);
/// Longer ones are drawn again: e¹³ s, five days.
pub(super) const LN_GAP_MAX: f64 = 13.0;
/// Shape and scale of the day, in half hours.
pub(super) const DAY: (f64, f64) = (8.1737, 3.9631);
const SLOTS: usize = 48;
const SLOT_S: f64 = 1_800.0;
/// The half hour in which a day begins, five o'clock; the tail of the gamma distribution lies in the night before it.
const DAY_BEGINS: usize = 10;

pub(super) fn jobs(count: usize, nodes: u32, seeded: &mut Seeded) -> Vec<Made> {
    let pace = day_pace();
    let mut submit_s = 0.0;
    let jobs = (0..count).map(|_| {
        submit_s = later(submit_s, logarithm_below(LN_GAP_MAX, || seeded.gamma(GAP.0, GAP.1)).exp(), &pace);
        let processors = width(nodes, seeded);
        Made { submit_s, run_s: run_s(processors, seeded), processors }
    });
    jobs.collect()
}

fn width(nodes: u32, seeded: &mut Seeded) -> u32 {
    let kind = seeded.unit();
    if kind <= SERIAL {
        return 1;
    }
    let high = f64::from(nodes).log2().max(WIDTH_LOW);
    let middle = (high - WIDTH_MIDDLE_BELOW_HIGH).max(WIDTH_LOW);
    let (from, to) = if seeded.unit() <= WIDTH_BELOW_MIDDLE { (WIDTH_LOW, middle) } else { (middle, high) };
    let log2 = from + seeded.unit() * (to - from);
    let log2 = if kind <= SERIAL + POWER_OF_TWO { log2.round() } else { log2 };
    (log2.exp2().round() as u32).clamp(1, nodes)
}

fn run_s(processors: u32, seeded: &mut Seeded) -> u64 {
    let short = (SHORT.0 * f64::from(processors) + SHORT.1).clamp(0.0, 1.0);
    let logarithm = logarithm_below(LN_RUN_MAX, || {
        let (shape, scale) = if seeded.unit() <= short { SHORT_RUN } else { LONG_RUN };
        seeded.gamma(shape, scale)
    });
    logarithm.exp().round().max(1.0) as u64
}

fn logarithm_below(bound: f64, mut draw: impl FnMut() -> f64) -> f64 {
    loop {
        let drawn = draw();
        if drawn < bound {
            return drawn;
        }
    }
}

/// How fast the time of arrivals passes in each half hour of the day; 1 in the mean.
fn day_pace() -> [f64; SLOTS] {
    let mut pace = [0.0; SLOTS];
    for slot in DAY_BEGINS..DAY_BEGINS + SLOTS {
        // Half hours are numbered from 1; the density at its number stands for the share of each.
        pace[slot % SLOTS] = gamma_density((slot + 1) as f64, DAY.0, DAY.1);
    }
    let mean = pace.iter().sum::<f64>() / SLOTS as f64;
    pace.map(|p| p / mean)
}

/// Up to a constant factor, which the mean takes away again.
fn gamma_density(x: f64, shape: f64, scale: f64) -> f64 {
    ((shape - 1.0) * x.ln() - x / scale).exp()
}

/// The moment at which `gap_s` of the time of arrivals will have passed.
fn later(mut now_s: f64, mut gap_s: f64, pace: &[f64; SLOTS]) -> f64 {
    loop {
        let slot = (now_s / SLOT_S).floor();
        let (speed, end_s) = (pace[slot as usize % SLOTS], (slot + 1.0) * SLOT_S);
        let left = (end_s - now_s) * speed;
        if left >= gap_s {
            return now_s + gap_s / speed;
        }
        (now_s, gap_s) = (end_s, gap_s - left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_the_mean_pace_one_and_its_rush_hour_is_in_the_afternoon() {
        let pace = day_pace();
        assert!((pace.iter().sum::<f64>() - SLOTS as f64).abs() < 1e-9);
        let (slowest, fastest) = (argument(&pace, f64::lt), argument(&pace, f64::gt));
        // The mode of the gamma distribution is (shape - 1) · scale = 28.4: the 28th half hour, from 13:30 on.
        assert_eq!((slowest, fastest), (DAY_BEGINS, 27));
    }

    fn argument(pace: &[f64], better: fn(&f64, &f64) -> bool) -> usize {
        (0..pace.len()).reduce(|a, b| if better(&pace[b], &pace[a]) { b } else { a }).unwrap()
    }

    #[test]
    fn a_gap_passes_faster_where_the_pace_is_higher() {
        let mut pace = [1.0; SLOTS];
        pace[1] = 2.0;
        assert_eq!(later(0.0, 1_000.0, &pace), 1_000.0);
        assert_eq!(later(0.0, 3_000.0, &pace), 2_400.0, "1,800 at pace 1, and 1,200 at pace 2");
        assert_eq!(later(0.0, 1_800.0 + 3_600.0 + 10.0, &pace), 3_610.0);
        assert_eq!(later(SLOT_S * 47.5, 1_800.0, &pace), SLOT_S * 48.5, "the day after");
    }

    const COUNT: usize = 40_000;
    const NODES: u32 = 256;

    fn made() -> Vec<Made> {
        jobs(COUNT, NODES, &mut Seeded::new(11))
    }

    fn share(jobs: &[Made], is: impl Fn(&Made) -> bool) -> f64 {
        jobs.iter().filter(|job| is(job)).count() as f64 / jobs.len() as f64
    }

    #[test]
    fn widths_have_the_shares_of_the_model() {
        let jobs = made();
        assert!(jobs.iter().all(|job| (1..=NODES).contains(&job.processors)));
        let serial = share(&jobs, |job| job.processors == 1);
        assert!((serial - SERIAL).abs() < 0.01, "{serial}");
        // Those that are rounded, and some that hit a power of two by chance.
        let powers = share(&jobs, |job| job.processors > 1 && job.processors.is_power_of_two());
        assert!((POWER_OF_TWO - 0.01..POWER_OF_TWO + 0.08).contains(&powers), "{powers}");
        // Of the parallel jobs, 14 % are in the upper stage, above 2^5.5 = 45; rounding moves some to 32 and some from 32 up.
        let wide = share(&jobs, |job| job.processors > 45) / (1.0 - SERIAL);
        assert!((0.12..0.17).contains(&wide), "{wide}");
    }

    #[test]
    fn run_times_of_each_width_have_the_mean_logarithm_of_the_model() {
        let jobs = made();
        for processors in [1, 2, 4, 16, 256] {
            let short = (SHORT.0 * f64::from(processors) + SHORT.1).clamp(0.0, 1.0);
            let expected = short * SHORT_RUN.0 * SHORT_RUN.1 + (1.0 - short) * LONG_RUN.0 * LONG_RUN.1;
            let runs: Vec<f64> =
                jobs.iter().filter(|job| job.processors == processors).map(|job| (job.run_s as f64).ln()).collect();
            let mean = runs.iter().sum::<f64>() / runs.len() as f64;
            assert!((mean - expected).abs() < 0.15, "{processors} wide: {mean} instead of {expected}");
        }
        assert!(jobs.iter().all(|job| (1..=162_755).contains(&job.run_s)));
    }

    #[test]
    fn half_hours_have_the_shares_of_the_day() {
        let (jobs, pace) = (made(), day_pace());
        let mut counts = [0.0; SLOTS];
        for job in &jobs {
            counts[(job.submit_s / SLOT_S) as usize % SLOTS] += 1.0;
        }
        // Gaps are far from equal, so that single half hours scatter; quarters of the day do less.
        for quarter in 0..4 {
            let slots = quarter * SLOTS / 4..(quarter + 1) * SLOTS / 4;
            let found = counts[slots.clone()].iter().sum::<f64>() / COUNT as f64;
            let expected = pace[slots].iter().sum::<f64>() / SLOTS as f64;
            assert!((found - expected).abs() < 0.025, "quarter {quarter}: {found} instead of {expected}");
        }
    }
}
