//! What a leader does for telemetry. Comes in: who watches, how many sessions there are, time. Goes out: what the sessions shall send, and frames.
//! Alive exactly while this master leads; without watchers it sleeps.

use cloudai_types::limits;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::node::Node;
use crate::state_store::StateStore;

/// Runs while this master leads.
pub async fn lead<S: StateStore>(node: &Node<S>, leading: &CancellationToken) {
    let telemetry = &node.telemetry;
    let source = telemetry.begin();
    // A leader that knows nothing yet knows as much as anybody.
    telemetry.is_ready(source, true);
    telemetry.publish();
    tokio::select! {
        () = leading.cancelled() => {}
        () = serve(node) => {}
    }
    telemetry.want(0);
    telemetry.is_ready(source, false);
}

async fn serve<S: StateStore>(node: &Node<S>) {
    let telemetry = &node.telemetry;
    let mut watchers = telemetry.watchers.subscribe();
    while watchers.wait_for(|watchers| *watchers > 0).await.is_ok() {
        let mut frames = interval(limits::TELEMETRY_FRAME_EVERY.as_duration());
        frames.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alone_since = None;
        while !lingered(*watchers.borrow(), &mut alone_since) {
            frames.tick().await;
            // Again and again: sessions come and go.
            telemetry.want(period_ms(node.hub.sessions()));
            telemetry.publish();
        }
        telemetry.want(0);
    }
}

/// Nobody has watched for a while.
pub fn lingered(watchers: usize, alone_since: &mut Option<Instant>) -> bool {
    if watchers > 0 {
        *alone_since = None;
        return false;
    }
    alone_since.get_or_insert_with(Instant::now).elapsed() >= limits::TELEMETRY_LINGER.as_duration()
}

/// Between two samples of each of so many workers: whole sample periods, so that all of them stay within the budget.
pub fn period_ms(workers: usize) -> u32 {
    let periods = workers.div_ceil(limits::TELEMETRY_SAMPLES_PER_SECOND_MAX).max(1);
    u32::try_from(periods as u64 * limits::SAMPLE_PERIOD.0).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_workers_are_asked_for_fewer_samples_each() {
        for (workers, ms) in [(0, 1_000), (1, 1_000), (2_000, 1_000), (2_001, 2_000), (10_000, 5_000)] {
            assert_eq!(period_ms(workers), ms, "{workers}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn workers_go_on_for_a_while_after_the_last_watcher() {
        let mut alone = None;
        assert!(!lingered(1, &mut alone) && !lingered(0, &mut alone));
        tokio::time::advance(limits::TELEMETRY_LINGER.as_duration()).await;
        assert!(lingered(0, &mut alone));
        assert!(!lingered(1, &mut alone) && !lingered(0, &mut alone), "somebody came, and the while begins anew");
    }
}
