//! Keeps the certificate alive: a new one from two thirds of its life on. Existing connections stay as they are.

use std::sync::Arc;
use std::time::Duration;

use cloudai_net::channel::ChannelOptions;
use cloudai_net::{ChannelFactory, ReloadingTls};
use cloudai_proto::v1 as pb;
use cloudai_proto::v1::dispatch_client::DispatchClient;
use cloudai_types::Millis;

use crate::clock;

/// How often the clock is looked at: a suspended machine must not sleep over its renewal.
const LOOK_EVERY: Duration = Duration::from_secs(60);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Less than this left, and still no new one: a human must look.
const ALARM_BELOW: Millis = Millis::from_secs(24 * 3600);

#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error(transparent)]
    Request(#[from] cloudai_net::files::RequestError),
    #[error(transparent)]
    Install(#[from] cloudai_net::files::InstallError),
    #[error(transparent)]
    Tls(#[from] cloudai_net::tls::TlsError),
    #[error("no master renewed it: {0}")]
    Masters(String),
}

/// Runs for ever.
pub async fn keep_renewed(tls: Arc<ReloadingTls>, masters: Vec<String>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let now = clock::wall();
        if now < tls.renew_at() {
            continue;
        }
        match renew(&tls, &masters).await {
            Ok(()) => tracing::info!(until_ms = tls.not_after().0, "the certificate was renewed"),
            Err(error) if tls.not_after() - now < ALARM_BELOW => {
                tracing::error!(%error, until_ms = tls.not_after().0, "the certificate ends soon and cannot be renewed");
            }
            Err(error) => tracing::warn!(%error, "the certificate cannot be renewed yet; it is tried again"),
        }
    }
}

async fn renew(tls: &Arc<ReloadingTls>, masters: &[String]) -> Result<(), RenewError> {
    let csr_pem = tls.files().request()?;
    let factory = ChannelFactory::new(tls.clone());
    let mut last = String::new();
    for address in masters {
        let Ok(channel) = factory.channel(address, &ChannelOptions::calls()) else { continue };
        let mut client = DispatchClient::new(channel);
        let request = pb::RenewRequest { csr_pem: csr_pem.clone() };
        match tokio::time::timeout(CALL_TIMEOUT, client.renew(request)).await {
            Ok(Ok(reply)) => {
                let reply = reply.into_inner();
                tls.files().install(&reply.cert_pem, &reply.ca_pem, None)?;
                tls.reload()?;
                return Ok(());
            }
            Ok(Err(status)) => last = format!("{address}: {}", status.message()),
            Err(_) => last = format!("{address}: no answer"),
        }
    }
    Err(RenewError::Masters(last))
}
