//! `cluster doctor`: asks every master by itself, and the leader about workers, and says what is wrong. Ends with 1 when something is.

use cloudai_client::Client;
use cloudai_proto::v1::{
    CheckMasterRequest, CheckWorkersRequest, ClusterStatusReply, ClusterStatusRequest, Consistency, MemberRole,
};
use cloudai_types::limits;
use futures::future::join_all;

use crate::doctor::{Answer, AskedMaster, Facts, Severity, examine};
use crate::exit::{Code, Failure};
use crate::output::show;
use crate::settings::Settings;
use crate::times::now_ms;
use crate::views::doctor::DoctorView;

pub async fn run(settings: &Settings) -> Result<(), Failure> {
    let client = settings.client()?;
    let report = examine(&gather(&client).await?);
    let has_problem = report.findings.iter().any(|finding| finding.severity == Severity::Problem);
    show(settings.format, &DoctorView(report))?;
    if has_problem { Err(Failure::silent(Code::Failed)) } else { Ok(()) }
}

async fn gather(client: &Client) -> Result<Facts, Failure> {
    let within = limits::DOCTOR_ANSWER_WITHIN.as_duration();
    // Each by itself: one that is down must not use up the time of the others.
    let quick = join_all(client.addresses().iter().map(|address| async move {
        let stale = ClusterStatusRequest { consistency: Consistency::Stale as i32 };
        client.only(address, within).ok()?.cluster_status(stale).await.ok()
    }));
    // Whoever has heard most knows the members best.
    let status = quick.await.into_iter().flatten().max_by_key(|status| (status.term, status.applied_index));
    let masters =
        join_all(addresses(client, status.as_ref()).into_iter().map(|(name, is_voter, address)| async move {
            AskedMaster { name, is_voter, answer: ask(client, &address).await }
        }));
    let workers = async {
        let asked = match status.as_ref().and_then(leader_address) {
            Some(leader) => client.only(&leader, within),
            None => return Err("nobody leads".to_owned()),
        };
        let reply = asked.map_err(|e| e.to_string())?.check_workers(CheckWorkersRequest {}).await;
        reply.map(|reply| reply.workers).map_err(|e| e.to_string())
    };
    let (masters, workers) = tokio::join!(masters, workers);
    Ok(Facts { now_ms: now_ms(), own_certificate_end_ms: client.certificate_end().0, status, masters, workers })
}

/// Every member; where none is known those whom the user named.
fn addresses(client: &Client, status: Option<&ClusterStatusReply>) -> Vec<(String, bool, String)> {
    match status {
        Some(status) => {
            let members = status.members.iter().filter(|m| m.role() != MemberRole::Outside);
            members.map(|m| (m.name.clone(), m.role() == MemberRole::Voter, m.grpc.clone())).collect()
        }
        None => client.addresses().iter().map(|address| (address.clone(), true, address.clone())).collect(),
    }
}

fn leader_address(status: &ClusterStatusReply) -> Option<String> {
    status.members.iter().find(|m| m.leader).map(|m| m.grpc.clone())
}

async fn ask(client: &Client, address: &str) -> Result<Answer, String> {
    let only = client.only(address, limits::DOCTOR_ANSWER_WITHIN.as_duration()).map_err(|e| e.to_string())?;
    // The first answer pays for the connection: the clock is read from the second.
    only.check_master(CheckMasterRequest {}).await.map_err(|e| e.to_string())?;
    let sent_ms = now_ms();
    let check = only.check_master(CheckMasterRequest {}).await.map_err(|e| e.to_string())?;
    let took_ms = now_ms().saturating_sub(sent_ms);
    let theirs = check.condition.as_ref().map_or(0, |condition| condition.now_ms);
    let ours = sent_ms + took_ms / 2;
    Ok(Answer {
        clock_ahead_ms: theirs.cast_signed().saturating_sub(ours.cast_signed()),
        uncertain_ms: took_ms.div_ceil(2),
        check,
    })
}
