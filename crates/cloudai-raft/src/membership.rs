//! Orders about members, all on the leader and one at a time. Comes in: an operator's order. Goes out: the settled
//! membership, or why not. Decides nothing about when a master deserves its vote beyond its lag.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cloudai_types::limits::{MEMBERSHIP_CHANGE_MAX, PROMOTE_LAG_MAX};
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _, Precondition};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::application::Application;
use crate::error::{Fatal, MembershipError, TransferError};
use crate::handle::{Raft, fatal, peer_of};
use crate::member::{MasterNode, Member, Members, NodeId};
use crate::types::StoredMembership;

/// Between two looks at something that openraft only shows in its metrics.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const CHANGE_MAX: Duration = Duration::from_millis(MEMBERSHIP_CHANGE_MAX.0);

type Change = ChangeMembers<NodeId, MasterNode>;

impl<A: Application> Raft<A> {
    /// The group as this master knows it; `matched` and `lag` on the leader only.
    pub fn members(&self) -> Members {
        let (config, committed, replication, last) = {
            let m = self.inner.raft.metrics();
            let m = m.borrow_watched();
            (
                m.membership_config.clone(),
                m.committed_membership_config.clone(),
                m.replication.clone(),
                m.last_log_index.unwrap_or(0),
            )
        };
        let voters: BTreeSet<NodeId> = config.voter_ids().collect();
        let member = |(id, node): (&NodeId, &MasterNode)| {
            // A node that was never heard of has matched nothing. The leader itself is among them, with its own log.
            let matched = replication.as_ref().map(|r| r.get(id).and_then(|p| p.as_ref()).map_or(0, |p| p.index));
            let lag = matched.map(|m| last.saturating_sub(m));
            (*id, Member { id: *id, node: node.clone(), is_voter: voters.contains(id), matched, lag })
        };
        Members {
            by_id: config.nodes().map(member).collect(),
            log_index: config.log_id().as_ref().map(|id| id.index),
            is_settled: config == committed && !is_joint(&config),
        }
    }

    /// Let a new master receive the log, without a vote. Returns when the change is committed, not when it has caught
    /// up. The same call again is fine.
    pub async fn add_learner(&self, id: NodeId, node: MasterNode) -> Result<(), MembershipError> {
        let _one = self.inner.admin.lock().await;
        self.leads()?;
        self.settled().await?;
        match self.members().by_id.get(&id) {
            Some(m) if m.node == node => return Ok(()),
            Some(_) => return Err(MembershipError::IdInUse(id)),
            None => {}
        }
        self.change(ChangeMembers::AddNodes(BTreeMap::from([(id, node)])), true).await?;
        self.verify(|m| m.by_id.contains_key(&id)).await
    }

    /// Give a learner its vote, once it has caught up; waits for that at most `within`. Fine for a voter.
    pub async fn promote(&self, id: NodeId, within: Duration) -> Result<(), MembershipError> {
        let _one = self.inner.admin.lock().await;
        self.settled().await?;
        let until = Instant::now() + within;
        loop {
            self.leads()?;
            let members = self.members();
            let member = members.by_id.get(&id).ok_or(MembershipError::NotAMember(id))?;
            if member.is_voter {
                return Ok(());
            }
            match (member.matched, member.lag) {
                (Some(matched), Some(lag)) if matched > 0 && lag <= PROMOTE_LAG_MAX => break,
                (_, lag) if Instant::now() >= until => {
                    return Err(MembershipError::NotCaughtUp { id, lag: lag.unwrap_or(u64::MAX), waited: within });
                }
                _ => sleep(LOOK_EVERY).await,
            }
        }
        self.change(ChangeMembers::AddVoterIds(BTreeSet::from([id])), true).await?;
        self.verify(|m| m.by_id.get(&id).is_some_and(|m| m.is_voter)).await
    }

    /// Take a master out, voter or learner. Not the leader itself. Its id must never be used again. Fine when it is
    /// out.
    pub async fn remove(&self, id: NodeId) -> Result<(), MembershipError> {
        let _one = self.inner.admin.lock().await;
        self.leads()?;
        self.settled().await?;
        if id == self.inner.settings.node_id {
            return Err(MembershipError::IsLeader(id));
        }
        let members = self.members();
        let Some(member) = members.by_id.get(&id) else { return Ok(()) };
        let change: Change = match member.is_voter {
            true if members.voters().count() == 1 => return Err(MembershipError::LastVoter(id)),
            true => ChangeMembers::RemoveVoters(BTreeSet::from([id])),
            false => ChangeMembers::RemoveNodes(BTreeSet::from([id])),
        };
        self.change(change, false).await?;
        self.verify(|m| !m.by_id.contains_key(&id)).await
    }

    /// Hand the leadership to `target`, or to the voter that is furthest. Returns who leads now.
    pub async fn transfer_leader(&self, target: Option<NodeId>) -> Result<NodeId, TransferError> {
        let _one = self.inner.admin.lock().await;
        let me = self.inner.settings.node_id;
        let mut leadership = self.leadership();
        let leader = leadership.borrow().leader.clone();
        if leader.as_ref().map(|l| l.id) != Some(me) {
            return match target {
                Some(t) if leader.as_ref().map(|l| l.id) == Some(t) => Ok(t),
                _ => Err(TransferError::NotLeader { leader }),
            };
        }
        let members = self.members();
        if let Some(t) = target {
            if t == me {
                return Ok(me);
            }
            if !members.by_id.get(&t).is_some_and(|m| m.is_voter) {
                return Err(TransferError::NotAVoter(t));
            }
        }
        let (alive, voters): (Vec<NodeId>, Vec<&Member>) =
            (self.heard_of_lately(), members.voters().filter(|m| m.id != me).collect());
        let chosen = match target {
            Some(t) => t,
            None => {
                let ready = voters.iter().filter(|m| alive.contains(&m.id));
                ready.max_by_key(|m| m.matched).or(voters.first()).ok_or(TransferError::NobodyElse)?.id
            }
        };
        // openraft refuses proposals and stops heartbeats from here to the end of the term: do not begin in vain.
        if !alive.contains(&chosen) {
            return Err(TransferError::NotReady { target: chosen, why: "it does not answer heartbeats".into() });
        }
        let lag = members.by_id.get(&chosen).and_then(|m| m.lag).unwrap_or(u64::MAX);
        if lag > 10 * PROMOTE_LAG_MAX {
            return Err(TransferError::NotReady { target: chosen, why: format!("it is {lag} entries behind") });
        }
        let term = leadership.borrow().term;
        self.inner.raft.trigger().transfer_leader(chosen).await.map_err(fatal)?;
        let waited = self.inner.settings.election_max * 4;
        let other = leadership.wait_for(|l| l.term > term && l.leader.is_some());
        match timeout(waited, other).await {
            Ok(Ok(now)) if now.leader.as_ref().map(|l| l.id) == Some(chosen) => Ok(chosen),
            Ok(Ok(now)) => Err(TransferError::Failed { target: chosen, leader: now.leader.clone(), waited }),
            Ok(Err(_)) => Err(Fatal { reason: "the node has stopped".into() }.into()),
            Err(_) => {
                let leader = self.inner.leadership.borrow().leader.clone();
                Err(TransferError::Failed { target: chosen, leader, waited })
            }
        }
    }

    /// Voters and learners whose acknowledgement is younger than an election timeout. Leader only.
    fn heard_of_lately(&self) -> Vec<NodeId> {
        let m = self.inner.raft.metrics();
        let m = m.borrow_watched();
        let young = self.inner.settings.election_max;
        let acks = m.heartbeat.iter().flatten();
        acks.filter(|(_, at)| at.as_ref().is_some_and(|at| at.elapsed() <= young)).map(|(id, _)| *id).collect()
    }

    fn leads(&self) -> Result<(), MembershipError> {
        let l = self.inner.leadership.borrow();
        if l.is_leading() { Ok(()) } else { Err(MembershipError::NotLeader { leader: l.leader.clone() }) }
    }

    /// Wait until the change before is committed and complete (openraft #1885), and complete it if a leader died in it.
    async fn settled(&self) -> Result<(), MembershipError> {
        let until = Instant::now() + CHANGE_MAX;
        loop {
            let (config, committed) = {
                let m = self.inner.raft.metrics();
                let m = m.borrow_watched();
                (m.membership_config.clone(), m.committed_membership_config.clone())
            };
            let committed = config == committed;
            if committed && !is_joint(&config) {
                return Ok(());
            }
            if Instant::now() >= until {
                return Err(MembershipError::Busy);
            }
            if committed {
                // A joint membership that nobody flattens any more: an empty change does.
                self.change(ChangeMembers::AddVoterIds(BTreeSet::new()), true).await?;
            } else {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// One change, only if the membership is still the one that was looked at.
    async fn change(&self, change: Change, retain: bool) -> Result<(), MembershipError> {
        let seen = self.inner.raft.metrics().borrow_watched().membership_config.log_id().as_ref().copied();
        let only_if = [Precondition::LastMembershipLogId { last_membership_log_id: seen }];
        let work = self.inner.raft.change_membership_if(change, retain, only_if);
        match timeout(CHANGE_MAX, work).await {
            Err(_) => Err(MembershipError::Unknown(format!("no majority agreed within {CHANGE_MAX:?}"))),
            Ok(Ok(_)) => Ok(()),
            Ok(Err(RaftError::Fatal(f))) => Err(fatal(f).into()),
            Ok(Err(RaftError::APIError(e))) => Err(match e {
                ClientWriteError::ForwardToLeader(f) => MembershipError::NotLeader { leader: peer_of(&f) },
                ClientWriteError::LogEntryDiscarded(_) => MembershipError::Unknown("the leader changed".into()),
                ClientWriteError::PreconditionFailed(_) => MembershipError::Busy,
                ClientWriteError::ChangeMembershipError(e) => match e {
                    ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_) => {
                        MembershipError::Busy
                    }
                    ChangeMembershipError::LearnerNotFound(l) => MembershipError::NotAMember(l.node_id),
                    ChangeMembershipError::EmptyMembership(_) => {
                        MembershipError::LastVoter(self.inner.settings.node_id)
                    }
                    ChangeMembershipError::UnsupportedMembershipTransition(e) => {
                        MembershipError::Unknown(e.to_string())
                    }
                    ChangeMembershipError::NodeMetadataChanged(e) => MembershipError::Unknown(e.to_string()),
                },
            }),
        }
    }

    /// The change is over when the final membership is committed here and says what was ordered.
    async fn verify(&self, ordered: impl Fn(&Members) -> bool) -> Result<(), MembershipError> {
        let looked = timeout_at(Instant::now() + CHANGE_MAX, self.until_settled()).await;
        looked.map_err(|_| MembershipError::Unknown("the change is not complete yet".into()))?;
        if ordered(&self.members()) {
            Ok(())
        } else {
            Err(MembershipError::Unknown("another change came right after it".into()))
        }
    }

    async fn until_settled(&self) {
        while !self.members().is_settled {
            sleep(LOOK_EVERY).await;
        }
    }
}

fn is_joint(m: &StoredMembership) -> bool {
    m.get_joint_config().len() > 1
}
