"""The description of the JSON API in OpenAPI's form; the schemas are those of the records that it answers with."""

from typing import Any

from pydantic import TypeAdapter

import sigjepa
from sigjepa.serving.answer import MAX_TOP_K, Result

TOP_K = {
    "name": "top_k",
    "in": "query",
    "schema": {"type": "integer", "minimum": 1, "maximum": MAX_TOP_K, "default": 10},
}
QUERY = {
    "name": "q",
    "in": "query",
    "required": True,
    "schema": {"type": "string"},
    "description": "A signature, a name or a few words.",
}
ROW = {"name": "row", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def openapi_document() -> dict[str, Any]:
    """Return the OpenAPI document of the API."""
    result = TypeAdapter(Result).json_schema(ref_template="#/components/schemas/{model}", mode="serialization")
    schemas = {**result.pop("$defs", {}), "Result": result, "Error": ERROR}
    reference = {"$ref": "#/components/schemas/Result"}
    many = {"type": "array", "items": reference}
    found = {
        "type": "object",
        "properties": {
            "query": {"type": "string", "description": "The signature that was searched."},
            "note": {"type": ["string", "null"], "description": "How it was come by, where it was not given so."},
            "expected": {
                "type": "object",
                "description": "What the student expects of the body: by view, terms with what each counts.",
                "additionalProperties": {"type": "array", "items": {"$ref": "#/components/schemas/Term"}},
            },
            "results": many,
        },
        "required": ["query", "note", "expected", "results"],
    }
    size = {"type": "object", "properties": {"functions": {"type": "integer"}}, "required": ["functions"]}
    paths = {
        "/api/index": _get("Give the size of the index.", [], size),
        "/api/search": _get("Find the functions whose bodies fit a signature.", [QUERY, TOP_K], found),
        "/api/functions/{row}": _get("Give a function of the index.", [ROW], reference),
        "/api/functions/{row}/neighbors": _get("Find the functions with the nearest bodies.", [ROW, TOP_K], many),
    }
    info = {"title": "sigjepa search", "version": sigjepa.__version__}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _get(summary: str, parameters: list[dict[str, Any]], schema: dict[str, Any]) -> dict[str, Any]:
    error = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    responses: dict[str, Any] = {
        "200": {"description": "What was found.", "content": {"application/json": {"schema": schema}}},
        "400": {"description": "A parameter is not as described.", **error},
        "404": {"description": "There is no such function.", **error},
        "429": {"description": "Too many requests in a second.", **error},
        "503": {"description": "Too many queries wait; `Retry-After` says for how long to.", **error},
    }
    return {"get": {"summary": summary, "parameters": parameters, "responses": responses}}
