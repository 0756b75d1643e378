"""The layout of a student's folder for sentence-transformers: two routes, of queries and of documents."""

from pathlib import Path

from sigjepa.store.files import write_json

ROUTES = {"query": "SignatureRoute", "document": "BodyRoute"}
MODULE = "sigjepa.serving.sentence_routes"


def write_layout(folder: Path) -> None:
    """Write the files by which `SentenceTransformer(folder, trust_remote_code=True)` opens a student's folder."""
    router = "sentence_transformers.base.modules.router.Router"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": router}])
    prompts = {"query": "", "document": ""}
    settings = {"model_type": "SentenceTransformer", "prompts": prompts, "similarity_fn_name": "dot"}
    write_json(folder / "config_sentence_transformers.json", settings)
    names = {route: f"{route}_0_{name}" for route, name in ROUTES.items()}
    router_config = {
        "types": {names[route]: f"{MODULE}.{name}" for route, name in ROUTES.items()},
        "structure": {route: [name] for route, name in names.items()},
        "parameters": {"default_route": "document", "allow_empty_key": True, "route_mappings": {}},
    }
    write_json(folder / "router_config.json", router_config)
