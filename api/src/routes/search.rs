//! Retrieval without an answer: a job that feels like a call.

use std::time::Duration;

use axum::{Json as Body, extract::State};
use jobs::{
    domain::{
        ids::{DocumentId, SearchId},
        message::MAX_TEXT_CHARS,
        retrieval::{self, DEFAULT_LIMIT, MAX_LIMIT},
    },
    kinds::retrieve::{Retrieve, Target},
    queue::signals::Topic,
    store::{
        Scope, StoreError,
        searches::{self, Outcome, Parameters},
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::source::Source;
use crate::{
    extract::{Caller, Json, Traceparent, scope::Read},
    openapi::schemas,
    problem::{Fields, Problem},
    state::AppState,
    waiting::Waiter,
};

/// Longest wait for the job.
const WAIT: Duration = Duration::from_secs(15);
/// Most documents or tags a search restricts itself to.
pub const MAX_FILTERS: usize = 100;
const MAX_TAG_CHARS: usize = jobs::domain::document::MAX_TAG_CHARS;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = SearchRequest)]
pub struct Request {
    /// 1 to 4096 characters.
    #[schema(example = "return a tent", min_length = 1, max_length = 4096, pattern = "[^\\s\\u0085]")]
    query: String,
    /// 1 to 50; 5 by default.
    #[schema(minimum = 1, maximum = 50)]
    limit: Option<usize>,
    /// Only passages of these documents.
    #[serde(default)]
    #[schema(schema_with = schemas::document_ids)]
    document_ids: Vec<DocumentId>,
    /// Only passages of documents with one of these tags.
    #[serde(default)]
    #[schema(schema_with = schemas::searched_tags)]
    tags: Vec<String>,
    /// Only passages of documents in one of these languages, as they were uploaded with; `en` includes `en-GB`.
    #[serde(default)]
    #[schema(schema_with = schemas::searched_languages)]
    languages: Vec<String>,
    /// Only passages at least this similar to the query, by cosine, −1 to 1.
    #[schema(minimum = -1, maximum = 1, example = 0.3)]
    min_similarity: Option<f32>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SearchResults)]
pub struct Results {
    /// Best first.
    results: Vec<Source>,
}

/// Finds the passages that answer a question best.
#[utoipa::path(
    post, path = "/v1/search", tag = "search", operation_id = "search",
    security(("tenant_key" = ["read"])),
    request_body = Request,
    responses((status = 200, description = "The passages.", body = Results))
)]
pub async fn search(
    caller: Caller<Read>,
    State(state): State<AppState>,
    trace: Traceparent,
    Json(request): Json<Request>,
) -> Result<Body<Results>, Problem> {
    check(&request)?;
    let Request { query, limit, document_ids, tags, languages, min_similarity } = request;
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let parameters = Parameters { limit, documents: document_ids, tags, languages, min_similarity };
    let _place = state.waiter().ok_or_else(|| Problem::unavailable("Too many requests wait already."))?;

    let id = SearchId::generate();
    let mut waiter = Waiter::new(&state, Topic::Progress, id.uuid(), WAIT);
    let mut work = state.work(&caller, &trace).await?;
    searches::insert(work.tx(), id, &query, &parameters).await?;
    work.enqueue(&Retrieve { tenant: caller.id, target: Target::Search { search: id } })?;
    work.commit().await?;
    loop {
        let more = waiter.moved_on().await;
        let mut tx = state.read(caller.id).await?;
        let outcome = searches::outcome(&mut tx, id).await?;
        tx.commit().await?;
        match outcome {
            Some(Outcome::Found(found)) => {
                let found: Vec<retrieval::Source> = serde_json::from_value(found).map_err(StoreError::from)?;
                return Ok(Body(Results { results: found.into_iter().map(Source::from).collect() }));
            }
            Some(Outcome::Failed(cause)) => return Err(Problem::unavailable("The search failed.").cause(cause)),
            None if more => {}
            None => return Err(Problem::unavailable("The search was not answered in time.")),
        }
    }
}

fn check(request: &Request) -> Result<(), Problem> {
    let mut fields = Fields::default();
    fields.not_blank("query", &request.query, MAX_TEXT_CHARS);
    if request.limit.is_some_and(|limit| !(1..=MAX_LIMIT).contains(&limit)) {
        fields.refuse("limit", format!("must be 1 to {MAX_LIMIT}"));
    }
    for (field, count) in [
        ("document_ids", request.document_ids.len()),
        ("tags", request.tags.len()),
        ("languages", request.languages.len()),
    ] {
        if count > MAX_FILTERS {
            fields.refuse(field, format!("has more than {MAX_FILTERS} items"));
        }
    }
    for (at, tag) in request.tags.iter().enumerate().take(MAX_FILTERS) {
        fields.text(&format!("tags[{at}]"), tag, 1..=MAX_TAG_CHARS);
    }
    for (at, language) in request.languages.iter().enumerate().take(MAX_FILTERS) {
        fields.language(&format!("languages[{at}]"), language);
    }
    if request.min_similarity.is_some_and(|least| !(-1.0..=1.0).contains(&least)) {
        fields.refuse("min_similarity", "must be -1 to 1");
    }
    fields.finish()
}
