"""schemathesis over the contract: whatever it makes up, the answer is one that the contract names."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from tests.databases import one_database_a_file
from tests.hostile.openapi import DOCUMENT
from tests.hostile.served import Served
from tests.world import Shop, token_for

database = one_database_a_file()

SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
CANCEL = "/store/orders/{order_id}/cancel"
RECEIPT = "/store/orders/{order_id}/cancellation"
OPERATIONS = [
    (CANCEL, "POST"),
    (CANCEL, "GET"),
    (RECEIPT, "GET"),
    ("/store/cancellation-keys", "GET"),
    ("/hooks/stripe", "POST"),
]


def _try(server: Served, shop: Shop, path: str, method: str, examples: int, *, same: bool) -> None:
    """Key and token are good in most requests: behind them there is more to break."""
    good = {"x-publishable-api-key": shop.key, "x-modification-token": token_for("order_1")}
    numbers = iter(range(10**9))

    @settings(
        max_examples=examples,
        derandomize=same,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
        print_blob=True,
    )
    @given(case=st.one_of(*(SCHEMA[path][method].as_strategy(generation_mode=mode) for mode in GenerationMode)))
    def ask(case: schemathesis.Case[Any]) -> None:
        number = next(numbers)
        if number % 4 == 3 and path in (CANCEL, RECEIPT):
            case.path_parameters["order_id"] = "order_1"
        headers = dict(list(good.items())[: (2, 2, 1, 2, 0)[number % 5]])
        answer = case.call(base_url=server.url, headers=headers)
        if answer.status_code == 404 and "/cancel" not in answer.request.path_url.partition("?")[0]:
            return  # the id ended the path
        case.validate_response(answer, checks=CHECKS)

    ask()
    assert next(numbers) >= min(examples, 10)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_what_schemathesis_makes_up(server: Served, unchanged: Shop, path: str, method: str) -> None:
    await asyncio.to_thread(_try, server, unchanged, path, method, 60, same=True)


@pytest.mark.long
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_all_that_schemathesis_makes_up(server: Served, unchanged: Shop, path: str, method: str) -> None:
    await asyncio.to_thread(_try, server, unchanged, path, method, 2_000, same=False)
