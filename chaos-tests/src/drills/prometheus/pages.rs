//! The pages of masters and workers as a browser gets them: over TLS, by the cluster's own CA. Comes in: a cluster. Goes out: texts.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use crate::cluster::Cluster;
use crate::load;

const LIMIT: Duration = Duration::from_secs(10);

pub struct Pages {
    http: reqwest::Client,
    /// `https://HOST:PORT` of each master.
    masters: Vec<String>,
}

impl Pages {
    pub fn of(cluster: &Cluster) -> anyhow::Result<Pages> {
        cloudai_net::install_crypto_provider();
        let pem = std::fs::read(cluster.dir.join("observer").join("ca.pem")).context("the cluster has no ca.pem")?;
        let ca = reqwest::Certificate::from_pem(&pem).context("ca.pem is no certificate")?;
        // A connection belongs to the runtime that it was made in, and each look here has one of its own.
        let http =
            reqwest::Client::builder().pool_max_idle_per_host(0).no_proxy().tls_certs_only([ca]).timeout(LIMIT).build();
        let masters = cluster.processes()?.into_iter().filter(|p| p.role == "master").filter_map(|p| p.http);
        Ok(Pages { http: http.context("no HTTP client")?, masters: masters.collect() })
    }

    /// HOST:PORT of each master.
    pub fn addresses(&self) -> Vec<String> {
        self.masters.iter().map(|url| url.trim_start_matches("https://").to_owned()).collect()
    }

    /// Of one of the masters.
    pub async fn get_soon(&self, which: usize, path: &str) -> anyhow::Result<String> {
        let master = self.masters.get(which % self.masters.len().max(1)).context("there is no master")?;
        self.fetched(&format!("{master}{path}")).await
    }

    pub fn get(&self, url: &str) -> anyhow::Result<String> {
        load::runtime()?.block_on(self.fetched(url))
    }

    async fn fetched(&self, url: &str) -> anyhow::Result<String> {
        let answer = self.http.get(url).send().await.with_context(|| format!("{url} does not answer"))?;
        let status = answer.status();
        ensure!(status.is_success(), "{url} answers {status}");
        answer.text().await.with_context(|| format!("{url} breaks off"))
    }
}
