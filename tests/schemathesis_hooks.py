"""What the description of the api cannot say in JSON Schema, and Schemathesis therefore cannot know."""

import schemathesis
from schemathesis.generation import GenerationMode

# Fields whose values depend on each other, on the clock, on what exists or on the egress policy. Any other field that is
# refused in a request that follows the description makes the description wrong.
UNDESCRIBED = {"all", "callback_url", "cursor", "died_before", "email", "expires_at", "kind", "url"}
# Settings of a tenant, whose bounds are told in words.
SETTINGS = ("limits.", "settings.")
# Signed requests, and secrets that cannot be guessed.
SECRET = {"receive_stripe_event", "accept_invitation", "log_in", "change_password"}


def cannot_be_described(error):
    # JSON Schema takes 2.0 for an integer; the api does not.
    whole = "floating point" in error["detail"]
    return whole or error["field"] in UNDESCRIBED or error["field"].startswith(SETTINGS)


@schemathesis.check
def valid_data_is_accepted(ctx, response, case):
    valid = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    secret = case.operation.definition.raw["operationId"] in SECRET
    if not valid or secret or response.status_code not in (400, 415, 422):
        return
    problem = response.json()
    # Whether a key was used before, no schema can say.
    if problem["type"].endswith("/idempotency-mismatch"):
        return
    errors = problem.get("errors", [])
    told = bool(errors) and all(cannot_be_described(error) for error in errors)
    assert told, f"refused though it follows the description: {response.text}"
