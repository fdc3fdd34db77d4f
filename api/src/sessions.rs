//! What a session's token opens. Asked of the database at every request: a session that ended is over at once,
//! everywhere.

use jobs::store::{
    Database, Scope, StoreError, SystemTx,
    sessions::{self, Opened},
};

/// The session whose token has this hash; `None` for one that opens nothing.
pub async fn open(database: &Database, hash: [u8; 32]) -> Result<Option<Opened>, StoreError> {
    let mut tx = SystemTx::begin(database, None).await?;
    let opened = sessions::open(&mut tx, &hash).await?;
    tx.commit().await?;
    Ok(opened)
}
