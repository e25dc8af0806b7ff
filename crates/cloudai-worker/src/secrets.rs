//! What an attempt may know, asked of the masters. Comes in: an attempt that this worker holds, and what of it is wanted. Goes out: values in
//! memory, which are overwritten when they are dropped and never printed; or why the attempt cannot start. Nothing of it is written down
//! here: not in the journal, not in a log.
//!
//! A master that does not answer is asked again, and the others too. Whoever has no use for the answer any more drops the future.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use cloudai_net::channel::ChannelOptions;
use cloudai_net::{Backoff, ChannelFactory};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_types::{AttemptId, EndReason, Millis, ReasonKind, RegistryLogin, limits};
use zeroize::Zeroizing;

const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const RETRY_FIRST: Millis = Millis(100);
const RETRY_MAX: Millis = Millis(5_000);

/// What of an attempt is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wanted {
    /// The secrets that its spec names.
    Values,
    /// Who may pull its image, for whoever pulls it.
    Login,
}

#[derive(Clone, Default)]
pub struct Secrets {
    pub values: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// At the registry of the attempt's image; `None`: nobody has stored one.
    pub login: Option<RegistryLogin>,
}

/// Where secrets come from. Cheap to clone.
#[derive(Clone)]
pub struct SecretSource {
    factory: ChannelFactory,
    masters: Vec<String>,
}

/// Why one master gave nothing.
enum Refused {
    /// So would every other.
    Final(String),
    Again(String),
}

impl SecretSource {
    pub fn new(factory: ChannelFactory, masters: Vec<String>) -> Self {
        SecretSource { factory, masters }
    }

    /// Tried again for [`limits::SECRETS_FETCH_MAX`], or for [`limits::LOGIN_FETCH_MAX`].
    pub async fn fetch(&self, attempt: AttemptId, wanted: Wanted) -> Result<Secrets, EndReason> {
        let request = pb::SecretsRequest {
            attempt: Some(attempt.into()),
            values: wanted == Wanted::Values,
            login: wanted == Wanted::Login,
        };
        let patience = match wanted {
            Wanted::Values => limits::SECRETS_FETCH_MAX,
            Wanted::Login => limits::LOGIN_FETCH_MAX,
        };
        let begun = Instant::now();
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
        let mut is_told = false;
        loop {
            let mut last = "no master is known".to_owned();
            for address in &self.masters {
                match self.ask(address, request).await {
                    Ok(reply) => return Ok(reply.into()),
                    Err(Refused::Final(why)) => return Err(EndReason::new(ReasonKind::StartFailed, why)),
                    Err(Refused::Again(why)) => last = why,
                }
            }
            if begun.elapsed() > patience.as_duration() {
                let text = format!("its secrets could not be had from any master; the last said: {last}");
                return Err(EndReason::new(ReasonKind::StartFailed, text));
            }
            if !std::mem::replace(&mut is_told, true) {
                tracing::warn!(%attempt, last, "no master gives the secrets of an attempt yet; they are asked again");
            }
            tokio::time::sleep(backoff.next(rand::random()).as_duration()).await;
        }
    }

    /// A connection of its own, closed with the answer: attempts with secrets are few beside heartbeats.
    async fn ask(&self, address: &str, request: pb::SecretsRequest) -> Result<pb::SecretsReply, Refused> {
        let channel = self.factory.channel(address, &ChannelOptions::calls());
        let channel = channel.map_err(|e| Refused::Again(e.to_string()))?;
        let mut client = DispatchClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX);
        match tokio::time::timeout(CALL_TIMEOUT, client.secrets(request)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(judge(address, &status)),
            Err(_) => Err(Refused::Again(format!("{address} did not answer within {} s", CALL_TIMEOUT.as_secs()))),
        }
    }
}

/// Only a master's own word is final; what a broken connection or an older build says is not.
fn judge(address: &str, status: &tonic::Status) -> Refused {
    let Some(info) = pb::ErrorInfo::carried_by(status) else {
        return Refused::Again(format!("{address}: {}", status.message()));
    };
    match info.kind() {
        pb::ErrorKind::NotFound | pb::ErrorKind::Denied | pb::ErrorKind::Invalid => Refused::Final(info.sentence()),
        _ => Refused::Again(info.sentence()),
    }
}

impl From<pb::SecretsReply> for Secrets {
    fn from(reply: pb::SecretsReply) -> Self {
        let value = |secret: pb::Secret| (secret.name, Zeroizing::new(secret.value.to_vec()));
        Secrets {
            values: reply.values.into_iter().map(value).collect(),
            login: reply.login.map(|l| RegistryLogin { username: l.username, password: l.password }),
        }
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("names", &self.values.keys()).field("login", &self.login).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masters_no_is_final_and_everything_else_is_not() {
        let is_final = |status: tonic::Status| matches!(judge("m1:7601", &status), Refused::Final(_));
        let said = |kind| pb::ErrorInfo::new(kind, "what").into_status();
        assert!(is_final(said(pb::ErrorKind::NotFound)) && is_final(said(pb::ErrorKind::Denied)));
        for kind in [pb::ErrorKind::NotLeader, pb::ErrorKind::NoLeader, pb::ErrorKind::Internal] {
            assert!(!is_final(said(kind)), "{kind:?}");
        }
        assert!(!is_final(tonic::Status::not_found("a proxy's")));
        assert!(!is_final(tonic::Status::unimplemented("an older build's")));
    }

    #[test]
    fn no_value_is_printed() {
        let secrets = Secrets::from(pb::SecretsReply {
            values: vec![pb::Secret { name: "token".into(), value: "canary".into() }],
            login: Some(pb::RegistryLogin { username: "ci".into(), password: "canary".into() }),
        });
        let printed = format!("{secrets:?}");
        let bytes = format!("{:?}", b"canary");
        assert!(printed.contains("token") && printed.contains("ci"), "{printed}");
        assert!(!printed.contains("canary") && !printed.contains(&bytes[1..bytes.len() - 1]), "{printed}");
    }
}
