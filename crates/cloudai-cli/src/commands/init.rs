//! `init`: a new cluster on paper. Comes in: a directory and the first masters' names and hosts. Goes out: the CA, the admin's identity, and
//! for each master a directory with its identity and its configuration, to be carried to its machine. Nothing is started.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use cloudai_master::{Founder, MasterConfig, SECRETS_KEY_FILE, new_key_file, save_secrets_key};
use cloudai_net::{CertificateAuthority, ClusterId, IdentityFiles, Role};
use cloudai_telemetry::TracingConfig;
use cloudai_types::{Timestamp, limits};
use cloudai_worker::StoreConfig;
use ring::rand::{SecureRandom as _, SystemRandom};
use serde::Serialize;
use zeroize::Zeroizing;

use crate::exit::{Code, Failure};
use crate::output::{Format, View, facts, show};
use crate::times::now_ms;

#[derive(Debug, Clone, clap::Args)]
pub struct InitArgs {
    /// Made if it is missing; must not hold a cluster already
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// A first master (repeatable); HOST is where the others and the clients reach it
    #[arg(long = "name", alias = "master", value_name = "NAME[=HOST]", default_value = "master-1=127.0.0.1")]
    names: Vec<String>,
    /// Name of the first administrator
    #[arg(long, default_value = "admin")]
    admin: String,
}

/// Its identity's folder.
const OBSERVER: &str = "observer";

/// A cluster's own files.
pub struct NewCluster {
    pub id: String,
    pub ca: CertificateAuthority,
    /// The text of the file with the key that seals secrets.
    secrets_key: Zeroizing<String>,
    root: PathBuf,
    now: Timestamp,
}

/// One of the first masters.
#[derive(Debug, Clone, PartialEq)]
pub struct FirstMaster {
    pub name: String,
    pub host: String,
    /// http, grpc, raft
    pub ports: [u16; 3],
}

impl FirstMaster {
    fn address(&self, port: u16) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{host}:{port}")
    }

    pub fn grpc(&self) -> String {
        self.address(self.ports[1])
    }

    pub fn http(&self) -> String {
        self.address(self.ports[0])
    }
}

impl NewCluster {
    /// Makes the CA under `root`/ca, and the key for secrets beside it. Refused where one is.
    pub fn create(root: &Path) -> Result<Self, Failure> {
        let dir = root.join("ca");
        if dir.join(CertificateAuthority::KEY_FILE).exists() {
            return Err(Failure::new(
                Code::Conflict,
                "conflict",
                format!("{} holds a cluster already", root.display()),
            )
            .next("use another directory; a second CA would make the first one's certificates worthless"));
        }
        let now = Timestamp(now_ms());
        let id = ClusterId::from_bytes(rand::random());
        let failed = |e: &dyn std::fmt::Display| Failure::failed("the cluster's CA cannot be made").why(e);
        let ca = CertificateAuthority::create(id, now).map_err(|e| failed(&e))?;
        ca.save(&dir).map_err(|e| failed(&e))?;
        let mut key = Zeroizing::new([0; 32]);
        SystemRandom::new()
            .fill(key.as_mut_slice())
            .map_err(|_| Failure::failed("the operating system has no random numbers"))?;
        let secrets_key = new_key_file(&key);
        save_key(&dir, &secrets_key)?;
        Ok(NewCluster { id: ca.cluster().to_string(), ca, secrets_key, root: root.to_owned(), now })
    }

    pub fn admin(&self, name: &str) -> Result<PathBuf, Failure> {
        let dir = self.root.join("admin");
        self.enroll(&dir, Role::Admin, name, &[])?;
        Ok(dir)
    }

    /// For a Prometheus: it finds the members with it, and may do nothing else.
    pub fn observer(&self) -> Result<PathBuf, Failure> {
        let dir = self.root.join(OBSERVER);
        self.enroll(&dir, Role::Observer, "prometheus", &[])?;
        Ok(dir)
    }

    /// Identity, CA key, key for secrets and configuration of one master under `root`/NAME; the configuration's path. `listen_host` none: all addresses.
    pub fn master(
        &self,
        all: &[FirstMaster],
        which: usize,
        listen_host: Option<&str>,
        results: StoreConfig,
        tracing: TracingConfig,
    ) -> Result<PathBuf, Failure> {
        let m = &all[which];
        let dir = self.root.join(&m.name);
        let identity = dir.join("identity");
        // A master answers joins, so it holds the CA's key.
        self.ca.save(&identity).map_err(|e| Failure::failed("the CA's key cannot be written").why(e))?;
        // And it seals and opens secrets.
        save_key(&identity, &self.secrets_key)?;
        self.enroll(&identity, Role::Master, &m.name, std::slice::from_ref(&m.host))?;
        let listen = |port: u16| match listen_host {
            Some(_) => m.address(port),
            None => format!("0.0.0.0:{port}"),
        };
        let founders = all.iter().enumerate().map(|(i, f)| Founder {
            id: i as u64 + 1,
            name: f.name.clone(),
            raft_addr: f.address(f.ports[2]),
            grpc_addr: f.grpc(),
            http_addr: f.http(),
        });
        let config = MasterConfig {
            http_listen: listen(m.ports[0]),
            grpc_listen: listen(m.ports[1]),
            raft_listen: listen(m.ports[2]),
            advertise_host: Some(m.host.clone()),
            founders: founders.collect(),
            results,
            tracing,
            ..MasterConfig::new(m.name.clone(), dir.clone())
        };
        let path = dir.join("master.toml");
        write_config(&path, &format!("Master {}: cloudai master --config THIS_FILE", m.name), &config)?;
        Ok(path)
    }

    fn enroll(&self, dir: &Path, role: Role, name: &str, hosts: &[String]) -> Result<(), Failure> {
        let files = IdentityFiles::new(dir);
        files
            .enroll(&self.ca, role, name, hosts, limits::LEAF_VALIDITY, self.now)
            .map_err(|e| Failure::failed(format!("the identity of {role} '{name}' cannot be made")).why(e))?;
        Ok(())
    }
}

fn save_key(dir: &Path, text: &str) -> Result<(), Failure> {
    save_secrets_key(&dir.join(SECRETS_KEY_FILE), text)
        .map_err(|e| Failure::failed("the key for secrets cannot be written").why(e))
}

/// A configuration that a person can read and reuse; for its owner only, since it may hold a token.
pub fn write_config(path: &Path, headline: &str, config: &impl Serialize) -> Result<(), Failure> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |e: &dyn std::fmt::Display| Failure::failed(format!("{} cannot be written", path.display())).why(e);
    let text = toml::to_string_pretty(config).map_err(|e| failed(&e))?;
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).map_err(|e| failed(&e))?;
    }
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).map_err(|e| failed(&e))?;
    file.write_all(format!("# {headline}\n\n{text}").as_bytes()).map_err(|e| failed(&e))
}

fn first_masters(names: &[String]) -> Result<Vec<FirstMaster>, Failure> {
    let mut all: Vec<FirstMaster> = vec![];
    for text in names {
        let (name, host) = text.split_once('=').unwrap_or((text, text));
        cloudai_types::spec::check_name(name)
            .map_err(|why| Failure::invalid(format!("the master's name '{name}' {why}")))?;
        if host.is_empty() || ["ca", "admin", OBSERVER].contains(&name) || all.iter().any(|m| m.name == name) {
            return Err(Failure::invalid(format!("'{text}' cannot be a master here"))
                .why("a name may be given once, is not ca, admin or observer, and its host is not empty"));
        }
        all.push(FirstMaster { name: name.to_owned(), host: host.to_owned(), ports: [7600, 7601, 7602] });
    }
    if all.len() > limits::MASTERS_MAX {
        return Err(Failure::invalid(format!("{} masters are too many; at most {}", all.len(), limits::MASTERS_MAX)));
    }
    Ok(all)
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct InitView {
    cluster: String,
    data_dir: PathBuf,
    admin_identity: PathBuf,
    observer_identity: PathBuf,
    masters: Vec<PathBuf>,
    addr: String,
}

impl View for InitView {
    fn table(&self, out: &mut dyn Write) -> io::Result<()> {
        let configs: Vec<String> = self.masters.iter().map(|p| p.display().to_string()).collect();
        facts(
            out,
            &[
                ("cluster", self.cluster.clone()),
                ("CA", format!("{} (its key signs every identity: keep it safe)", self.data_dir.join("ca").display())),
                (
                    "secrets",
                    format!(
                        "{} (opens every secret: keep it safe)",
                        self.data_dir.join("ca").join(SECRETS_KEY_FILE).display()
                    ),
                ),
                ("admin", self.admin_identity.display().to_string()),
                ("observer", format!("{} (for Prometheus)", self.observer_identity.display())),
                ("masters", configs.join("\n")),
            ],
        )?;
        writeln!(
            out,
            "\nNext: carry each master's directory to its machine and start it there with `cloudai master --config …/master.toml`, then"
        )?;
        writeln!(
            out,
            "  export CLOUDAI_ADDR={}\n  export CLOUDAI_IDENTITY={}\n  cloudai cluster status",
            self.addr,
            self.admin_identity.display()
        )
    }
}

pub fn run(args: &InitArgs, format: Format) -> Result<(), Failure> {
    let masters = first_masters(&args.names)?;
    cloudai_types::spec::check_name(&args.admin)
        .map_err(|why| Failure::invalid(format!("the administrator's name {why}")))?;
    let root =
        std::path::absolute(&args.data_dir).map_err(|e| Failure::invalid("the data directory is not usable").why(e))?;
    let cluster = NewCluster::create(&root)?;
    let admin = cluster.admin(&args.admin)?;
    let observer = cluster.observer()?;
    let config = |i| cluster.master(&masters, i, None, StoreConfig::default(), TracingConfig::default());
    let configs = (0..masters.len()).map(config).collect::<Result<Vec<_>, _>>()?;
    let view = InitView {
        cluster: cluster.id.clone(),
        data_dir: root,
        admin_identity: admin,
        observer_identity: observer,
        masters: configs,
        addr: masters.iter().map(FirstMaster::grpc).collect::<Vec<_>>().join(","),
    };
    show(format, &view)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_cluster_has_identities_of_one_ca_and_configurations_that_load() {
        let dir = tempfile::tempdir().unwrap();
        let names = ["m1=10.0.0.1".to_owned(), "m2=10.0.0.2".to_owned()];
        let args = InitArgs { data_dir: dir.path().join("c"), names: names.to_vec(), admin: "ann".into() };
        run(&args, Format::Json).unwrap();
        let root = args.data_dir.clone();
        let admin = IdentityFiles::new(root.join("admin")).load().unwrap();
        assert_eq!((admin.identity.role, admin.identity.name.as_str()), (Role::Admin, "ann"));
        let observer = IdentityFiles::new(root.join("observer")).load().unwrap();
        assert_eq!(observer.identity.role, Role::Observer);
        for (i, m) in ["m1", "m2"].into_iter().enumerate() {
            let text = std::fs::read_to_string(root.join(m).join("master.toml")).unwrap();
            let config: MasterConfig = toml::from_str(&text).unwrap();
            assert_eq!((config.founders.len(), config.founders[i].id, config.name.as_str()), (2, i as u64 + 1, m));
            let own = IdentityFiles::new(config.identity_dir()).load().unwrap();
            assert_eq!((own.identity.role, &own.identity.cluster), (Role::Master, &admin.identity.cluster));
            CertificateAuthority::load(&config.identity_dir()).unwrap();
            let key = |path: &Path| std::fs::read_to_string(path).unwrap();
            assert_eq!(key(&config.secrets_key()), key(&root.join("ca").join(SECRETS_KEY_FILE)), "one per cluster");
        }
        // Again: a second CA would void the first one's certificates.
        assert_eq!(run(&args, Format::Json).unwrap_err().code, Code::Conflict);
    }

    #[test]
    fn names_are_checked() {
        for bad in ["a b", "ca", "observer", "x=", ""] {
            assert!(first_masters(&[bad.to_owned()]).is_err(), "{bad}");
        }
        assert!(first_masters(&["a".to_owned(), "a=h".to_owned()]).is_err());
        assert_eq!(first_masters(&["m1=::1".to_owned()]).unwrap()[0].grpc(), "[::1]:7601");
    }
}
