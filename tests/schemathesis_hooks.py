"""What the description of the api cannot say in JSON Schema, and Schemathesis therefore cannot know."""

import schemathesis
from schemathesis.generation import GenerationMode

# Fields whose values depend on each other, on what exists, or on the egress policy. Any other field that is refused in
# a request that follows the description makes the description wrong.
UNDESCRIBED = {
    "all",
    "callback_url",
    "cursor",
    "died_before",
    "kind",
    "url",
}
# Their requests are signed, or come with a secret that cannot be guessed.
SIGNED = {"receive_stripe_event"}


@schemathesis.check
def valid_data_is_accepted(ctx, response, case):
    valid = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    if not valid or response.status_code not in (400, 415, 422) or case.operation.definition.raw["operationId"] in SIGNED:
        return
    errors = response.json().get("errors", [])
    fields = {error["field"] for error in errors}
    assert fields and fields <= UNDESCRIBED, f"refused though it follows the description: {response.text}"
