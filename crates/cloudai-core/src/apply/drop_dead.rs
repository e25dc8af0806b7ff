//! Dead tasks leave the dead-letter queue. Their state and their attempts stay as they are.

use super::out::Out;
use crate::command::{DeadGroup, DropDead};
use crate::reply::Reply;
use crate::rows::{DeadRow, Family, task_key};

/// Again for the same: no change.
pub fn drop_dead(out: &mut Out, command: DropDead) -> Reply {
    let mut dropped = 0;
    for (namespace, task) in DeadGroup::tasks(&command.groups) {
        let key = task_key(namespace, task);
        if out.read::<DeadRow>(Family::Dead, &key).is_some() {
            out.delete(Family::Dead, &key);
            dropped += 1;
        }
    }
    Reply::DeadDropped { dropped }
}
