"""Sort the tests into tiers, hold each test to its tier, and set up hypothesis."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from .tiers import GUARD, SLOW_FIXTURES, Tier, default_expression, tier_of

pytest.register_assert_rewrite("chatify_stream.testing")

# How long inputs and examples take depends on the load of the machine, which no test judges.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--default-tiers", action="store_true", help="see tests/tiers.py")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        config.option.markexpr = config.workerinput["markexpr"]
    elif config.option.default_tiers:
        config.option.markexpr = default_expression()
    config.addinivalue_line("markers", "slow: builds a peer, or starts many processes")
    for tier in Tier:
        config.addinivalue_line("markers", f"{tier}: a tier, see tests/tiers.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Run more workers than cores, because tests also wait: for timers, processes and peers.

    Not for the stress tier, which measures time and memory.
    """
    cores = os.cpu_count() or 1
    return cores if Tier.STRESS in config.option.markexpr else cores + 2


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of xdist the expression, which only the first process can work out."""
    node.workerinput["markexpr"] = node.config.option.markexpr


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, before `-m` selects among them."""
    for item in items:
        if not tiers(item):
            item.add_marker(tier_of(item.path).value)
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
        if len(set(tiers(item))) > 1:
            raise pytest.UsageError(f"{item.nodeid}: marked with more than one tier")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    with GUARD.watch(tiers(item)[0]):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    with GUARD.watch(tiers(item)[0]):
        return (yield)


def tiers(item: pytest.Item) -> list[Tier]:
    """Return the tiers that the test, its class and its module is marked with."""
    return [Tier(marker.name) for marker in item.iter_markers() if marker.name in set(Tier)]
