//! People of the tenant's team. Nobody sets another's password: who is invited gets a token to set their own with.

pub mod invitations;

use axum::{Json as Body, extract::State, http::StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use jobs::{
    domain::{access::Role, account::Email, audit::Action, ids::UserId},
    store::{
        Scope, TenantTx, audit, sessions, tenants,
        users::{self, Invitation, NewUser},
    },
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::api_keys::MAX_NAME;
use crate::{
    credentials,
    extract::{Caller, Json, KeyHeader, Keyed, PathId, Query, Traceparent, scope::Admin},
    identity::{Author, Credential},
    once::Answer,
    openapi::schemas,
    page::{List, Page},
    problem::{Document, Fields, Kind, Problem},
    request_id::RequestId,
    state::AppState,
};

/// How long an invitation can be accepted.
const INVITATION_LIFE: TimeDelta = TimeDelta::days(7);

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewUser)]
pub struct Request {
    #[schema(example = "ada@example.com")]
    email: String,
    /// 1 to 200 characters.
    #[schema(example = "Ada", min_length = 1, max_length = 200, pattern = "[^\\s\\u0085]")]
    name: String,
    #[schema(schema_with = schemas::role)]
    role: Role,
}

/// A person to invite, checked.
pub struct New {
    email: Email,
    name: String,
    role: Role,
}

impl Request {
    pub fn check(self) -> Result<New, Problem> {
        let mut fields = Fields::default();
        let email = fields.keep("email", Email::parse(&self.email));
        fields.not_blank("name", &self.name, MAX_NAME);
        fields.finish()?;
        let email = email.expect("an email that was refused ended the request");
        Ok(New { email, name: self.name, role: self.role })
    }
}

#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    #[schema(value_type = String, example = "usr_01983f2ab3c47d1e9f00a1b2c3d4e5f6")]
    pub id: UserId,
    #[schema(example = "ada@example.com")]
    pub email: String,
    #[schema(example = "Ada")]
    pub name: String,
    #[schema(schema_with = schemas::role)]
    pub role: Role,
    pub enabled: bool,
    /// Whether the invitation was accepted.
    pub joined: bool,
    pub created_at: DateTime<Utc>,
}

impl From<users::User> for User {
    fn from(stored: users::User) -> Self {
        let users::User { id, email, name, role, enabled, joined, created_at } = stored;
        Self { id, email, name, role, enabled, joined, created_at }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = InvitedUser)]
pub struct Invited {
    #[serde(flatten)]
    user: User,
    invitation: invitations::Token,
}

/// Invites a person to the team. Give them the token: it sets their password.
#[utoipa::path(
    post, path = "/v1/users", tag = "access", operation_id = "invite_user",
    security(("tenant_key" = ["admin"])),
    params(KeyHeader),
    request_body = Request,
    responses(
        (status = 201, description = "The user and the token to join with, shown this once.", body = Invited),
        (status = 402, description = "The plan's team is complete.", body = Document,
            content_type = "application/problem+json"),
        (status = 409, description = "There is a user with this email.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn invite(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    trace: Traceparent,
    Keyed { once, body: Json(request) }: Keyed<Json<Request>>,
) -> Result<Answer, Problem> {
    let new = request.check()?;
    let author = caller.author(request_id);
    let work = state.work(&caller, &trace).await?;
    once.by(&author)
        .run(&state.vault, work, async |work| {
            if new.role == Role::Owner {
                must_be_owner(work.tx(), caller.credential()).await?;
            }
            Answer::secret(StatusCode::CREATED, &add(work.tx(), &new, &author).await?)
        })
        .await
}

/// Adds a person to the team of the transaction's tenant.
pub async fn add(tx: &mut TenantTx, new: &New, author: &Author) -> Result<Invited, Problem> {
    let tenant = tenants::lock(tx).await?.ok_or_else(|| Problem::not_found("tenant"))?;
    let (seats, taken) = (tenant.limits.apply(tenant.plan.limits()).team, users::count(tx).await?);
    if taken >= seats {
        return Err(Problem::plan_limit("team", seats, taken));
    }
    let (id, token) = (UserId::generate(), credentials::secret(credentials::INVITATION_PREFIX));
    let invitation = Invitation { hash: credentials::hash(&token), expires_at: Utc::now() + INVITATION_LIFE };
    users::insert(tx, &NewUser { id, email: new.email.as_str(), name: &new.name, role: new.role, invitation }).await?;
    let after = json!({ "email": new.email.as_str(), "name": new.name, "role": new.role });
    let entry = author.made(Some(tx.tenant()), Action::UserInvited, id, after);
    audit::record(tx.connection(), &entry).await?;
    let user = find(tx, id).await?.into();
    Ok(Invited { user, invitation: invitations::Token { token, expires_at: invitation.expires_at } })
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Parameters {
    /// 1 to 100; 20 by default.
    limit: Option<u16>,
    cursor: Option<String>,
}

/// Lists the team, the latest invited first.
#[utoipa::path(
    get, path = "/v1/users", tag = "access", operation_id = "list_users",
    security(("tenant_key" = ["admin"])),
    params(Parameters),
    responses((status = 200, description = "A page.", body = List<User>))
)]
pub async fn list(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    Query(Parameters { limit, cursor }): Query<Parameters>,
) -> Result<Body<List<User>>, Problem> {
    let page = Page::parse("users", limit, cursor.as_deref())?;
    let mut tx = state.read(caller.id).await?;
    let rows = users::list(&mut tx, page.after, page.rows()).await?;
    tx.commit().await?;
    Ok(Body(page.list(rows, |user| user.id)))
}

/// Reads a user.
#[utoipa::path(
    get, path = "/v1/users/{id}", tag = "access", operation_id = "read_user",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "usr_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses((status = 200, description = "The user.", body = User))
)]
pub async fn read(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    PathId(id): PathId<UserId>,
) -> Result<Body<User>, Problem> {
    let mut tx = state.read(caller.id).await?;
    let user = find(&mut tx, id).await?;
    tx.commit().await?;
    Ok(Body(user.into()))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = UserChange)]
pub struct Change {
    /// 1 to 200 characters.
    #[schema(example = "Ada", min_length = 1, max_length = 200, pattern = "[^\\s\\u0085]")]
    name: Option<String>,
    #[schema(schema_with = schemas::changed_role)]
    role: Option<Role>,
    /// Disabling ends all of the user's sessions.
    #[schema(example = true)]
    enabled: Option<bool>,
}

/// Changes what is given of a user. What concerns an owner takes the session of an owner, and one who can log in must
/// remain.
#[utoipa::path(
    patch, path = "/v1/users/{id}", tag = "access", operation_id = "update_user",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "usr_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    request_body = Change,
    responses(
        (status = 200, description = "The user as it is now.", body = User),
        (status = 409, description = "No owner would remain.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn update(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<UserId>,
    Json(Change { name, role, enabled }): Json<Change>,
) -> Result<Body<User>, Problem> {
    let mut fields = Fields::default();
    if let Some(name) = &name {
        fields.not_blank("name", name, MAX_NAME);
    }
    fields.finish()?;
    let mut tx = state.read(caller.id).await?;
    tenants::lock(&mut tx).await?;
    let before = find(&mut tx, id).await?;
    let after = users::User {
        name: name.unwrap_or_else(|| before.name.clone()),
        role: role.unwrap_or(before.role),
        enabled: enabled.unwrap_or(before.enabled),
        ..before.clone()
    };
    if [before.role, after.role].contains(&Role::Owner) {
        must_be_owner(&mut tx, caller.credential()).await?;
    }
    if before.role == Role::Owner && (after.role != Role::Owner || !after.enabled) {
        must_leave_an_owner(&mut tx, id).await?;
    }
    users::update(&mut tx, &after).await?;
    if before.enabled && !after.enabled {
        sessions::end_all(&mut tx, id).await?;
    }
    let (before, after) = (User::from(before), User::from(after));
    let author = caller.author(request_id);
    if let Some(entry) = author.changed(Some(caller.id), Action::UserUpdated, id, (&before, &after)) {
        audit::record(tx.connection(), &entry).await?;
    }
    tx.commit().await?;
    Ok(Body(after))
}

/// Removes a user and ends all of their sessions. To remove an owner takes the session of an owner, and one who can log
/// in must remain.
#[utoipa::path(
    delete, path = "/v1/users/{id}", tag = "access", operation_id = "remove_user",
    security(("tenant_key" = ["admin"])),
    params(("id" = String, Path, example = "usr_01983f2ab3c47d1e9f00a1b2c3d4e5f6")),
    responses(
        (status = 204, description = "Removed."),
        (status = 409, description = "No owner would remain.", body = Document,
            content_type = "application/problem+json"),
    )
)]
pub async fn remove(
    caller: Caller<Admin>,
    State(state): State<AppState>,
    request_id: RequestId,
    PathId(id): PathId<UserId>,
) -> Result<StatusCode, Problem> {
    let mut tx = state.read(caller.id).await?;
    tenants::lock(&mut tx).await?;
    let user = find(&mut tx, id).await?;
    if user.role == Role::Owner {
        must_be_owner(&mut tx, caller.credential()).await?;
        must_leave_an_owner(&mut tx, id).await?;
    }
    users::delete(&mut tx, id).await?;
    let author = caller.author(request_id);
    let before = json!({ "email": user.email, "name": user.name, "role": user.role });
    audit::record(tx.connection(), &author.ended(Some(caller.id), Action::UserRemoved, id, before)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn find(tx: &mut TenantTx, id: UserId) -> Result<users::User, Problem> {
    users::find(tx, id).await?.ok_or_else(|| Problem::not_found("user"))
}

/// Asked again where the change is made: the caller may have been an owner when the request began only.
async fn must_be_owner(tx: &mut TenantTx, credential: Credential) -> Result<(), Problem> {
    let caller = match credential {
        Credential::Session { user, .. } => users::find(tx, user).await?,
        Credential::Key(_) => None,
    };
    match caller.is_some_and(|caller| caller.role == Role::Owner && caller.enabled) {
        true => Ok(()),
        false => Err(Problem::new(Kind::OwnerRequired)),
    }
}

async fn must_leave_an_owner(tx: &mut TenantTx, but: UserId) -> Result<(), Problem> {
    match users::has_other_owner(tx, but).await? {
        true => Ok(()),
        false => Err(Problem::new(Kind::LastOwner)),
    }
}
