//! What holds of parameters wherever they stand: one is absent or has a value, never null, and every page has one measure.

use utoipa::openapi::{
    OpenApi, RefOr, Schema,
    path::{Parameter, ParameterIn},
    schema::{ObjectBuilder, SchemaType, Type},
};

use super::access;
use crate::page;

pub fn narrow(document: &mut OpenApi) {
    for (operation, _) in access::operations(document) {
        for parameter in operation.parameters.iter_mut().flatten() {
            if let RefOr::T(parameter) = parameter {
                describe(parameter);
            }
        }
    }
}

fn describe(parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema else { return };
    if let SchemaType::Array(types) = &mut object.schema_type {
        types.retain(|kind| *kind != Type::Null);
        if let [only] = &types[..] {
            object.schema_type = SchemaType::Type(only.clone());
        }
    }
    if parameter.parameter_in == ParameterIn::Query && parameter.name == "limit" {
        let bounded = ObjectBuilder::from(object.clone()).minimum(Some(1)).maximum(Some(page::MAX_LIMIT));
        *object = bounded.build();
    }
}
