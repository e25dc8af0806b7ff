//! Where results are kept. Comes in: what an operator wrote. Goes out: a [`Location`]. Nothing is opened here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One table of a master's or a worker's configuration, the same on all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// `file:///DIR`, where every master and worker sees the same directory, or `s3://BUCKET/PREFIX`. Empty: there is no store.
    pub location: String,
    /// Of an S3 service that is not Amazon's: `http://HOST:PORT` or `https://…`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Empty: what the environment says (`AWS_REGION`), or `us-east-1`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Empty: what the environment says (`AWS_ACCESS_KEY_ID` and its like, or the machine's own role).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub access_key_id: String,
    /// A file that holds the secret key, so that no configuration does.
    #[serde(skip_serializing_if = "is_empty")]
    pub secret_access_key_file: PathBuf,
}

fn is_empty(path: &std::path::Path) -> bool {
    path.as_os_str().is_empty()
}

impl StoreConfig {
    /// A directory on this machine, or one that all of them share.
    pub fn directory(dir: &std::path::Path) -> Self {
        StoreConfig { location: format!("file://{}", dir.display()), ..StoreConfig::default() }
    }

    /// Nobody said where results go.
    pub fn is_unset(&self) -> bool {
        self.location.is_empty()
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Location {
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LocationError {
    #[error("'{0}' is no store: write file:///DIR or s3://BUCKET/PREFIX")]
    Scheme(String),
    #[error("'{0}' names no absolute directory: write three slashes, file:///DIR")]
    Directory(String),
    #[error("'{0}' names no bucket: write s3://BUCKET/PREFIX, with letters, digits, '.', '_' and '-'")]
    Bucket(String),
    #[error("endpoint: '{0}' begins neither with http:// nor with https://")]
    Endpoint(String),
    #[error("endpoint, region and keys belong to s3://, and the location is a directory")]
    OnlyS3,
    #[error("access_key_id and secret_access_key_file belong together: one of them is missing")]
    HalfAKey,
}

impl Location {
    /// Everything that can be known without touching the machine.
    pub fn parse(config: &StoreConfig) -> Result<Location, LocationError> {
        let text = &config.location;
        if config.access_key_id.is_empty() != is_empty(&config.secret_access_key_file) {
            return Err(LocationError::HalfAKey);
        }
        if let Some(dir) = text.strip_prefix("file://") {
            let plain = StoreConfig { location: text.clone(), ..StoreConfig::default() };
            if *config != plain {
                return Err(LocationError::OnlyS3);
            }
            let dir = PathBuf::from(dir);
            let clean = dir.is_absolute() && !dir.components().any(|c| c == std::path::Component::ParentDir);
            return if clean { Ok(Location::Directory(dir)) } else { Err(LocationError::Directory(text.clone())) };
        }
        let Some(rest) = text.strip_prefix("s3://") else { return Err(LocationError::Scheme(text.clone())) };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let is_name = |part: &str| {
            let ok = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            !part.is_empty() && part != "." && part != ".." && part.bytes().all(ok)
        };
        if !is_name(bucket) || !(prefix.is_empty() || prefix.split('/').all(is_name)) {
            return Err(LocationError::Bucket(text.clone()));
        }
        let endpoint = &config.endpoint;
        if !(endpoint.is_empty() || endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
            return Err(LocationError::Endpoint(endpoint.clone()));
        }
        Ok(Location::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(location: &str) -> Result<Location, LocationError> {
        Location::parse(&StoreConfig { location: location.into(), ..StoreConfig::default() })
    }

    #[test]
    fn a_location_is_a_directory_or_a_bucket() {
        assert_eq!(parse("file:///var/results"), Ok(Location::Directory("/var/results".into())));
        let s3 = |bucket: &str, prefix: &str| Ok(Location::S3 { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!(parse("s3://b"), s3("b", ""));
        assert_eq!(parse("s3://b-1/team/results/"), s3("b-1", "team/results"));
        for bad in [
            "",
            "results",
            "file://results",
            "file:///a/../b",
            "s3://",
            "s3:///x",
            "s3://b/../c",
            "gs://b",
            "s3://b/a b",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys_belong_together_and_to_s3() {
        let s3 = StoreConfig { location: "s3://b".into(), ..StoreConfig::default() };
        let key = StoreConfig { access_key_id: "k".into(), ..s3.clone() };
        assert_eq!(Location::parse(&key), Err(LocationError::HalfAKey));
        let both = StoreConfig { secret_access_key_file: "/k".into(), ..key };
        assert!(Location::parse(&both).is_ok());
        let directory = StoreConfig { location: "file:///d".into(), ..both };
        assert_eq!(Location::parse(&directory), Err(LocationError::OnlyS3));
        let endpoint = StoreConfig { endpoint: "localhost:9000".into(), ..s3 };
        assert_eq!(Location::parse(&endpoint), Err(LocationError::Endpoint("localhost:9000".into())));
    }
}
