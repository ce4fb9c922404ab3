"""A Python client, generated from the OpenAPI document as anybody would, does a day's work against the running API."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from api_routes import DOCUMENT
from api_world import PASSWORD, Business
from fastapi import FastAPI
from listening import listening
from test_api_sessions import newcomer

from flipsync.domain.ids import new_id
from serve.backend import Backend

NAME = "generated_client_of_flipsync"


class Generated:
    """Modules of the package that was generated."""

    def __init__(self, package: ModuleType) -> None:
        self.client: Any = importlib.import_module(f"{package.__name__}.client")
        self.models: Any = importlib.import_module(f"{package.__name__}.models")

    async def ask(self, operation: str, client: Any, *path: Any, **values: Any) -> Any:
        """The whole answer of "tag.operation", parsed."""
        module = importlib.import_module(f"{NAME}.api.{operation}")
        return await module.asyncio_detailed(*path, client=client, **values)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Generated]:
    folder = tmp_path_factory.mktemp("generated")
    (folder / "openapi.json").write_text(json.dumps(DOCUMENT))
    (folder / "config.yaml").write_text("post_hooks: []\n")  # nobody reads it: it need not be formatted
    done = subprocess.run(
        [
            *(sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"),
            *("--path", folder / "openapi.json", "--config", folder / "config.yaml", "--output-path", folder / NAME),
        ],
        capture_output=True,
        text=True,
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "arning" not in told, f"parts of the API were left out: {told}"
    sys.path.insert(0, str(folder))
    yield Generated(importlib.import_module(NAME))
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


@pytest.fixture(scope="module")
async def address(app: FastAPI) -> AsyncIterator[str]:
    async with listening(app) as where:
        yield f"http://{where}"


async def test_every_operation_is_in_it(generated: Generated) -> None:
    folder = Path(importlib.import_module(f"{NAME}.api").__file__ or "").parent
    functions = {path.stem for path in folder.glob("*/*.py") if path.stem != "__init__"}
    operations = [found for each in DOCUMENT["paths"].values() for found in each.values()]
    assert functions == {found["operationId"].replace("-", "_") for found in operations}


async def test_it_signs_in_reads_books_and_understands_refusals(
    generated: Generated, address: str, backend: Backend, alpha: Business
) -> None:
    email, _ = await newcomer(backend, alpha)
    models, stranger = generated.models, generated.client.Client(base_url=address)
    login = models.LoginRequest(email=email, password=PASSWORD, device="a program")
    session = (await generated.ask("auth.auth_login", stranger, body=login)).parsed
    client = generated.client.AuthenticatedClient(base_url=address, token=session.access_token)

    seen: list[UUID] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await generated.ask("products.products_list_products", client, limit=1, **cursor)).parsed
        seen += [each.id for each in page.items]
        if not page.next_cursor:
            break
        cursor = {"cursor": page.next_cursor}
    assert alpha.ids["product_id"] in seen and len(seen) == len(set(seen))
    product = (await generated.ask("products.products_get_product", client, alpha.ids["product_id"])).parsed
    assert product.id == alpha.ids["product_id"] and product.variants

    receipt = models.ReceiptRequest(variant_id=alpha.ids["variant_id"], quantity=2)
    key = new_id().hex
    booked, again = [
        await generated.ask("inventory.inventory_receive", client, body=receipt, idempotency_key=key) for _ in range(2)
    ]
    assert booked.status_code == 201 and booked.parsed == again.parsed
    assert again.headers["Idempotent-Replayed"] == "true"

    for path, status in (((new_id(),), 404), (("no-id-at-all",), 422)):
        refused = await generated.ask("products.products_get_product", client, *path)
        assert (refused.status_code, refused.parsed.status) == (status, status)
        assert isinstance(refused.parsed, models.Problem) and refused.parsed.type_.startswith("urn:flipsync:error:")
    other = models.ReceiptRequest(variant_id=alpha.ids["variant_id"], quantity=3)
    conflict = await generated.ask("inventory.inventory_receive", client, body=other, idempotency_key=key)
    assert conflict.status_code in (409, 422) and conflict.parsed.hint


async def test_it_sends_files(generated: Generated, address: str, alpha: Business) -> None:
    token = alpha.headers()["Authorization"].removeprefix("Bearer ")
    client = generated.client.AuthenticatedClient(base_url=address, token=token)
    file = importlib.import_module(f"{NAME}.types").File
    goods = file(payload=io.BytesIO(b"sku,title,price\nG1,Cup,1.00\n"), file_name="goods.csv", mime_type="text/csv")
    form = generated.models.BodyProductsImportFile(file=goods, dry_run=True)
    answer = await generated.ask("products.products_import_file", client, body=form, idempotency_key=new_id().hex)
    assert (answer.status_code, answer.parsed.products_created) == (200, 1)
