//! A walk over what is stored, tenant by tenant: for finding what no row names.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use object_store::path::Path;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Originals, OriginalsError, Version, in_time};
use crate::domain::ids::{DocumentId, TenantId};

/// Longest listing of one tenant.
const PATIENCE: Duration = Duration::from_secs(120);

impl Originals {
    /// Tenants with objects, in order, after one of them.
    pub async fn tenants(&self, after: Option<TenantId>) -> Result<Vec<TenantId>, OriginalsError> {
        let listed = in_time(self.store.list_with_delimiter(Some(&self.root))).await?;
        let ids = listed.common_prefixes.iter().filter_map(|folder| folder.parts().next_back()?.as_ref().parse().ok());
        let mut tenants: Vec<TenantId> = ids.map(TenantId::from_uuid).collect();
        tenants.retain(|tenant| after.is_none_or(|after| *tenant > after));
        tenants.sort_unstable();
        Ok(tenants)
    }

    /// Versions of a tenant's documents that have objects, all of them last written before a time.
    pub async fn versions_before(
        &self,
        tenant: TenantId,
        before: DateTime<Utc>,
    ) -> Result<Vec<Version>, OriginalsError> {
        let folder = self.folder(tenant, None);
        let mut versions: BTreeMap<Version, bool> = BTreeMap::new();
        let walk = async {
            let mut objects = self.store.list(Some(&folder));
            while let Some(object) = objects.try_next().await? {
                if let Some(version) = version_of(tenant, &folder, &object.location) {
                    *versions.entry(version).or_insert(true) &= object.last_modified < before;
                }
            }
            Ok::<_, object_store::Error>(())
        };
        timeout(PATIENCE, walk).await.map_err(|_| OriginalsError("listing takes too long".into()))??;
        Ok(versions.into_iter().filter_map(|(version, old)| old.then_some(version)).collect())
    }
}

/// The version that an object is of; `None` for what is none of ours.
fn version_of(tenant: TenantId, folder: &Path, object: &Path) -> Option<Version> {
    let mut parts = object.prefix_match(folder)?;
    let document: Uuid = parts.next()?.as_ref().parse().ok()?;
    let version = parts.next()?.as_ref().parse().ok()?;
    Some(Version { tenant, document: DocumentId::from_uuid(document), version })
}
