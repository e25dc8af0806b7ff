//! Callers who each wait for their answer before they ask again. Comes in: how many, and what one call is. Goes out: answers per
//! second and how long callers waited. Answers of the warm-up are not counted.

use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde::Serialize;

/// One round.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    #[serde(skip)]
    pub answers: u64,
}

const WARM_UP: Duration = Duration::from_secs(1);

/// Runs the callers made by `caller(n)` until the time is over; `on_measure` is called when the warm-up ends. One failed call fails the round.
pub async fn run<C, F>(
    callers: usize,
    time: Duration,
    mut caller: impl FnMut(usize) -> C,
    on_measure: impl FnOnce(),
) -> anyhow::Result<Round>
where
    C: FnMut() -> F + Send + 'static,
    F: Future<Output = anyhow::Result<()>> + Send,
{
    let from = Instant::now() + WARM_UP;
    let until = from + time;
    let tasks: Vec<_> = (0..callers)
        .map(|n| {
            let mut call = caller(n);
            tokio::spawn(async move {
                let mut waits: Vec<u32> = vec![];
                loop {
                    let asked = Instant::now();
                    if asked >= until {
                        return anyhow::Ok(waits);
                    }
                    call().await?;
                    let answered = Instant::now();
                    if answered >= from && answered < until {
                        waits.push(u32::try_from((answered - asked).as_micros()).unwrap_or(u32::MAX));
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep_until(from.into()).await;
    on_measure();
    let mut waits = vec![];
    for task in try_join_all(tasks).await? {
        waits.extend(task?);
    }
    Ok(Round::of(waits, time))
}

impl Round {
    fn of(mut micros: Vec<u32>, time: Duration) -> Round {
        micros.sort_unstable();
        let at = |permille: usize| {
            let n = (micros.len() * permille).div_ceil(1_000).saturating_sub(1);
            micros.get(n).map_or(0.0, |us| f64::from(*us) / 1e3)
        };
        Round {
            per_second: micros.len() as f64 / time.as_secs_f64(),
            p50_ms: at(500),
            p99_ms: at(990),
            p999_ms: at(999),
            max_ms: at(1_000),
            answers: micros.len() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_from_the_smallest() {
        let round = Round::of((1..=1_000).rev().map(|ms| ms * 1_000).collect(), Duration::from_secs(2));
        assert_eq!((round.p50_ms, round.p99_ms, round.p999_ms, round.max_ms), (500.0, 990.0, 999.0, 1_000.0));
        assert_eq!(round.per_second, 500.0);
        assert_eq!(Round::of(vec![], Duration::from_secs(1)).max_ms, 0.0);
    }
}
