//! D03: the masters' network falls apart in five ways. A majority goes on, a minority acknowledges nothing, a broken cable between two
//! followers or one and the leader does not keep the cluster busy with elections.

use std::time::Duration;

use super::d01_leader_kill::longest_silence;
use super::{Drill, Size, standard_load, standard_options};
use crate::history::{Answer, Event, History};
use crate::rig::faults::partition::{Cut, between, one_way};
use crate::rig::preflight::Need;
use crate::rig::{Report, Rig, clock};
use crate::transcript::say;

const AGAIN: Duration = Duration::from_secs(30);
const GAP: Duration = Duration::from_secs(4);

pub const DRILL: Drill = Drill {
    id: "D03",
    name: "partition",
    injects: "nft filters between masters: the leader alone, a follower alone, one-way to and from the leader, one pair only",
    must_hold: "write gap ≤ 4 s; a minority acknowledges nothing; one pair cut: ≤ 2 leader changes a minute, ≥ 50 % throughput",
    needs: &[Need::Nft],
    options: standard_options,
    load: standard_load,
    run,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    LeaderAlone,
    FollowerAlone,
    LeaderHearsNobody,
    NobodyHearsLeader,
    OnePair,
}

const FORMS: [Form; 5] =
    [Form::LeaderAlone, Form::LeaderHearsNobody, Form::NobodyHearsLeader, Form::OnePair, Form::FollowerAlone];

impl Form {
    fn what(self) -> &'static str {
        match self {
            Form::LeaderAlone => "leader alone",
            Form::FollowerAlone => "follower alone",
            Form::LeaderHearsNobody => "leader hears nobody",
            Form::NobodyHearsLeader => "nobody hears the leader",
            Form::OnePair => "leader and one follower cut",
        }
    }

    fn cuts(self, leader: &str, followers: &[String]) -> Vec<Cut> {
        let both: Vec<&str> = followers.iter().map(String::as_str).collect();
        match self {
            Form::LeaderAlone => between(&[leader], &both),
            Form::FollowerAlone => between(&[both[0]], &[leader, both[1]]),
            Form::LeaderHearsNobody => both.iter().map(|f| one_way(f, leader)).collect(),
            Form::NobodyHearsLeader => both.iter().map(|f| one_way(leader, f)).collect(),
            Form::OnePair => between(&[leader], &[both[0]]),
        }
    }

    /// The masters that must not acknowledge a submit meanwhile.
    fn minority<'a>(self, leader: &'a str, followers: &'a [String]) -> Vec<&'a str> {
        match self {
            Form::LeaderAlone => vec![leader],
            Form::FollowerAlone => vec![&followers[0]],
            // Half a connection may still forward a call to whoever leads now.
            Form::LeaderHearsNobody | Form::NobodyHearsLeader | Form::OnePair => vec![],
        }
    }
}

fn run(rig: &mut Rig, report: &mut Report, size: Size, seed: u64) -> anyhow::Result<()> {
    let (forms, length): (Vec<Form>, Duration) = match size {
        Size::Full => (FORMS.to_vec(), Duration::from_secs(20)),
        // Two of them, the seed says which: several rounds see all.
        Size::Short => {
            let first = seed as usize % FORMS.len();
            (vec![FORMS[first], FORMS[(first + 2) % FORMS.len()]], Duration::from_secs(4))
        }
    };
    for form in forms {
        one(rig, report, size, form, length)?;
    }
    Ok(())
}

fn one(rig: &mut Rig, report: &mut Report, size: Size, form: Form, length: Duration) -> anyhow::Result<()> {
    rig.wait_caught_up(AGAIN)?;
    let rate = rig.load()?.gate(size)?;
    let leader = rig.leader()?;
    let followers = rig.followers(&leader);
    let term = rig.leader_now().map_or(0, |(term, _)| term);
    let from_ns = clock::now_ns();
    let partition = rig.partition(form.what(), &form.cuts(&leader, &followers))?;
    let cut_ns = clock::now_ns();
    std::thread::sleep(length);
    let to_ns = clock::now_ns();
    let (new_term, now_leads) = rig.leader_now().unwrap_or_default();
    let dropped = partition.lift(rig)?;
    let acknowledged = rig.load()?.acknowledged_since(from_ns)?;
    let gap = Duration::from_nanos(longest_silence(acknowledged, from_ns, to_ns));
    let meanwhile = acknowledged.iter().filter(|at| **at <= to_ns).count() as f64 / length.as_secs_f64();
    say(format!(
        "     {}: {leader} led in term {term} at {rate:.0}/s; gap {} ms, {meanwhile:.0}/s, then {now_leads} in term {new_term}; \
         {dropped} packets dropped",
        form.what(),
        gap.as_millis()
    ));
    let what = form.what();
    report.within(&format!("{what}: write gap"), gap, GAP);
    report.require(
        &format!("{what}: a majority acknowledges before it heals"),
        gap < length,
        format!("gap {} ms of {} ms", gap.as_millis(), length.as_millis()),
        "some",
    );
    let minority = form.minority(&leader, &followers);
    if !minority.is_empty() {
        let wrong = acknowledged_by(rig.load()?.so_far()?, &minority, cut_ns, to_ns);
        report.none(&format!("{what}: acknowledged by the minority"), &wrong);
    }
    if form == Form::OnePair {
        // In 20 s two thirds of one change are allowed; the first may be the cut itself.
        let changes = new_term.saturating_sub(term);
        report.require(&format!("{what}: terms begun"), changes <= 2, changes, "≤ 2");
        report.at_least(&format!("{what}: throughput"), meanwhile, rate / 2.0, "submits/s");
    }
    Ok(())
}

/// Submits asked of one of these masters after the cut and acknowledged by it before the heal.
fn acknowledged_by(history: &History, masters: &[&str], cut_ns: u64, to_ns: u64) -> Vec<String> {
    let mut wrong = vec![];
    for operation in history.operations() {
        let Some((at, Event::Ok { answer: Answer::Submitted { job, .. } })) = operation.outcome else { continue };
        if operation.invoked_ns >= cut_ns && at <= to_ns && operation.master.is_some_and(|m| masters.contains(&m)) {
            wrong.push(format!("{} acknowledged job {job} at {at} ns", operation.master.unwrap_or_default()));
        }
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_cuts_what_its_name_says() {
        let followers = ["m2".to_owned(), "m3".to_owned()];
        let count = |form: Form| form.cuts("m1", &followers).len();
        assert_eq!(FORMS.map(count), [4, 2, 2, 2, 4]);
        assert_eq!(Form::LeaderHearsNobody.cuts("m1", &followers)[0], one_way("m2", "m1"));
        assert_eq!(Form::FollowerAlone.minority("m1", &followers), ["m2"]);
    }
}
