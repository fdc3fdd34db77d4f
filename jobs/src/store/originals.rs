//! Uploaded bytes, and the passages that were read from them, in an object store.
//!
//! Objects are `{tenant}/{document}/{version}/original` and `…/passages-{model}`. An original is written before the row that names
//! it; the job `sweep_originals` removes those whose row was never committed, or is gone.

mod walk;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{Error, ObjectStore, ObjectStoreExt, local::LocalFileSystem, parse_url_opts, path::Path};
use tokio::time::timeout;
use url::Url;

use crate::domain::ids::{DocumentId, TenantId};

/// Longest wait for one answer of the store.
const PATIENCE: Duration = Duration::from_secs(60);

/// The object store failed; another attempt may succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("originals: {0}")]
pub struct OriginalsError(String);

impl From<Error> for OriginalsError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// A version of a tenant's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    pub tenant: TenantId,
    pub document: DocumentId,
    pub version: i32,
}

#[derive(Debug, Clone)]
pub struct Originals {
    store: Arc<dyn ObjectStore>,
    root: Path,
}

impl Originals {
    /// `uri` is a directory, made when it is missing, or a URL whose scheme this build knows; its settings, such as
    /// `AWS_ACCESS_KEY_ID`, come from `options`.
    ///
    /// # Errors
    ///
    /// A sentence that says what is wrong with it.
    pub fn connect(uri: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        let uri = uri.trim();
        if uri.is_empty() {
            return Err("is required".to_owned());
        }
        if !uri.contains("://") {
            return Self::directory(std::path::Path::new(uri));
        }
        let url = Url::parse(uri).map_err(|error| error.to_string())?;
        if url.scheme() == "file" {
            let path = url.to_file_path().map_err(|()| "names no directory of this machine".to_owned())?;
            return Self::directory(&path);
        }
        let (store, root) = parse_url_opts(&url, options).map_err(|error| error.to_string())?;
        Ok(Self { store: Arc::from(store), root })
    }

    fn directory(path: &std::path::Path) -> Result<Self, String> {
        let made = std::fs::create_dir_all(path).and_then(|()| path.canonicalize());
        let path = made.map_err(|error| format!("{}: {error}", path.display()))?;
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| error.to_string())?;
        // A document that was accepted is on the disk.
        let store = store.with_fsync(true).with_automatic_cleanup(true);
        Ok(Self { store: Arc::new(store), root: Path::default() })
    }

    pub async fn put(&self, version: Version, bytes: Bytes) -> Result<(), OriginalsError> {
        in_time(self.store.put(&self.path(version, "original"), bytes.into())).await?;
        Ok(())
    }

    /// The uploaded bytes; `None` when there are none.
    pub async fn get(&self, version: Version) -> Result<Option<Bytes>, OriginalsError> {
        self.read(&self.path(version, "original")).await
    }

    /// Some of the uploaded bytes, from an offset on; none beyond their end or when there are none.
    pub async fn part(&self, version: Version, offset: u64, length: u64) -> Result<Bytes, OriginalsError> {
        match in_time(self.store.get_range(&self.path(version, "original"), offset..offset + length)).await {
            Ok(part) => Ok(part),
            // A range that begins at the end is an error to some stores and empty to others.
            Err(error) => match self.size(version).await? {
                Some(size) if offset < size => Err(error.into()),
                _ => Ok(Bytes::new()),
            },
        }
    }

    async fn size(&self, version: Version) -> Result<Option<u64>, OriginalsError> {
        match in_time(self.store.head(&self.path(version, "original"))).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps what was read from the original, by the tokens of a model, for the runs that follow.
    pub async fn put_passages(&self, version: Version, model: &str, bytes: Bytes) -> Result<(), OriginalsError> {
        in_time(self.store.put(&self.path(version, &format!("passages-{model}")), bytes.into())).await?;
        Ok(())
    }

    pub async fn passages(&self, version: Version, model: &str) -> Result<Option<Bytes>, OriginalsError> {
        self.read(&self.path(version, &format!("passages-{model}"))).await
    }

    /// How many objects there are of a document; of the whole tenant with `None`.
    pub async fn count(&self, tenant: TenantId, document: Option<DocumentId>) -> Result<u64, OriginalsError> {
        let objects = self.store.list(Some(&self.folder(tenant, document)));
        Ok(in_time(objects.try_fold(0, async |count, _| Ok(count + 1))).await?)
    }

    /// Removes every object of a document; of the whole tenant with `None`.
    pub async fn erase(&self, tenant: TenantId, document: Option<DocumentId>) -> Result<(), OriginalsError> {
        self.erase_under(&self.folder(tenant, document)).await
    }

    /// Removes every object of a version.
    pub async fn erase_version(&self, version: Version) -> Result<(), OriginalsError> {
        self.erase_under(&self.version_folder(version)).await
    }

    async fn erase_under(&self, folder: &Path) -> Result<(), OriginalsError> {
        let objects = self.store.list(Some(folder));
        let removed = self.store.delete_stream(objects.map_ok(|object| object.location).boxed());
        let removed = removed.try_for_each(async |_| Ok(()));
        match in_time(removed).await {
            // Another run was faster.
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn read(&self, path: &Path) -> Result<Option<Bytes>, OriginalsError> {
        let bytes = in_time(async { self.store.get(path).await?.bytes().await }).await;
        match bytes {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn folder(&self, tenant: TenantId, document: Option<DocumentId>) -> Path {
        let tenant = self.root.clone().join(tenant.uuid().simple().to_string());
        match document {
            Some(document) => tenant.join(document.uuid().simple().to_string()),
            None => tenant,
        }
    }

    fn version_folder(&self, version: Version) -> Path {
        let Version { tenant, document, version } = version;
        self.folder(tenant, Some(document)).join(version.to_string())
    }

    fn path(&self, version: Version, name: &str) -> Path {
        self.version_folder(version).join(name)
    }
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(PATIENCE, work).await {
        Ok(done) => done,
        Err(late) => Err(Error::Generic { store: "originals", source: Box::new(late) }),
    }
}
