//! The HTTP contract: what the api refuses and how it says so.

mod bad_input;

use tests::Stack;

#[tokio::test]
async fn bad_input_is_refused_clearly_and_leaves_nothing_behind() {
    let stack = Stack::builder().workers(0).start().await;
    bad_input::cases(&stack.api_url, stack.admin().key()).await;
}

#[tokio::test]
async fn the_plans_limits_and_idempotency_keys_are_explained() {
    let stack = Stack::builder().workers(0).start().await;
    let admin = stack.admin();
    bad_input::plan_limits(&stack.api_url, admin.key()).await;
    bad_input::idempotency(&stack.api_url, admin.key()).await;
}
