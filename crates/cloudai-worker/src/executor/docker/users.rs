//! Whether a user whom an image calls by a name is root by another name. Comes in: a container that is made and not started, of that image.
//! Goes out: what the image's own list of users says, as the engine will read it. What follows from it is decided in `policy`.
//!
//! Asked once per image and name: an image is its content.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Mutex;

use bollard::errors::Error;
use bollard::query_parameters::DownloadFromContainerOptions;
use cloudai_types::limits;
use futures::StreamExt as _;

use super::{Shared, UNPOISONED, policy};

pub const PASSWD: &str = "/etc/passwd";

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    Root,
    /// Somebody else, or nobody whom the engine could find.
    Other,
    /// The list cannot be read as the engine would.
    Untold,
}

#[derive(Default)]
pub struct Users(Mutex<BTreeMap<(String, String), Known>>);

/// `image`: its id. `user`: as the image writes it.
pub async fn look_up(shared: &Shared, image: &str, container: &str, user: &str) -> Result<Known, Error> {
    let key = (image.to_owned(), user.to_owned());
    if let Some(known) = shared.users.0.lock().expect(UNPOISONED).get(&key) {
        return Ok(*known);
    }
    let known = match list_of(shared, container).await {
        Ok(archive) => archive.map_or(Known::Untold, |archive| of_archive(&archive, user)),
        // No list: the engine will not find the name either.
        Err(Error::DockerResponseServerError { status_code: 404, .. }) => Known::Other,
        Err(error) => return Err(error),
    };
    let mut users = shared.users.0.lock().expect(UNPOISONED);
    if users.len() >= limits::USERS_REMEMBERED_MAX {
        users.clear();
    }
    users.insert(key, known);
    Ok(known)
}

/// A tar archive of one entry. `None`: it is longer than any list should be.
async fn list_of(shared: &Shared, container: &str) -> Result<Option<Vec<u8>>, Error> {
    let options = DownloadFromContainerOptions { path: PASSWD.to_owned() };
    let mut pieces = Box::pin(shared.engine.docker.download_from_container(container, Some(options)));
    let mut archive = vec![];
    while let Some(piece) = pieces.next().await {
        archive.extend_from_slice(&piece?);
        if archive.len() > limits::PASSWD_BYTES_MAX {
            return Ok(None);
        }
    }
    Ok(Some(archive))
}

fn of_archive(archive: &[u8], user: &str) -> Known {
    let mut archive = tar::Archive::new(archive);
    let Some(Ok(mut entry)) = archive.entries().ok().and_then(|mut entries| entries.next()) else {
        return Known::Untold;
    };
    // A link leads elsewhere, and the engine follows it.
    let mut text = String::new();
    if !entry.header().entry_type().is_file() || entry.read_to_string(&mut text).is_err() {
        return Known::Untold;
    }
    of_list(&text, user)
}

/// `NAME:PASSWORD:UID:GID:…`. Which of two lines for one name counts is the engine's to say: either is enough.
fn of_list(text: &str, user: &str) -> Known {
    let name = user.split(':').next().unwrap_or_default();
    let mut numbers = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        (fields.next()?.trim() == name).then(|| fields.nth(1).unwrap_or_default().trim().to_owned())
    });
    if numbers.any(|uid| policy::is_root_number(&uid)) { Known::Root } else { Known::Other }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/app:\ntoor:x:0:0::/:\nodd:x::5:/\ntwo:x:7:7\n two:x:0:7\nover:x:4294967296:7\n";

    #[test]
    fn another_name_of_root_is_root() {
        let table = [
            ("root", Known::Root),
            ("app", Known::Other),
            ("app:staff", Known::Other),
            ("toor", Known::Root),
            ("toor:app", Known::Root),
            ("odd", Known::Root),
            ("two", Known::Root),
            ("over", Known::Root),
            ("absent", Known::Other),
        ];
        for (user, known) in table {
            assert_eq!(of_list(LIST, user), known, "{user}");
        }
    }

    fn archive(kind: tar::EntryType, text: &str) -> Vec<u8> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(text.len() as u64);
        let mut archive = tar::Builder::new(vec![]);
        archive.append_data(&mut header, "passwd", text.as_bytes()).unwrap();
        archive.into_inner().unwrap()
    }

    #[test]
    fn only_a_file_can_be_read() {
        assert_eq!(of_archive(&archive(tar::EntryType::Regular, LIST), "app"), Known::Other);
        assert_eq!(of_archive(&archive(tar::EntryType::Regular, LIST), "toor"), Known::Root);
        assert_eq!(of_archive(&archive(tar::EntryType::Symlink, ""), "app"), Known::Untold);
        assert_eq!(of_archive(b"no archive", "app"), Known::Untold);
        assert_eq!(of_archive(b"", "app"), Known::Untold);
    }
}
