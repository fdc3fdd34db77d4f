//! What the environment says of the export, besides what the SDK and its exporter read themselves.

/// Spans that wait to be sent, unless OTEL_BSP_MAX_QUEUE_SIZE says otherwise: the SDK's own default.
const BUFFER: usize = 2_048;
/// The samplers of the SDK; those that begin with `parentbased_` do as the caller did.
const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];
const PARENT_BASED: &str = "parentbased_";

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    /// A trace that its caller does not record is not recorded here.
    pub follows_parent: bool,
    /// Spans that wait to be sent at most.
    pub buffer: usize,
    /// The environment names the service.
    pub named: bool,
}

impl Settings {
    /// `None` when nothing is to be exported. An empty variable is an unset one.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let get = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let endpoint = get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(|| get("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let sampler = get("OTEL_TRACES_SAMPLER");
        let off = get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || get("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none")
            || sampler.as_deref() == Some("always_off");
        if off || endpoint.is_none() {
            return Ok(None);
        }
        for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
            if let Some(protocol) = get(name).filter(|protocol| protocol != "http/protobuf") {
                return Err(format!("{name}: {protocol} is not spoken, only http/protobuf"));
            }
        }
        if let Some(unknown) = sampler.as_deref().filter(|sampler| !SAMPLERS.contains(sampler)) {
            return Err(format!("OTEL_TRACES_SAMPLER: {unknown} is none of {}", SAMPLERS.join(", ")));
        }
        let buffer = get("OTEL_BSP_MAX_QUEUE_SIZE").and_then(|size| size.parse().ok()).filter(|size| *size > 0);
        let attributes = get("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let named = attributes.split(',').any(|attribute| attribute.trim_start().starts_with("service.name="));
        Ok(Some(Self {
            follows_parent: sampler.is_none_or(|sampler| sampler.starts_with(PARENT_BASED)),
            buffer: buffer.unwrap_or(BUFFER),
            named: named || get("OTEL_SERVICE_NAME").is_some(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::read(|name| variables.iter().find(|(it, _)| *it == name).map(|(_, value)| (*value).to_owned()))
    }

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318");

    #[test]
    fn spans_are_exported_where_an_endpoint_is_named_and_nothing_says_no() {
        let usual = Settings { follows_parent: true, buffer: BUFFER, named: false };
        assert_eq!(read(&[ENDPOINT]), Ok(Some(usual)));
        for off in [
            vec![],
            vec![("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
            vec![ENDPOINT, ("OTEL_SDK_DISABLED", "TRUE")],
            vec![ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")],
            vec![ENDPOINT, ("OTEL_TRACES_SAMPLER", "always_off")],
        ] {
            assert_eq!(read(&off), Ok(None), "{off:?}");
        }
    }

    #[test]
    fn the_standard_variables_are_read() {
        let read = |variables: &[(&str, &str)]| read(&[&[ENDPOINT], variables].concat());
        let ratio = read(&[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_BSP_MAX_QUEUE_SIZE", "9")]);
        assert_eq!(ratio, Ok(Some(Settings { follows_parent: false, buffer: 9, named: false })));
        for name in [("OTEL_SERVICE_NAME", "shop"), ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=shop")] {
            assert!(read(&[name]).unwrap().unwrap().named, "{name:?}");
        }
        for (name, value) in [("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), ("OTEL_TRACES_SAMPLER", "sometimes")] {
            let refused = read(&[(name, value)]).unwrap_err();
            assert!(refused.starts_with(name) && refused.contains(value), "{refused}");
        }
    }
}
