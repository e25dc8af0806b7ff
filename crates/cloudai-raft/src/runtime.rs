//! What openraft runs on: tokio, with two things that a simulation takes over. Comes in: futures, requests for random
//! numbers, blocking work. Goes out: the same as tokio's own, unless [`simulate`] was called on this thread: then election
//! time-outs come from a seed, and blocking work runs at once, on this thread. Knows nothing of Raft.

use std::cell::Cell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::time::Duration;

use openraft::OptionalSend;
#[allow(deprecated)] // the name outside `openraft` needs another dependency of the same pinned version
use openraft::TokioRuntime as Tokio;
use openraft::async_runtime::AsyncRuntime;
use rand::{Rng, TryRng};

thread_local! {
    static SIMULATED: Cell<Option<u64>> = const { Cell::new(None) };
}

/// From now on everything of this crate that runs on this thread is a function of `seed`: nothing is drawn from the system,
/// and no other thread is used. For simulations on a current-thread runtime.
pub fn simulate(seed: u64) {
    SIMULATED.set(Some(seed));
}

/// Runs `f` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    if SIMULATED.get().is_some() {
        return Ok(f());
    }
    tokio::task::spawn_blocking(f).await.map_err(|e| io::Error::other(format!("a blocking task failed: {e}")))
}

/// Runs `f` where it may block, some time; nobody waits for it.
pub(crate) fn blocking_some_time(f: impl FnOnce() + Send + 'static) {
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) if SIMULATED.get().is_none() => drop(runtime.spawn_blocking(f)),
        Ok(_) | Err(_) => f(),
    }
}

/// Random numbers of this thread.
pub struct Dice;

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.try_next_u64().map(|n| (n >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let Some(seed) = SIMULATED.get() else { return Ok(rand::rng().next_u64()) };
        // SplitMix64.
        let next = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        SIMULATED.set(Some(next));
        let z = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(z ^ (z >> 31))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for piece in out.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            piece.copy_from_slice(&bytes[..piece.len()]);
        }
        Ok(())
    }
}

/// tokio, with [`Dice`].
#[derive(Debug)]
pub struct Runtime(Tokio);

impl AsyncRuntime for Runtime {
    type JoinError = <Tokio as AsyncRuntime>::JoinError;
    type JoinHandle<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::JoinHandle<T>;
    type Sleep = <Tokio as AsyncRuntime>::Sleep;
    type Instant = <Tokio as AsyncRuntime>::Instant;
    type TimeoutError = <Tokio as AsyncRuntime>::TimeoutError;
    type Timeout<R, T: Future<Output = R> + OptionalSend> = <Tokio as AsyncRuntime>::Timeout<R, T>;
    type ThreadLocalRng = Dice;
    type Mpsc = <Tokio as AsyncRuntime>::Mpsc;
    type Watch = <Tokio as AsyncRuntime>::Watch;
    type Oneshot = <Tokio as AsyncRuntime>::Oneshot;
    type Mutex<T: OptionalSend + 'static> = <Tokio as AsyncRuntime>::Mutex<T>;

    fn spawn<T>(future: T) -> Self::JoinHandle<T::Output>
    where
        T: Future + OptionalSend + 'static,
        T::Output: OptionalSend + 'static,
    {
        Tokio::spawn(future)
    }

    fn sleep(duration: Duration) -> Self::Sleep {
        Tokio::sleep(duration)
    }

    fn sleep_until(deadline: Self::Instant) -> Self::Sleep {
        Tokio::sleep_until(deadline)
    }

    fn timeout<R, F: Future<Output = R> + OptionalSend>(duration: Duration, future: F) -> Self::Timeout<R, F> {
        Tokio::timeout(duration, future)
    }

    fn timeout_at<R, F: Future<Output = R> + OptionalSend>(deadline: Self::Instant, future: F) -> Self::Timeout<R, F> {
        Tokio::timeout_at(deadline, future)
    }

    fn is_panic(join_error: &Self::JoinError) -> bool {
        Tokio::is_panic(join_error)
    }

    fn thread_rng() -> Dice {
        Dice
    }

    fn new(threads: usize) -> Self {
        Runtime(Tokio::new(threads))
    }

    fn block_on<F, T>(&mut self, future: F) -> T
    where
        F: Future<Output = T>,
    {
        self.0.block_on(future)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_again() {
        let draw = |seed| {
            std::thread::spawn(move || {
                simulate(seed);
                [Dice.next_u64(), Dice.next_u64(), u64::from(Dice.next_u32())]
            })
            .join()
            .expect("no panic")
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
        assert_ne!(Dice.next_u64(), Dice.next_u64(), "without a seed: the system's");
    }
}
