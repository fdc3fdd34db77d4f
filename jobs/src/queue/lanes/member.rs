//! Names of jobs and leases in a lane, in bytes: every script copies and compares them many times.

use uuid::Uuid;

use crate::domain::ids::{JobId, TenantId};

/// Bytes of a token, and of an id.
const TOKEN: usize = 8;
const ID: usize = 16;
/// Stands for the tenant of the platform's own jobs.
const PLATFORM: &[u8] = b"platform";

/// Names a lease in renewals and settlements: its token, most significant byte first, its job and the job's tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member(Box<[u8]>);

impl Member {
    pub(super) fn read(bytes: Vec<u8>) -> Option<Self> {
        let tenant = bytes.get(TOKEN + ID..)?;
        (tenant == PLATFORM || tenant.len() == ID).then(|| Self(bytes.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The fencing token: grows with every claim of the lane.
    pub fn token(&self) -> i64 {
        i64::from_be_bytes(self.0[..TOKEN].try_into().expect("as long as it was read"))
    }

    pub fn job(&self) -> JobId {
        JobId::from_uuid(Uuid::from_slice(&self.0[TOKEN..TOKEN + ID]).expect("as long as it was read"))
    }

    pub fn tenant(&self) -> Option<TenantId> {
        Uuid::from_slice(&self.0[TOKEN + ID..]).ok().map(TenantId::from_uuid)
    }
}

/// How a lane calls a tenant.
pub(super) fn tenant_name(tenant: Option<TenantId>) -> Vec<u8> {
    tenant.map_or_else(|| PLATFORM.to_vec(), |tenant| tenant.uuid().as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_tells_what_it_was_made_of() {
        let (token, job, tenant) = (1_790_000_000_123_456_i64, JobId::generate(), TenantId::generate());
        for tenant in [Some(tenant), None] {
            let bytes = [&token.to_be_bytes()[..], job.uuid().as_bytes(), &tenant_name(tenant)].concat();
            let member = Member::read(bytes).unwrap();
            assert_eq!((member.token(), member.job(), member.tenant()), (token, job, tenant));
        }
        assert_eq!(Member::read(vec![0; 39]), None);
        assert_eq!(Member::read(Vec::new()), None);
    }
}
