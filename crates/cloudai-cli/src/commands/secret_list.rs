//! `secret list`: which secrets there are. Their values are shown by nothing.

use cloudai_proto::v1::ListSecretsRequest;
use cloudai_types::SecretKind;

use crate::exit::Failure;
use crate::output::show;
use crate::settings::Settings;
use crate::views::read;
use crate::views::secret::SecretList;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    list(settings, SecretKind::Value, "NAME").await
}

/// `heading`: what their names are to people.
pub async fn list(settings: &Settings, kind: SecretKind, heading: &'static str) -> Result<(), Failure> {
    let request = ListSecretsRequest {
        namespace: settings.namespace.clone(),
        kind: kind as i32,
        consistency: settings.consistency(),
    };
    let reply = settings.client()?.list_secrets(request).await?;
    read::tell(reply.read.as_ref(), settings.consistency);
    show(settings.format, &SecretList { heading, secrets: reply.secrets.into_iter().map(Into::into).collect() })
}
