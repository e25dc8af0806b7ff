//! `cloudai init`: the first trust of a cluster. Comes in: a directory and the names of its first masters. Goes out: a CA, one
//! identity per master (with the CA's key, which every master holds), and the administrator's.

use std::path::{Path, PathBuf};

use cloudai_net::{CertificateAuthority, ClusterId, IdentityFiles, Role};
use cloudai_types::{Timestamp, limits};

use crate::exit::{Code, Failure};
use crate::output::say;

#[derive(Debug, Clone, clap::Args)]
pub struct InitArgs {
    /// Where the directories `admin` and one per master are made
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Names of the first masters; one or three or five
    #[arg(long = "master", value_name = "NAME", default_values = ["master-1", "master-2", "master-3"], value_delimiter = ',')]
    pub masters: Vec<String>,
    /// Name of the first administrator
    #[arg(long, default_value = "admin")]
    pub admin: String,
    /// Host names and addresses for the masters' certificates, beside the name `cloudai`
    #[arg(long = "host", value_name = "HOST", value_delimiter = ',')]
    pub hosts: Vec<String>,
}

pub fn run(args: InitArgs) -> Result<(), Failure> {
    if args.data_dir.join("admin").join("ca.pem").exists() {
        return Err(Failure::new(Code::Conflict, "conflict", format!("{} holds a cluster's identities already", args.data_dir.display()))
            .next("choose another --data-dir: a second CA would not be trusted by the first one's members"));
    }
    let ca = found(&args.data_dir, &args.masters, &args.admin, &args.hosts)?;
    say(format!(
        "cluster {} is founded: its CA is {}\n\
         masters:       {} (each needs its own directory {}/NAME/identity, moved there safely)\n\
         administrator: export CLOUDAI_IDENTITY={}/admin\n\
         next:          write a master.toml per master (docs/configuration.md) and start `cloudai master --config master.toml`",
        ca.cluster(),
        ca.digest(),
        args.masters.join(", "),
        args.data_dir.display(),
        args.data_dir.display(),
    ));
    Ok(())
}

/// Makes `DIR/admin` and `DIR/NAME/identity` for each master.
pub fn found(dir: &Path, masters: &[String], admin: &str, hosts: &[String]) -> Result<CertificateAuthority, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::failed("the cluster's identities cannot be made").why(e);
    let now = now();
    let ca = CertificateAuthority::create(ClusterId::from_bytes(rand::random()), now).map_err(|e| failed(&e))?;
    for name in masters {
        let identity = dir.join(name).join("identity");
        ca.save(&identity).map_err(|e| failed(&e))?;
        IdentityFiles::new(&identity)
            .enroll(&ca, Role::Master, name, hosts, limits::LEAF_VALIDITY, now)
            .map_err(|e| failed(&e))?;
    }
    IdentityFiles::new(dir.join("admin"))
        .enroll(&ca, Role::Admin, admin, &[], limits::LEAF_VALIDITY, now)
        .map_err(|e| failed(&e))?;
    Ok(ca)
}

fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |d| d.as_millis() as u64))
}
