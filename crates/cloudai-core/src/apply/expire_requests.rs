//! Request ids whose time is over are forgotten. The leader names candidates; each is checked again.

use super::out::Out;
use crate::command::ExpireRequests;
use crate::reply::Reply;
use crate::rows::{Family, RequestRow};

pub fn expire_requests(out: &mut Out, command: ExpireRequests) -> Reply {
    let mut requests = 0;
    for key in command.keys {
        if out.read::<RequestRow>(Family::Request, &key).is_some_and(|row| row.expires_ms <= out.clock_ms) {
            out.delete(Family::Request, &key);
            requests += 1;
        }
    }
    Reply::Expired { requests }
}
