//! From a one-time token to a certificate. Comes in: the token. Goes out: an identity in the data directory. It may be repeated: the
//! key is made once, so the masters recognise the same join.

use std::time::{Duration, Instant};

use cloudai_net::channel::{ChannelOptions, ConnectError};
use cloudai_net::files::{InstallError, RequestError};
use cloudai_net::token::TokenError;
use cloudai_net::{Backoff, ChannelFactory, IdentityFiles, JoinToken};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_proto::v1::join_request::Role;
use cloudai_proto::v1::{ErrorInfo, ErrorKind};
use cloudai_types::Millis;

/// A cluster without a leader, or masters that are still starting, get this long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(
        "this worker has no certificate yet, and no join token: run `cloudai worker authorize NAME` and give the token it prints"
    )]
    NoToken,
    #[error("the join token: {0}")]
    Token(#[from] TokenError),
    #[error(
        "the join token is for '{token}', and this worker is configured as '{configured}': use a token for that name"
    )]
    OtherName { token: String, configured: String },
    #[error("the masters refuse the join: {0}")]
    Refused(String),
    #[error("the join token does not belong to the cluster at these addresses: {0}")]
    Untrusted(String),
    #[error("no master could be joined within {} s: {last}", GIVE_UP_AFTER.as_secs())]
    GaveUp { last: String },
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Install(#[from] InstallError),
}

/// Does nothing when there is a certificate.
pub async fn ensure_joined(
    files: &IdentityFiles,
    token: Option<&str>,
    name: &str,
    masters: &[String],
) -> Result<(), JoinError> {
    if files.is_joined() {
        return Ok(());
    }
    let token: JoinToken = token.ok_or(JoinError::NoToken)?.parse()?;
    if !name.is_empty() && name != token.name {
        return Err(JoinError::OtherName { token: token.name, configured: name.to_owned() });
    }
    let factory = ChannelFactory::joining(token.ca);
    let request = pb::JoinRequest {
        name: token.name.clone(),
        secret: token.secret.as_bytes().to_vec().into(),
        csr_pem: files.request()?,
        role: Role::Worker as i32,
        hosts: vec![],
    };
    let reply = redeem(&factory, request, masters).await?;
    files.install(&reply.cert_pem, &reply.ca_pem, Some(&token.ca))?;
    tracing::info!(name = token.name, cluster = reply.cluster_id, "joined the cluster");
    Ok(())
}

async fn redeem(
    factory: &ChannelFactory,
    request: pb::JoinRequest,
    masters: &[String],
) -> Result<pb::JoinReply, JoinError> {
    let begun = Instant::now();
    let mut backoff = Backoff::new(Millis(200), Millis(3_000));
    let mut last = String::new();
    while begun.elapsed() < GIVE_UP_AFTER {
        for address in masters {
            match ask(factory, request.clone(), address).await {
                Ok(reply) => return Ok(reply),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Retry(why)) => {
                    tracing::debug!(address, why, "this master could not be joined");
                    last = format!("{address}: {why}");
                }
            }
        }
        tokio::time::sleep(backoff.next(rand::random()).as_duration()).await;
    }
    Err(JoinError::GaveUp { last })
}

enum Failure {
    Final(JoinError),
    Retry(String),
}

async fn ask(factory: &ChannelFactory, request: pb::JoinRequest, address: &str) -> Result<pb::JoinReply, Failure> {
    let channel = factory.channel(address, &ChannelOptions::calls()).map_err(|e| Failure::Retry(e.to_string()))?;
    let mut client = DispatchClient::new(channel);
    let call = tokio::time::timeout(CALL_TIMEOUT, client.join(request)).await;
    let status = match call {
        Ok(Ok(reply)) => return Ok(reply.into_inner()),
        Ok(Err(status)) => status,
        Err(_) => return Err(Failure::Retry(format!("no answer within {} s", CALL_TIMEOUT.as_secs()))),
    };
    if let Some(error) = ConnectError::of(&status) {
        if error.is_about_certificates() {
            return Err(Failure::Final(JoinError::Untrusted(error.to_string())));
        }
        return Err(Failure::Retry(error.to_string()));
    }
    let info = ErrorInfo::from_status(&status);
    match info.kind() {
        ErrorKind::Invalid
        | ErrorKind::NotFound
        | ErrorKind::Ambiguous
        | ErrorKind::Unauthenticated
        | ErrorKind::Denied
        | ErrorKind::Conflict
        | ErrorKind::OverQuota
        | ErrorKind::TooLarge
        | ErrorKind::TooOld => {
            let next = if info.next.is_empty() { String::new() } else { format!("; {}", info.next) };
            Err(Failure::Final(JoinError::Refused(format!("{}{next}", info.sentence()))))
        }
        ErrorKind::NotLeader
        | ErrorKind::NoLeader
        | ErrorKind::OutcomeUnknown
        | ErrorKind::TooBusy
        | ErrorKind::Stopping
        | ErrorKind::Unreachable
        | ErrorKind::Internal
        | ErrorKind::Unspecified => Err(Failure::Retry(info.sentence())),
    }
}
