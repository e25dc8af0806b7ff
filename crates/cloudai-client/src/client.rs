//! The client itself: who we are, where masters may be, and which one answered last.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cloudai_net::channel::{AddressError, parse_address};
use cloudai_net::{ChannelFactory, ChannelOptions, Identity, IdentityFiles, ReloadingTls, Revoked};
use cloudai_proto::v1::control_client::ControlClient;
use cloudai_types::{Timestamp, limits};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::error::OpenError;

pub(crate) type Control = ControlClient<InterceptedService<Channel, InTrace>>;

/// Says with each call to which trace it belongs; by default to none.
#[derive(Clone, Default)]
pub(crate) struct InTrace(Option<MetadataValue<Ascii>>);

impl Interceptor for InTrace {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(trace_parent) = &self.0 {
            request.metadata_mut().insert("traceparent", trace_parent.clone());
        }
        Ok(request)
    }
}

/// What a client needs to know.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// `HOST:PORT` of masters' gRPC ports, or `https://HOST:PORT`; tried in this order.
    pub addresses: Vec<String>,
    /// Directory with key.pem, cert.pem and ca.pem.
    pub identity_dir: PathBuf,
    /// How long a repeatable request goes from master to master.
    pub retry_for: Duration,
}

impl ClientOptions {
    pub fn new(addresses: Vec<String>, identity_dir: impl Into<PathBuf>) -> Self {
        ClientOptions { addresses, identity_dir: identity_dir.into(), retry_for: limits::CLIENT_RETRY.as_duration() }
    }
}

/// Cheap to clone; clones share connections and the knowledge of who answered last.
#[derive(Clone)]
pub struct Client {
    pub(crate) shared: Arc<Shared>,
    in_trace: InTrace,
}

pub(crate) struct Shared {
    factory: ChannelFactory,
    identity: Arc<Identity>,
    certificate_end: Timestamp,
    /// As given, in order.
    pub(crate) addresses: Vec<String>,
    pub(crate) retry_for: Duration,
    pub(crate) repeats: AtomicU64,
    known: Mutex<Known>,
}

struct Known {
    channels: BTreeMap<String, Channel>,
    /// Answered last.
    preferred: String,
}

impl Client {
    /// Reads the identity; connects at the first call.
    pub fn open(options: &ClientOptions) -> Result<Client, OpenError> {
        let files = IdentityFiles::new(&options.identity_dir);
        let tls = ReloadingTls::load(files, Revoked::default())
            .map_err(|source| OpenError::Identity { dir: options.identity_dir.display().to_string(), source })?;
        Self::with_tls(tls, &options.addresses, options.retry_for)
    }

    /// With an identity that is loaded already.
    pub fn with_tls(tls: Arc<ReloadingTls>, addresses: &[String], retry_for: Duration) -> Result<Client, OpenError> {
        let mut parsed: Vec<String> = vec![];
        for a in addresses.iter().filter(|a| !a.trim().is_empty()) {
            let a = parse_address(a)?;
            if !parsed.contains(&a) {
                parsed.push(a);
            }
        }
        let preferred = parsed.first().ok_or(OpenError::NoAddress)?.clone();
        Ok(Client {
            shared: Arc::new(Shared {
                identity: tls.identity(),
                certificate_end: tls.not_after(),
                factory: ChannelFactory::new(tls),
                addresses: parsed,
                retry_for,
                repeats: AtomicU64::new(0),
                known: Mutex::new(Known { channels: BTreeMap::new(), preferred }),
            }),
            in_trace: InTrace::default(),
        })
    }

    /// The same caller, who asks this one master and nobody else.
    pub fn only(&self, address: &str, retry_for: Duration) -> Result<Client, OpenError> {
        let address = parse_address(address)?;
        Ok(Client {
            shared: Arc::new(Shared {
                identity: self.shared.identity.clone(),
                certificate_end: self.shared.certificate_end,
                factory: self.shared.factory.clone(),
                addresses: vec![address.clone()],
                retry_for,
                repeats: AtomicU64::new(0),
                known: Mutex::new(Known { channels: BTreeMap::new(), preferred: address }),
            }),
            in_trace: self.in_trace.clone(),
        })
    }

    /// The same caller, whose calls belong to a trace (streams do not). What is no W3C trace parent, masters do not heed.
    #[must_use]
    pub fn in_trace(&self, trace_parent: &str) -> Client {
        Client { shared: self.shared.clone(), in_trace: InTrace(trace_parent.parse().ok()) }
    }

    /// For the calls that belong to the client's trace.
    pub(crate) fn control(&self, address: &str) -> Result<Control, AddressError> {
        self.shared.control_in(address, self.in_trace.clone())
    }

    /// Who we are to the masters.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// When the certificate ends with which we ask.
    pub fn certificate_end(&self) -> Timestamp {
        self.shared.certificate_end
    }

    pub fn addresses(&self) -> &[String] {
        &self.shared.addresses
    }

    /// How many tries ended with an unknown outcome so far and were made again, or were given up. Of a write that sets a state (draining,
    /// the configuration) each such try may have taken effect, also before or after somebody else's.
    pub fn repeats(&self) -> u64 {
        self.shared.repeats.load(Ordering::Relaxed)
    }
}

impl Shared {
    pub(crate) fn preferred(&self) -> String {
        self.known().preferred.clone()
    }

    /// It answered: the next call begins there.
    pub(crate) fn prefer(&self, address: &str) {
        let mut known = self.known();
        if known.preferred != address {
            known.preferred = address.to_owned();
        }
    }

    /// The address after `address`, around in a circle; the first one when it is not ours (a leader's hint).
    pub(crate) fn after(&self, address: &str) -> &str {
        let at = self.addresses.iter().position(|a| a == address);
        &self.addresses[at.map_or(0, |i| (i + 1) % self.addresses.len())]
    }

    pub(crate) fn control(&self, address: &str) -> Result<Control, AddressError> {
        self.control_in(address, InTrace::default())
    }

    fn control_in(&self, address: &str, trace: InTrace) -> Result<Control, AddressError> {
        let channel = self.channel(address)?;
        Ok(ControlClient::with_interceptor(channel, trace).max_decoding_message_size(limits::CLIENT_MESSAGE_BYTES_MAX))
    }

    /// The (lazy, shared) connection to an address.
    pub(crate) fn channel(&self, address: &str) -> Result<Channel, AddressError> {
        let mut known = self.known();
        let channel = match known.channels.get(address) {
            Some(c) => c.clone(),
            None => {
                let c = self.factory.channel(address, &ChannelOptions::calls())?;
                known.channels.insert(address.to_owned(), c.clone());
                c
            }
        };
        Ok(channel)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().expect("nothing panics while it is held")
    }
}
