//! Debian's Prometheus as an ordinary process on loopback. Comes in: a configuration, and questions in its own language. Goes out: its answers over HTTP. What
//! they mean is deliberately not known here.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::wait;

const READY_WITHIN: Duration = Duration::from_secs(30);
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// None: it is installed. Otherwise why not, in one line.
pub fn why_not() -> Option<String> {
    ["prometheus", "promtool"].into_iter().find_map(|program| {
        let said = crate::command::run(Command::new(program).arg("--version"), Duration::from_secs(20));
        let is_there = said.is_ok_and(|done| done.code == 0);
        (!is_there).then(|| format!("there is no '{program}' (Debian package prometheus; `make setup` installs it)"))
    })
}

/// Seconds since 1970, as Prometheus counts.
pub fn now_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// One that is stopped when it goes out of scope.
pub struct Prometheus {
    child: Child,
    address: String,
    http: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

/// Labels with their values, and the points: seconds since 1970, value. What is no number is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    pub labels: Labels,
    pub points: Vec<(f64, f64)>,
}

pub type Labels = std::collections::BTreeMap<String, String>;

/// Of the rules that were loaded.
#[derive(Debug, Clone, Deserialize)]
pub struct Rule {
    pub name: String,
    pub health: String,
    #[serde(default, rename = "lastError")]
    pub last_error: String,
    #[serde(rename = "lastEvaluation")]
    pub last_evaluation: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Alert {
    pub labels: Labels,
    /// `pending` or `firing`.
    pub state: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    pub labels: Labels,
    #[serde(rename = "scrapeUrl")]
    pub scrape_url: String,
    /// `up`, `down` or `unknown`.
    pub health: String,
    #[serde(rename = "lastError")]
    pub last_error: String,
}

impl Prometheus {
    /// With this file, and everything else of it in `dir`.
    pub fn start(dir: &Path, config: &Path) -> anyhow::Result<Prometheus> {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).context("no free port")?.port();
        let address = format!("127.0.0.1:{port}");
        let log = fs::File::create(dir.join("prometheus.log")).context("no log for Prometheus")?;
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", dir.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .arg("--log.level=warn")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("no log for Prometheus")?)
            .stderr(log);
        let runtime = crate::load::runtime()?;
        let child = command.spawn().context("Prometheus cannot be started")?;
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWERS_WITHIN).build();
        let mut started = Prometheus { child, address, http: http.context("no HTTP client")?, runtime };
        let log = dir.join("prometheus.log");
        wait::until("a Prometheus that is ready", READY_WITHIN, Duration::from_millis(100), || {
            if let Some(status) = started.child.try_wait().context("Prometheus cannot be waited for")? {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Ok(Some(Err(anyhow::anyhow!("Prometheus ended with {status}: {said}"))));
            }
            Ok(started.get("/-/ready", &[]).ok().map(|_| Ok(())))
        })??;
        Ok(started)
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<String> {
        let url = reqwest::Url::parse_with_params(&format!("http://{}{path}", self.address), parameters)
            .context("no such address")?;
        self.runtime.block_on(async {
            let answer = self.http.get(url).send().await.with_context(|| format!("{path} cannot be asked"))?;
            let is_good = answer.status().is_success();
            let text = answer.text().await.with_context(|| format!("{path} does not answer"))?;
            ensure!(is_good, "{path} with {parameters:?} was answered with: {text}");
            Ok(text)
        })
    }

    fn ask<T: DeserializeOwned>(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<T> {
        #[derive(Deserialize)]
        struct Answer<T> {
            data: T,
        }
        let text = self.get(path, parameters)?;
        let answer: Answer<T> =
            serde_json::from_str(&text).with_context(|| format!("{path} gave no such JSON: {text}"))?;
        Ok(answer.data)
    }

    pub fn query(&self, query: &str) -> anyhow::Result<Vec<Series>> {
        series(self.ask("/api/v1/query", &[("query", query), ("time", &format!("{:.3}", now_s()))])?)
    }

    /// Times in seconds since 1970.
    pub fn query_range(&self, query: &str, (from, to): (f64, f64), step_s: f64) -> anyhow::Result<Vec<Series>> {
        let [from, to, step] = [from, to, step_s].map(|s| format!("{s:.3}"));
        series(self.ask("/api/v1/query_range", &[("query", query), ("start", &from), ("end", &to), ("step", &step)])?)
    }

    pub fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        #[derive(Deserialize)]
        struct Rules {
            groups: Vec<Group>,
        }
        #[derive(Deserialize)]
        struct Group {
            rules: Vec<Rule>,
        }
        let all: Rules = self.ask("/api/v1/rules", &[])?;
        Ok(all.groups.into_iter().flat_map(|group| group.rules).collect())
    }

    /// Pending and firing ones.
    pub fn alerts(&self) -> anyhow::Result<Vec<Alert>> {
        #[derive(Deserialize)]
        struct Alerts {
            alerts: Vec<Alert>,
        }
        Ok(self.ask::<Alerts>("/api/v1/alerts", &[])?.alerts)
    }

    pub fn targets(&self) -> anyhow::Result<Vec<Target>> {
        #[derive(Deserialize)]
        struct Targets {
            #[serde(rename = "activeTargets")]
            active: Vec<Target>,
        }
        Ok(self.ask::<Targets>("/api/v1/targets", &[("state", "active")])?.active)
    }

    pub fn version(&self) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Build {
            version: String,
        }
        Ok(self.ask::<Build>("/api/v1/status/buildinfo", &[])?.version)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // A refusal means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An answer as it comes, of an instant or of a range.
#[derive(Deserialize)]
struct Found {
    result: Vec<Raw>,
}

#[derive(Deserialize)]
struct Raw {
    metric: Labels,
    #[serde(default)]
    value: Option<(f64, String)>,
    #[serde(default)]
    values: Vec<(f64, String)>,
}

fn series(found: Found) -> anyhow::Result<Vec<Series>> {
    let one = |raw: Raw| {
        let mut points = vec![];
        for (at, text) in raw.value.into_iter().chain(raw.values) {
            let value: f64 = text.parse().with_context(|| format!("'{text}' is no value"))?;
            points.extend(value.is_finite().then_some((at, value)));
        }
        Ok(Series { labels: raw.metric, points })
    };
    found.result.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_instants_and_ranges_are_read_and_what_is_no_number_is_left_out() {
        let text = r#"{"resultType":"matrix","result":[{"metric":{"a":"b"},"values":[[1.5,"2"],[2.5,"NaN"],[3.5,"+Inf"],[4.5,"1e3"]]}]}"#;
        let found = series(serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(found[0].labels["a"], "b");
        assert_eq!(found[0].points, [(1.5, 2.0), (4.5, 1000.0)]);
        let text = r#"{"resultType":"vector","result":[{"metric":{},"value":[1.5,"7"]}]}"#;
        assert_eq!(series(serde_json::from_str(text).unwrap()).unwrap()[0].points, [(1.5, 7.0)]);
    }
}
