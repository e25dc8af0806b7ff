//! Addresses that give one stored file to whoever has them. Comes in: a file of an attempt, and for how long. Goes out: an address that the store
//! itself answers, to a plain GET, also of a range; or nothing, where the store is a directory. An address is as good as a
//! key to that one object: it belongs into no log.

use std::time::Duration;

use crate::download::ReadError;
use crate::key::ResultKey;
use crate::manifest::StoredFile;
use crate::store::Store;

impl Store {
    /// `None`: this store can be read through us only.
    pub async fn address(
        &self,
        key: &ResultKey,
        file: &StoredFile,
        valid: Duration,
    ) -> Result<Option<String>, ReadError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let at = self.path(&key.object(&file.object)).map_err(ReadError::Store)?;
        let address = signer.signed_url(reqwest::Method::GET, &at, valid).await.map_err(ReadError::Store)?;
        Ok(Some(address.into()))
    }
}
