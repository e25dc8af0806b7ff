//! An operator says what a namespace may have. What runs already goes on, also above a new cap: nothing more starts until it fits.

use super::out::Out;
use super::submit_job::{known_namespace, name_namespace};
use crate::command::SetQuota;
use crate::event::Event;
use crate::hot::Hot;
use crate::news::{News, What};
use crate::reply::{Refusal, Reply};
use crate::rows::{Family, namespace_key};

pub fn set_quota(hot: &mut Hot, out: &mut Out, command: SetQuota) -> Result<Reply, Refusal> {
    let SetQuota { namespace, change } = command;
    let known = known_namespace(hot, &namespace)?;
    let before = known.and_then(|id| hot.tenants.get(id)).map(|tenant| tenant.quota).unwrap_or_default();
    let quota = before.changed(&change).map_err(|fault| Refusal::InvalidValue(fault.to_string()))?;
    let id = known.unwrap_or_else(|| name_namespace(hot, out, namespace));
    if let Some(tenant) = hot.tenants.get_mut(id).filter(|tenant| tenant.quota != quota) {
        tenant.quota = quota;
        out.put(Family::Namespace, &namespace_key(id), &tenant.row());
        out.event(Event::ConfigChanged);
        let changed = News::of_cluster(What::QuotaChanged { actor: out.actor.clone() });
        out.news(News { namespace: Some(id), ..changed });
    }
    Ok(Reply::Done)
}
