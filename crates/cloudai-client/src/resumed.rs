//! A stream of answers that another master goes on with where one breaks. Comes in: how to ask for it. Goes out: one message after the other, and what
//! went wrong in between. What the messages mean, from where on to ask again, and what of a repetition is known already, is the caller's.

use std::future::Future;
use std::time::Duration;

use tonic::{Response, Status, Streaming};

use crate::call::{Next, Repeat, Tries};
use crate::client::{Client, Control};
use crate::error::CallError;
use crate::judge::{Verdict, judge};

/// The stream at hand, if there is one, and who sends it.
pub(crate) struct Resumed<M> {
    open: Option<(String, Streaming<M>)>,
}

impl<M> Default for Resumed<M> {
    fn default() -> Self {
        Resumed { open: None }
    }
}

/// What one step came to.
pub(crate) enum Step<M> {
    /// A master has taken the question: what it sends comes next.
    Opened,
    Message(M),
    /// Of this master; the next step asks anew.
    Broke(String, Verdict),
}

impl<M> Resumed<M> {
    /// The next message of the stream at hand; without one it is asked for, at the master that answered last and for at most `within`. `None`: for as long
    /// as its connection lives.
    pub(crate) async fn step<F>(
        &mut self,
        client: &Client,
        within: Option<Duration>,
        ask: impl FnOnce(Control) -> F,
    ) -> Step<M>
    where
        F: Future<Output = Result<Response<Streaming<M>>, Status>>,
    {
        let Some((address, mut stream)) = self.open.take() else {
            let address = client.shared.preferred();
            return match connect(client, &address, within, ask).await {
                Ok(stream) => {
                    self.open = Some((address, stream));
                    Step::Opened
                }
                Err(verdict) => Step::Broke(address, verdict),
            };
        };
        match stream.message().await {
            Ok(Some(message)) => {
                client.shared.prefer(&address);
                self.open = Some((address, stream));
                Step::Message(message)
            }
            Ok(None) => {
                Step::Broke(address, Verdict::Unknown("the master ended the stream before it was complete".into()))
            }
            Err(status) => Step::Broke(address, judge(&status)),
        }
    }
}

async fn connect<M, F>(
    client: &Client,
    address: &str,
    within: Option<Duration>,
    ask: impl FnOnce(Control) -> F,
) -> Result<Streaming<M>, Verdict>
where
    F: Future<Output = Result<Response<Streaming<M>>, Status>>,
{
    let control = client.shared.control(address).map_err(|e| Verdict::NotReached(e.to_string()))?;
    let asked = ask(control);
    let answer = match within {
        None => asked.await,
        Some(within) => tokio::time::timeout(within, asked)
            .await
            .map_err(|_| Verdict::Unknown(format!("{address} did not answer within {} ms", within.as_millis())))?,
    };
    answer.map(Response::into_inner).map_err(|status| judge(&status))
}

impl Client {
    /// Goes to the next master, after a pause where one is due; or says that the time is up. For questions, which may be asked again.
    pub(crate) async fn after_failure(
        &self,
        tries: &mut Tries,
        address: &str,
        verdict: Verdict,
    ) -> Result<(), CallError> {
        match tries.on_failure(self, address, Repeat::Safe, verdict).map_err(|e| self.as_read(e))? {
            Next::Address(a) => self.shared.prefer(&a),
            Next::Pause(pause, a) => {
                self.shared.prefer(&a);
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }
}

impl Tries {
    /// What is left of the client's retry time, and no time-out of nothing.
    pub(crate) fn within(&self) -> Duration {
        self.left().max(Duration::from_millis(1))
    }
}
