//! Every route, on one page.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    middleware::{from_fn, from_fn_with_state},
};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::{
        CompressionLayer,
        predicate::{NotForContentType, Predicate, SizeAbove},
    },
};
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};
use utoipa_swagger_ui::SwaggerUi;

use crate::{
    admission, cors, guard, https, limits, observe, openapi,
    problem::{Kind, Problem, render},
    routes::{
        api_keys, api_logs, audit_log, channels, contacts, conversations, dead_jobs, documents, endpoints, erasures,
        events, exports, messages, operator_keys, probes, search, sessions, stripe, tenants, usage, users,
    },
    slow_body,
    state::AppState,
};

/// Largest body of a request that uploads nothing.
const MAX_BODY: usize = 5 * 1024 * 1024;
/// Smallest body worth compressing, in bytes.
const MIN_COMPRESSED: u64 = 1024;

/// The described routes, each with its largest body.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(tenants::manage::list, tenants::create))
        .routes(routes!(tenants::manage::read, tenants::manage::update, tenants::manage::delete))
        .routes(routes!(tenants::manage::create_api_key))
        .routes(routes!(tenants::manage::invite_user))
        .routes(routes!(tenants::own::read, tenants::own::update))
        .routes(routes!(tenants::model_key::read, tenants::model_key::set, tenants::model_key::remove))
        .routes(routes!(operator_keys::list, operator_keys::create))
        .routes(routes!(operator_keys::rotate))
        .routes(routes!(operator_keys::revoke))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::read, api_keys::revoke))
        .routes(routes!(api_keys::rotation::rotate))
        .routes(routes!(users::list, users::invite))
        .routes(routes!(users::read, users::update, users::remove))
        .routes(routes!(users::invitations::renew))
        .routes(routes!(users::invitations::accept))
        .routes(routes!(sessions::read, sessions::log_in::log_in, sessions::log_out))
        .routes(routes!(sessions::password::change))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(audit_log::list))
        .routes(routes!(audit_log::list_operators))
        .routes(routes!(messages::submit::submit))
        .routes(routes!(messages::read::read))
        .routes(routes!(messages::stream::stream))
        .routes(routes!(messages::timeline::timeline))
        .routes(routes!(messages::cancel::cancel))
        .routes(routes!(conversations::list))
        .routes(routes!(conversations::read))
        .routes(routes!(conversations::messages))
        .routes(routes!(contacts::delete))
        .routes(routes!(contacts::export))
        .routes(routes!(exports::export))
        .routes(routes!(erasures::read))
        .routes(routes!(search::search))
        .routes(routes!(documents::retry))
        .routes(routes!(channels::list, channels::create))
        .routes(routes!(channels::read, channels::delete))
        .routes(routes!(channels::secrets::set))
        .routes(routes!(endpoints::list, endpoints::create))
        .routes(routes!(endpoints::read, endpoints::delete))
        .routes(routes!(events::list))
        .routes(routes!(events::types))
        .routes(routes!(dead_jobs::list))
        .routes(routes!(dead_jobs::read, dead_jobs::discard))
        .routes(routes!(dead_jobs::replay))
        .routes(routes!(dead_jobs::discard_matching))
        .routes(routes!(dead_jobs::replays::start))
        .routes(routes!(dead_jobs::replays::read, dead_jobs::replays::cancel))
        .routes(routes!(usage::read))
        .routes(routes!(api_logs::list))
        .routes(routes!(probes::alive))
        .routes(routes!(probes::ready))
        .routes(routes!(probes::metrics))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(documents::list, documents::upload::upload))
                .routes(routes!(documents::read, documents::replace::replace, documents::delete))
                .layer(DefaultBodyLimit::max(documents::upload::MAX_BODY)),
        )
        .merge(OpenApiRouter::new().routes(routes!(stripe::receive)).layer(DefaultBodyLimit::max(stripe::MAX_BODY)))
}

/// The whole service.
pub fn app(state: AppState) -> Router {
    let (router, _) = routes().split_for_parts();
    // A piece of a stream must not wait for the next one in a compressor.
    let worth_compressing = SizeAbove::new(MIN_COMPRESSED).and(NotForContentType::SSE);
    router
        .with_state(state.clone())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", openapi::document()))
        .fallback(|| async { Problem::new(Kind::NotFound).detail("There is no such path.") })
        .method_not_allowed_fallback(|| async { Problem::new(Kind::MethodNotAllowed) })
        // The last one added is the first to see a request.
        .layer(from_fn(guard::limit_time))
        .layer(from_fn_with_state(state.clone(), slow_body::limit))
        .layer(from_fn_with_state(state.clone(), limits::guard))
        .layer(from_fn_with_state(state.clone(), admission::admit))
        .layer(from_fn_with_state(state.clone(), https::enforce))
        .layer(CatchPanicLayer::custom(guard::panicked))
        .layer(from_fn(render))
        .layer(from_fn_with_state(state.clone(), cors::answer))
        .layer(CompressionLayer::new().compress_when(worth_compressing))
        .layer(from_fn(guard::secure))
        .layer(from_fn_with_state(state, observe::observe))
}
