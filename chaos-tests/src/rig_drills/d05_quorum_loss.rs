//! D05: two of three masters are killed. Nobody acknowledges, nobody hangs, running tasks run on; with one of the two back, writes go on.

use std::time::Duration;

use anyhow::Context as _;
use cloudai_proto::v1::{GetJobRequest, SubmitRequest};
use cloudai_types::{JobId, JobSpec, Resources};

use super::{Drill, Size, standard_load, standard_options};
use crate::history::{Answer, Call, Event};
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;
use crate::wait;

const AGAIN: Duration = Duration::from_secs(30);
/// Tasks that must not notice anything.
const SLEEPERS: u32 = 12;

pub const DRILL: Drill = Drill {
    id: "D05",
    name: "quorum loss",
    injects: "SIGKILL to two of three masters (the leader among them, then both followers) for 30 s",
    must_hold: "nothing is acknowledged meanwhile, every call ends within 2 s, running tasks are untouched, writes ≤ 10 s after a second master is back",
    needs: &[],
    options: standard_options,
    load: standard_load,
    run,
};

fn run(rig: &mut Rig, report: &mut Report, size: Size, seed: u64) -> anyhow::Result<()> {
    let sleepers = submit_sleepers(rig)?;
    match size {
        Size::Full => {
            outage(rig, report, size, true)?;
            outage(rig, report, size, false)?;
        }
        Size::Short => outage(rig, report, size, seed.is_multiple_of(2))?,
    }
    let client = rig.client(AGAIN)?;
    let request = GetJobRequest { job: JobId(sleepers).to_string(), with_tasks: true, ..GetJobRequest::default() };
    let reply = rig.wait(client.get_job(request)).context("the sleeping job cannot be read")?;
    let touched = reply.tasks.iter().filter(|t| t.attempts.len() != 1 || t.attempts.iter().any(|a| a.reason.is_some()));
    report.require(
        "running tasks that were touched",
        touched.count() == 0,
        reply.tasks.len(),
        "all in their first attempt",
    );
    let request = cloudai_proto::v1::CancelJobRequest { job: JobId(sleepers).to_string(), ..Default::default() };
    rig.wait(client.cancel_job(request)).context("the sleeping job cannot be cancelled")?;
    Ok(())
}

fn outage(rig: &mut Rig, report: &mut Report, size: Size, with_leader: bool) -> anyhow::Result<()> {
    let length = if size == Size::Full { Duration::from_secs(30) } else { Duration::from_secs(5) };
    rig.wait_caught_up(AGAIN)?;
    rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let followers = rig.followers(&leader);
    let (killed, left) =
        if with_leader { (vec![leader, followers[0].clone()], followers[1].clone()) } else { (followers, leader) };
    let what = if with_leader { "leader and follower" } else { "both followers" };
    for master in &killed {
        rig.kill(master)?;
    }
    let from_ns = clock::now_ns();
    std::thread::sleep(length);
    let to_ns = clock::now_ns();
    rig.start(&killed[0])?;
    let back_ns = clock::now_ns();
    let first_ns = rig.load()?.acknowledged_after(back_ns, 1, AGAIN)?;
    rig.start(&killed[1])?;
    // Calls that were open when the outage ended have had their outcome by then.
    std::thread::sleep(Duration::from_secs(2));
    let operations = rig.load()?.so_far()?.operations().into_iter();
    let meanwhile: Vec<_> = operations.filter(|o| o.invoked_ns >= from_ns && o.invoked_ns < to_ns).collect();
    let acknowledged: Vec<String> = meanwhile
        .iter()
        .filter_map(|o| match (o.call, o.outcome) {
            (Call::Submit { .. }, Some((at, Event::Ok { answer: Answer::Submitted { job, .. } }))) if at <= to_ns => {
                Some(format!("job {job} at {at} ns"))
            }
            _ => None,
        })
        .collect();
    report.none(&format!("{what}: acknowledged without a quorum"), &acknowledged);
    // Those pinned to the master that is left, with one try: how long does it keep them waiting?
    let waited = meanwhile.iter().filter(|o| o.master == Some(left.as_str()) && o.invoked_ns + 2_000_000_000 < to_ns);
    let waited: Vec<u64> = waited.map(|o| o.outcome.map_or(to_ns, |(at, _)| at) - o.invoked_ns).collect();
    let longest = Duration::from_nanos(waited.iter().copied().max().unwrap_or_default());
    report.require(&format!("{what}: calls to {left} meanwhile"), !waited.is_empty(), waited.len(), "some");
    report.within(&format!("{what}: longest call"), longest, Duration::from_secs(2));
    let again = Duration::from_nanos(first_ns - back_ns);
    report.within(&format!("{what}: writes after the second is back"), again, Duration::from_secs(10));
    say(format!(
        "     {what} killed: longest call {} ms, writes {} ms after the second was back",
        longest.as_millis(),
        again.as_millis()
    ));
    Ok(())
}

/// Tasks that run over the whole drill; returns their job.
fn submit_sleepers(rig: &Rig) -> anyhow::Result<u64> {
    let spec = JobSpec {
        name: "sleepers".into(),
        image: "noop".into(),
        command: vec!["sleep".into(), "600".into()],
        resources: Resources { cpu_milli: 100, memory_bytes: 16 << 20, ..Resources::default() },
        count: SLEEPERS,
        ..JobSpec::default()
    };
    let client = rig.client(AGAIN)?;
    let request = SubmitRequest { request_id: String::new(), namespace: String::new(), spec: Some(spec) };
    let job = rig.wait(client.submit(request)).context("the sleeping job cannot be submitted")?.job_id;
    wait::until("running sleepers", AGAIN, Duration::from_millis(50), || {
        let request = GetJobRequest { job: JobId(job).to_string(), ..GetJobRequest::default() };
        let counts = rig.wait(client.get_job(request))?.job.and_then(|j| j.counts).unwrap_or_default();
        Ok((counts.active == SLEEPERS).then_some(()))
    })?;
    Ok(job)
}
