//! Jobs at times, as a plan has them. Comes in: dice. Goes out: schedules of every minute with all policies, pauses, runs by hand; moments at which all
//! masters' clocks are set forward by a minute, as a time service does, so that a time is due then; and leaders that die just there.

use cloudai_types::{JobSpec, Missed, Overlap, ScheduleSpec};

use super::{Act, Deed, Fault, Plan, Who, resources};
use crate::dice::Dice;

/// From one time of every schedule to the next: each of them comes at every full minute.
pub const EVERY_MS: u64 = 60_000;

pub fn add(plan: &mut Plan, dice: &mut Dice) {
    for n in 0..dice.between(1, 2) {
        let name = format!("s{n}");
        let long = dice.chance(400);
        let job = JobSpec {
            image: "simulated".into(),
            command: vec![
                "run".into(),
                if long { dice.between(4_000, 9_000) } else { dice.between(10, 600) }.to_string(),
                "0".into(),
            ],
            resources: resources(250),
            count: 1,
            max_attempts: 2,
            ..JobSpec::default()
        };
        let spec = ScheduleSpec {
            cron: "* * * * *".into(),
            zone: "UTC".into(),
            overlap: *dice.pick(&Overlap::ALL).unwrap_or(&Overlap::Skip) as i32,
            missed: *dice.pick(&Missed::ALL).unwrap_or(&Missed::Once) as i32,
            job,
            template: String::new(),
        };
        let mut acts = vec![Act {
            at_ms: dice.between(0, 1_500),
            what: Deed::CreateSchedule { name: name.clone(), spec: Box::new(spec) },
        }];
        if dice.chance(500) {
            let pause_ms = dice.between(4_000, 12_000);
            acts.push(Act { at_ms: pause_ms, what: Deed::Pause { name: name.clone(), paused: true } });
            let resume_ms = pause_ms + dice.between(1_000, 9_000);
            acts.push(Act { at_ms: resume_ms, what: Deed::Pause { name: name.clone(), paused: false } });
        }
        if dice.chance(400) {
            acts.push(Act { at_ms: dice.between(14_000, 17_000), what: Deed::RunNow { name } });
        }
        plan.acts.push(acts);
    }
    for _ in 0..dice.between(1, 3) {
        let at_ms = dice.between(3_000, plan.safety_ms - 3_000);
        plan.faults.push((at_ms, Fault::ClocksSet { by_ms: EVERY_MS as i64 }));
        if dice.chance(400) {
            let crash =
                Fault::CrashMaster { who: Who::Leader, down_ms: dice.between(500, 4_000), power: dice.chance(500) };
            plan.faults.push((at_ms + dice.between(1, 300), crash));
        }
    }
    plan.faults.sort_by_key(|(at, _)| *at);
}
