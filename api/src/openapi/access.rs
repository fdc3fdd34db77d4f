//! What the operations ask of a credential, as they say it themselves.

use serde_json::Value;
use utoipa::openapi::{OpenApi, path::Operation, security::SecurityRequirement};

use super::{SESSION, TENANT_KEY};

/// The schemes that an operation is open to, each with the scopes it asks for. Empty for one that is open to all.
pub fn asked(operation: &Operation) -> Vec<(String, Vec<String>)> {
    let requirements = operation.security.iter().flatten();
    let written = requirements.filter_map(|requirement| match serde_json::to_value(requirement) {
        Ok(Value::Object(schemes)) => Some(schemes),
        _ => None,
    });
    let scopes = |scopes: Value| serde_json::from_value(scopes).unwrap_or_default();
    written.flatten().map(|(scheme, asked)| (scheme, scopes(asked))).collect()
}

/// Where a key opens, a session with the same scopes does.
pub fn admit_sessions(document: &mut OpenApi) {
    for (operation, _) in operations(document) {
        for (scheme, scopes) in asked(operation) {
            if scheme == TENANT_KEY {
                operation.security.get_or_insert_default().push(SecurityRequirement::new(SESSION, scopes));
            }
        }
    }
}

/// Every operation of a document, and whether it changes something.
pub fn operations(document: &mut OpenApi) -> impl Iterator<Item = (&mut Operation, bool)> {
    document.paths.paths.values_mut().flat_map(|item| {
        let reading = item.get.iter_mut().map(|operation| (operation, false));
        let changing = [&mut item.post, &mut item.delete, &mut item.put, &mut item.patch].into_iter().flatten();
        reading.chain(changing.map(|operation| (operation, true)))
    })
}
