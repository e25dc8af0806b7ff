//! Tests derived from CVEs of other systems, against a real master with sockets and mTLS. Each carries the name that
//! `docs/security-tests.md` lists with its CVE. Methods are read from the protocol's own files, so a new one is tested, or missed, at
//! once.
#![cfg(feature = "rocksdb")]

#[path = "security/master.rs"]
mod master;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use cloudai_net::{CertificateAuthority, ChannelFactory, ClusterId, Role};
use cloudai_proto::v1 as pb;
use cloudai_types::{JobSpec, Resources};
use master::{Master, eventually, factory_of, now};
use tonic::Code;

/// Every method of a service, as `proto/` declares it.
fn methods(file: &str) -> Vec<String> {
    let path = std::path::Path::new("../../proto/cloudai/v1").join(file);
    let text = std::fs::read_to_string(&path).expect("the protocol's files are beside the crates");
    let mut service = String::new();
    let mut found = vec![];
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("service ") {
            service = rest.split([' ', '{']).next().unwrap_or_default().to_owned();
        } else if let Some(rest) = line.strip_prefix("rpc ") {
            found.push(format!("/cloudai.v1.{service}/{}", rest.split('(').next().unwrap_or_default()));
        }
    }
    assert!(!found.is_empty(), "{file} declares no method");
    found
}

/// One empty message to any method; `headers` as they are.
async fn ask(
    factory: &ChannelFactory,
    address: &str,
    path: &str,
    headers: &[(&'static str, &str)],
) -> Result<(), tonic::Status> {
    let channel = factory.channel(address, &cloudai_net::ChannelOptions::calls()).expect("an address");
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.map_err(|e| tonic::Status::from_error(e.into()))?;
    let mut request = tonic::Request::new(());
    for (name, value) in headers {
        request.metadata_mut().insert(*name, value.parse().expect("a header's value"));
    }
    let path = http::uri::PathAndQuery::try_from(path).expect("a path");
    let asked = grpc.unary(request, path, tonic_prost::ProstCodec::<(), ()>::default());
    // A call that is let in may wait for more: it was not refused.
    match tokio::time::timeout(Duration::from_secs(3), asked).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_) => Ok(()),
    }
}

fn is_refusal(answer: &Result<(), tonic::Status>) -> bool {
    matches!(answer, Err(s) if matches!(s.code(), Code::PermissionDenied | Code::Unauthenticated))
}

/// Who may call what. A method that is not in here fails the test: nobody has decided about it.
fn may_call(method: &str) -> Option<&'static [Role]> {
    const ADMIN: &[Role] = &[Role::Admin];
    const WORKER: &[Role] = &[Role::Worker];
    Some(match method.strip_prefix("/cloudai.v1.")? {
        "Control/Submit"
        | "Control/SubmitStream"
        | "Control/PlanJob"
        | "Control/ListJobs"
        | "Control/GetJob"
        | "Control/WaitJob"
        | "Control/CancelJob"
        | "Control/ListTasks"
        | "Control/GetTask"
        | "Control/ExplainTask"
        | "Control/GetHistory"
        | "Control/WatchEvents"
        | "Control/WatchTelemetry"
        | "Control/Logs"
        | "Control/ListResults"
        | "Control/ReadResult"
        | "Control/LocateResult"
        | "Control/ListDead"
        | "Control/ReplayDead"
        | "Control/SubmitReplay"
        | "Control/DropDead"
        | "Control/SubmitWorkflow"
        | "Control/ListWorkflows"
        | "Control/GetWorkflow"
        | "Control/CancelWorkflow"
        | "Control/RetryWorkflow"
        | "Control/SetQuota"
        | "Control/ListQuotas"
        | "Control/CreateTemplate"
        | "Control/ListTemplates"
        | "Control/GetTemplate"
        | "Control/DeleteTemplate"
        | "Control/CreateSchedule"
        | "Control/ListSchedules"
        | "Control/GetSchedule"
        | "Control/PauseSchedule"
        | "Control/DeleteSchedule"
        | "Control/RunSchedule"
        | "Control/SetSecret"
        | "Control/RemoveSecret"
        | "Control/ListSecrets"
        | "Control/ListWorkers"
        | "Control/GetWorker"
        | "Control/GetWorkerHistory"
        | "Control/AuthorizeWorker"
        | "Control/RevokeWorker"
        | "Control/DrainWorker"
        | "Control/ResumeWorker"
        | "Control/TaintWorker"
        | "Control/UntaintWorker"
        | "Control/Queue"
        | "Control/ClusterStatus"
        | "Control/CheckMaster"
        | "Control/CheckWorkers"
        | "Control/MasterLogFilter"
        | "Control/WorkerLogFilter"
        | "Control/AddMaster"
        | "Control/RemoveMaster"
        | "Control/TransferLeader"
        | "Control/SetConfig" => ADMIN,
        "Dispatch/Session" | "Dispatch/UploadLog" | "Dispatch/UploadHistory" | "Dispatch/Secrets" => WORKER,
        "Dispatch/Renew" => &[Role::Worker, Role::Master, Role::Admin],
        // A token is the permission; everybody may try one.
        "Dispatch/Join" => Role::ALL,
        _ => return None,
    })
}

#[tokio::test]
async fn acl_every_route() {
    let master = Master::start().await;
    let callers = [
        ("nobody", None, ChannelFactory::joining(master.ca.digest())),
        ("worker", Some(Role::Worker), master.factory(Role::Worker, "w1")),
        ("admin", Some(Role::Admin), master.factory(Role::Admin, "ann")),
        ("master", Some(Role::Master), master.factory(Role::Master, "m9")),
        ("observer", Some(Role::Observer), master.factory(Role::Observer, "prometheus")),
    ];
    let all: Vec<String> = methods("control.proto").into_iter().chain(methods("dispatch.proto")).collect();
    let mut refused = 0;
    for method in &all {
        let allowed = may_call(method).unwrap_or_else(|| panic!("nobody has decided who may call {method}"));
        for (who, role, factory) in &callers {
            let is_allowed = role.map_or(method.ends_with("/Join"), |r| allowed.contains(&r));
            // TransferLeader and the like are harmless with an empty message; the point is who is let in.
            let answer = ask(factory, &master.grpc, method, &[]).await;
            assert_eq!(is_refusal(&answer), !is_allowed, "{who} on {method}: {answer:?}");
            refused += u32::from(!is_allowed);
        }
    }
    assert!(refused > 40, "only {refused} refusals were looked at");
    // How the master is, anybody of the cluster may know, and nobody else.
    for (who, role, factory) in &callers {
        let answer = ask(factory, &master.grpc, "/grpc.health.v1.Health/Check", &[]).await;
        assert_eq!(is_refusal(&answer), role.is_none(), "{who} on the health of the master: {answer:?}");
    }
    // A method that does not exist lets nobody in either.
    let answer = ask(&callers[2].2, &master.grpc, "/cloudai.v1.Control/Backdoor", &[]).await;
    assert_eq!(answer.expect_err("no such method").code(), Code::Unimplemented);
    master.stop().await;
}

#[tokio::test]
async fn raft_rpc_rejects_worker_cert() {
    let master = Master::start().await;
    let other = CertificateAuthority::create(ClusterId::from_bytes([9; 8]), now()).expect("a CA");
    let callers = [
        ("nobody", ChannelFactory::joining(master.ca.digest())),
        ("a worker", master.factory(Role::Worker, "w1")),
        ("an admin", master.factory(Role::Admin, "ann")),
        ("an observer", master.factory(Role::Observer, "prometheus")),
        ("a master of another cluster", factory_of(&other, master.dir.path(), "other", Role::Master, "m1")),
    ];
    for method in methods("raft.proto") {
        for (who, factory) in &callers {
            ask(factory, &master.raft, &method, &[]).await.expect_err(&format!("{who} is let in to {method}"));
        }
        // A certificate of a master is not enough: each frame says which node and which disk it is from.
        let stranger = ask(&master.factory(Role::Master, "m9"), &master.raft, &method, &[]).await;
        stranger.expect_err(&format!("a master without a node is let in to {method}"));
    }
    // The port lives, and so does the cluster.
    ask(&master.factory(Role::Admin, "ann"), &master.grpc, "/cloudai.v1.Control/ClusterStatus", &[])
        .await
        .expect("answers");
    master.stop().await;
}

#[tokio::test]
async fn role_and_cluster_checked() {
    let master = Master::start().await;
    let other = CertificateAuthority::create(ClusterId::from_bytes([9; 8]), now()).expect("a CA");
    for role in Role::ALL.iter().copied() {
        let factory = factory_of(&other, master.dir.path(), "stranger", role, "ann");
        for method in methods("control.proto").into_iter().chain(methods("dispatch.proto")) {
            ask(&factory, &master.grpc, &method, &[])
                .await
                .expect_err("another cluster's certificate is no certificate");
        }
    }
    // Only a master speaks for others, and only for those whom it names.
    let for_ann = [("cloudai-on-behalf-of", "admin/ann")];
    let status = "/cloudai.v1.Control/ClusterStatus";
    for role in [Role::Worker, Role::Admin, Role::Observer] {
        let answer = ask(&master.factory(role, "w1"), &master.grpc, status, &for_ann).await;
        assert!(is_refusal(&answer), "a {role} speaks for an admin: {answer:?}");
    }
    let answer = ask(&ChannelFactory::joining(master.ca.digest()), &master.grpc, status, &for_ann).await;
    assert!(is_refusal(&answer), "nobody speaks for an admin: {answer:?}");
    let m9 = master.factory(Role::Master, "m9");
    ask(&m9, &master.grpc, status, &for_ann).await.expect("a master forwards");
    for forged in ["worker/w1", "", "root/ann", "admin", "admin/../ann"] {
        let answer = ask(&m9, &master.grpc, status, &[("cloudai-on-behalf-of", forged)]).await;
        assert!(is_refusal(&answer), "on behalf of '{forged}': {answer:?}");
    }
    master.stop().await;
}

#[tokio::test]
async fn empty_policy_is_deny() {
    // A certificate that our CA signed, without the one name that gives a role: it has nothing, anywhere.
    let master = Master::start().await;
    let factory = ChannelFactory::joining(master.ca.digest());
    for method in methods("control.proto") {
        let answer = ask(&factory, &master.grpc, &method, &[]).await;
        assert!(is_refusal(&answer), "{method} without an identity: {answer:?}");
    }
    master.stop().await;
}

#[tokio::test]
async fn exact_match_identity() {
    let master = Master::start().await;
    let mut admin = master.admin();
    // Names that contain each other are different names, for tokens and for revocations.
    let mut tokens = BTreeMap::new();
    for name in ["w", "w1", "w10"] {
        let request = pb::AuthorizeWorkerRequest { name: name.into(), ..Default::default() };
        let token = admin.authorize_worker(request).await.expect("authorised").into_inner().token;
        tokens.insert(name, token.parse::<cloudai_net::JoinToken>().expect("a token"));
    }
    for (name, as_name) in [("w1", "w10"), ("w10", "w1"), ("w", "w1"), ("w1", "W1"), ("w1", "w1 "), ("w1", "")] {
        let refused = master.join(&tokens[name], as_name, pb::join_request::Role::Worker).await;
        refused.expect_err(&format!("the token of {name} lets {as_name:?} in"));
    }
    let refused = master.join(&tokens["w1"], "w1", pb::join_request::Role::Master).await;
    refused.expect_err("a worker's token makes no master");
    master.join(&tokens["w1"], "w1", pb::join_request::Role::Worker).await.expect("its own name");
    admin.revoke_worker(pb::RevokeWorkerRequest { name: "w1".into() }).await.expect("revoked");
    let renew = "/cloudai.v1.Dispatch/Renew";
    let is_cut = |name: &'static str| {
        let (factory, address) = (master.factory(Role::Worker, name), master.grpc.clone());
        async move {
            ask(&factory, &address, renew, &[]).await.expect_err("an empty request").code() != Code::InvalidArgument
        }
    };
    assert!(is_cut("w1").await, "w1 is revoked");
    for other in ["w", "w10"] {
        assert!(!is_cut(other).await, "{other} is not");
    }
    master.stop().await;
}

#[tokio::test]
async fn stream_dies_with_token() {
    let master = Master::start().await;
    let mut admin = master.admin();
    let request = pb::AuthorizeWorkerRequest { name: "w1".into(), ..Default::default() };
    let token = admin.authorize_worker(request).await.expect("authorised").into_inner().token;
    let token = token.parse().expect("a token");
    let worker = master.join(&token, "w1", pb::join_request::Role::Worker).await.expect("joined");
    let mut session = master.session(&worker).await;
    session.message().await.expect("open").expect("a first message");
    admin.revoke_worker(pb::RevokeWorkerRequest { name: "w1".into() }).await.expect("revoked");
    let began = Instant::now();
    let ends = async { while let Ok(Some(_)) = session.message().await {} };
    tokio::time::timeout(Duration::from_secs(5), ends).await.expect("its open stream ends within 5 s");
    println!("the stream ended after {:?}", began.elapsed());
    master.stop().await;
}

#[tokio::test]
async fn node_cannot_relabel_itself() {
    let master = Master::start().await;
    let mut admin = master.admin();
    let labels = [("zone".to_owned(), "eu".to_owned())].into();
    let request = pb::AuthorizeWorkerRequest { name: "w1".into(), labels };
    let token = admin.authorize_worker(request).await.expect("authorised").into_inner().token;
    let token = token.parse().expect("a token");
    let worker = master.join(&token, "w1", pb::join_request::Role::Worker).await.expect("joined");
    // It says hello, and may say nothing about its labels; nor change anything about itself or others.
    let mut session = master.session(&worker).await;
    session.message().await.expect("open").expect("a first message");
    for method in [
        "AuthorizeWorker",
        "RevokeWorker",
        "DrainWorker",
        "ResumeWorker",
        "TaintWorker",
        "CancelJob",
        "Logs",
        "SetConfig",
    ] {
        let answer = ask(&worker, &master.grpc, &format!("/cloudai.v1.Control/{method}"), &[]).await;
        assert!(is_refusal(&answer), "{method}: {answer:?}");
    }
    let shown =
        admin.get_worker(pb::GetWorkerRequest { name: "w1".into(), ..Default::default() }).await.expect("known");
    let labels = shown.into_inner().worker.expect("a worker").labels;
    // Who it is, the leader says, by its certificate.
    let given = [("cloudai.worker", "w1"), ("zone", "eu")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!(labels.into_iter().collect::<Vec<_>>(), given);
    // A token that was redeemed makes no second worker, with another key.
    master.join_with_new_key(&token, "w1").await.expect_err("a token is redeemed by one key only");
    // Nobody else's log can be answered: the stream ids are small numbers.
    for id in 1..20 {
        let upload = master.upload(&worker, id).await.expect_err("no stream was opened for it");
        assert_eq!(upload.code(), Code::NotFound, "{upload:?}");
    }
    master.stop().await;
}

#[tokio::test]
async fn nested_ops_authorised() {
    let master = Master::start().await;
    // A stream is no way around: whoever may not submit may not submit many, and each one inside is checked on its own.
    for (who, factory) in
        [("worker", master.factory(Role::Worker, "w1")), ("nobody", ChannelFactory::joining(master.ca.digest()))]
    {
        let answer = ask(&factory, &master.grpc, "/cloudai.v1.Control/SubmitStream", &[]).await;
        assert!(is_refusal(&answer), "{who}: {answer:?}");
    }
    let bad = JobSpec { image: "-rm".into(), ..Default::default() };
    let good = JobSpec { image: "noop".into(), ..Default::default() };
    let requests: Vec<_> = [&good, &bad, &good].into_iter().enumerate().map(|(i, s)| (i as u64, s.clone())).collect();
    let acks = master.submit_stream(requests).await;
    let accepted: BTreeSet<u64> = acks.iter().filter(|a| a.is_ok()).map(|a| *a.as_ref().expect("filtered")).collect();
    assert_eq!(accepted, BTreeSet::from([0, 2]), "{acks:?}");
    master.stop().await;
}

/// Specs that are wrong in one place, or extreme in several.
fn hostile_spec(n: u64) -> JobSpec {
    let mut random = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut pick = |k: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % k
    };
    let texts =
        ["", "a", "noop", "../../etc/passwd", "\0", "{{7*7}}", "\u{202e}x", "-v", "*", "\n", "%s%n", "💥", "a:b@c"];
    let long = "x".repeat(pick(2) as usize * 5_000);
    let mut text = || format!("{}{}", texts[pick(texts.len() as u64) as usize], if pick(40) == 0 { &long } else { "" });
    let (name, image) = (text(), text());
    let pairs: BTreeMap<String, String> = (0..3).map(|_| (text(), text())).collect();
    let (command, mount) =
        (vec![text(), text()], cloudai_types::spec::Mount { source: text(), target: text(), write: true });
    let numbers = [0, 1, 7, u64::from(u32::MAX), u64::MAX];
    let mut number = || numbers[pick(5) as usize];
    let resources =
        Resources { cpu_milli: number(), memory_bytes: number(), storage_bytes: number(), gpus: number() as u32 };
    let (priority, count, timeout_ms) = (number() as i32, number() as u32, number());
    let mut spec = JobSpec { name: "ok".into(), image: "noop".into(), ..Default::default() };
    for _ in 0..1 + pick(3) {
        match pick(14) {
            0 => spec.name = name.clone(),
            1 => spec.image = image.clone(),
            2 => spec.command = command.clone(),
            3 => spec.env = pairs.clone(),
            4 => spec.require = pairs.clone(),
            5 => spec.resources = resources,
            6 => spec.priority = priority,
            7 => spec.count = count,
            8 => spec.timeout_ms = timeout_ms,
            9 => spec.mounts = vec![mount.clone()],
            10 => spec.queue_timeout_ms = timeout_ms,
            11 => {
                let (target, server, path) = (mount.target.clone(), mount.source.clone(), name.clone());
                spec.volumes =
                    vec![cloudai_types::Volume { kind: count as i32, target, server, path, ..Default::default() }];
            }
            12 => {
                spec.placement = Some(cloudai_types::Placement {
                    require: vec![name.clone()],
                    tolerate: vec![image.clone()],
                    apart: name.clone(),
                    spread: image.clone(),
                    max_skew: count,
                    ..Default::default()
                });
            }
            _ => spec.on_disconnect = count as i32,
        }
    }
    spec
}

#[tokio::test]
async fn poison_pill_spec() {
    const SPECS: u64 = 10_000;
    let mut master = Master::start().await;
    let requests: Vec<_> = (0..SPECS).map(|n| (n, hostile_spec(n))).collect();
    let acks = master.submit_stream(requests).await;
    let accepted = acks.iter().filter(|a| a.is_ok()).count();
    assert_eq!(acks.len() as u64, SPECS, "every one has an answer");
    assert!(accepted > 100 && accepted < SPECS as usize, "{accepted} of {SPECS} were accepted: this tests nothing");
    let seen = master.look_at_everything().await;
    // What was persisted must not keep a master from starting.
    master.restart().await;
    assert_eq!(master.look_at_everything().await, seen);
    master.stop().await;
}

#[tokio::test]
async fn unauth_job_api() {
    // The defaults: no address answers without TLS, and TLS without a certificate may do nothing with jobs.
    let master = Master::start().await;
    for address in [&master.grpc, &master.raft, &master.http] {
        let plain = tonic::transport::Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let connected = tokio::time::timeout(Duration::from_secs(8), async {
            let mut grpc =
                tonic::client::Grpc::new(plain.connect().await.map_err(|e| tonic::Status::from_error(e.into()))?);
            grpc.ready().await.map_err(|e| tonic::Status::from_error(e.into()))?;
            let path = http::uri::PathAndQuery::from_static("/cloudai.v1.Control/ListJobs");
            grpc.unary(tonic::Request::new(()), path, tonic_prost::ProstCodec::<(), ()>::default()).await
        });
        assert!(!matches!(connected.await, Ok(Ok(_))), "{address} answers without TLS");
    }
    let nobody = ChannelFactory::joining(master.ca.digest());
    for method in methods("control.proto") {
        assert!(is_refusal(&ask(&nobody, &master.grpc, &method, &[]).await), "{method}");
    }
    eventually(async || master.admin().cluster_status(pb::ClusterStatusRequest::default()).await.ok()).await;
    master.stop().await;
}
