//! `master`: be one, with the configuration from file, environment and flags.

use std::path::PathBuf;

use cloudai_master::{MasterConfig, NodeFileError, RunError, run_on_rocksdb};

use crate::commands::layered::{self, Overlay};
use crate::commands::server::{LogFlags, asked_to_stop};
use crate::exit::{Code, Failure};

#[derive(Debug, Clone, clap::Args)]
pub struct MasterArgs {
    /// Configuration file (TOML); environment and flags win over it
    #[arg(long, env = "CLOUDAI_MASTER_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Its name, as in its certificate
    #[arg(long, env = "CLOUDAI_MASTER_NAME")]
    name: Option<String>,
    /// Identity, log, state and snapshots
    #[arg(long, env = "CLOUDAI_MASTER_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Key, certificate and CAs; default: DATA_DIR/identity
    #[arg(long, env = "CLOUDAI_MASTER_IDENTITY_DIR", value_name = "DIR")]
    identity_dir: Option<PathBuf>,
    /// For browsers and Prometheus; default 0.0.0.0:7600
    #[arg(long, env = "CLOUDAI_MASTER_HTTP_LISTEN", value_name = "HOST:PORT")]
    http_listen: Option<String>,
    /// For clients and workers; default 0.0.0.0:7601
    #[arg(long, env = "CLOUDAI_MASTER_GRPC_LISTEN", value_name = "HOST:PORT")]
    grpc_listen: Option<String>,
    /// For the other masters; default 0.0.0.0:7602
    #[arg(long, env = "CLOUDAI_MASTER_RAFT_LISTEN", value_name = "HOST:PORT")]
    raft_listen: Option<String>,
    /// Host that others reach this master at
    #[arg(long, env = "CLOUDAI_MASTER_ADVERTISE_HOST", value_name = "HOST")]
    advertise_host: Option<String>,
    /// To join a cluster: gRPC addresses of its masters
    #[arg(long, env = "CLOUDAI_MASTERS", value_delimiter = ',', value_name = "HOST:PORT,…")]
    masters: Vec<String>,
    /// To join a cluster: the token of `cloudai cluster add NAME`, or @FILE
    #[arg(long, env = "CLOUDAI_JOIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    join: Option<String>,
    #[command(flatten)]
    pub log: LogFlags,
}

/// `otlp`: where spans go, whatever the file says.
pub async fn run(args: &MasterArgs, otlp: Option<&str>) -> Result<(), Failure> {
    let config = config(args, otlp)?;
    let name = config.name.clone();
    tracing::info!(name, data_dir = %config.data_dir.display(), "master starts");
    run_on_rocksdb(config, Box::pin(asked_to_stop())).await.map_err(failure)?;
    tracing::info!(name, "master stopped");
    Ok(())
}

fn config(args: &MasterArgs, otlp: Option<&str>) -> Result<MasterConfig, Failure> {
    let path = |p: &Option<PathBuf>| p.as_ref().map(|p| p.display().to_string());
    let mut over = Overlay::default();
    over.set("name", args.name.clone())
        .set("data_dir", path(&args.data_dir))
        .set("identity_dir", path(&args.identity_dir))
        .set("http_listen", args.http_listen.clone())
        .set("grpc_listen", args.grpc_listen.clone())
        .set("raft_listen", args.raft_listen.clone())
        .set("advertise_host", args.advertise_host.clone());
    let mut join = Overlay::default();
    join.set("token", layered::secret(&args.join)?).list("masters", &args.masters);
    let join = join.into_table();
    over.set("join", (!join.is_empty()).then_some(join));
    over.set("tracing", layered::tracing(otlp));
    let config: MasterConfig = layered::load(args.config.as_deref(), over.into_table())?;
    let checked = config.tracing.check();
    checked.map_err(|e| Failure::invalid(format!("the master's configuration is not valid: tracing: {e}")))?;
    Ok(config)
}

fn failure(e: RunError) -> Failure {
    let code = match &e {
        RunError::NoIdentity { .. } | RunError::OtherIdentity { .. } | RunError::Join(_) => Code::Auth,
        RunError::Damaged { .. } => Code::Damaged,
        RunError::NodeFile(
            NodeFileError::Damaged { .. } | NodeFileError::Altered { .. } | NodeFileError::Quarantined { .. },
        )
        | RunError::Refused(_) => Code::Damaged,
        _ => Code::Failed,
    };
    Failure::new(code, "master", e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Alone {
        #[command(flatten)]
        args: MasterArgs,
    }

    #[test]
    fn flags_make_a_whole_configuration_and_win_over_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("master.toml");
        std::fs::write(
            &file,
            "name = \"m1\"\ndata_dir = \"/d\"\ngrpc_listen = \"127.0.0.1:1\"\n[raft]\nheartbeat_ms = 50\n",
        )
        .unwrap();
        let parsed = Alone::try_parse_from([
            "x",
            "--config",
            file.to_str().unwrap(),
            "--grpc-listen",
            "127.0.0.1:2",
            "--masters",
            "a:1,b:2",
            "--join",
            "t",
        ])
        .unwrap();
        let c = config(&parsed.args, None).unwrap();
        let traced = config(&parsed.args, Some("http://127.0.0.1:4317")).unwrap();
        assert_eq!((c.tracing.endpoint.as_str(), traced.tracing.endpoint.as_str()), ("", "http://127.0.0.1:4317"));
        assert_eq!((c.name.as_str(), c.grpc_listen.as_str(), c.raft.heartbeat_ms), ("m1", "127.0.0.1:2", 50));
        let join = c.join.unwrap();
        assert_eq!((join.masters.len(), join.token.as_str()), (2, "t"));
        let bare = Alone::try_parse_from(["x"]).unwrap();
        assert_eq!(config(&bare.args, None).unwrap_err().code.number(), 2);
    }
}
