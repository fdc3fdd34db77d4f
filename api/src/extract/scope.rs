//! What a route asks of its caller, as types: a handler's signature says it.

use jobs::domain::access::Permission;

pub trait Scope: Send + Sync + 'static {
    const PERMISSION: Permission;
}

macro_rules! scopes {
    ($($name:ident,)+) => {
        $(
            #[derive(Debug, Clone, Copy)]
            pub struct $name;

            impl Scope for $name {
                const PERMISSION: Permission = Permission::$name;
            }
        )+
    };
}

scopes! {
    Read,
    MessagesWrite,
    DocumentsWrite,
    WebhooksWrite,
    JobsWrite,
    Admin,
}
