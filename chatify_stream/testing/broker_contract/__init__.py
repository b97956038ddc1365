"""The contract of brokers as tests, also for brokers of embedders:

    class TestOurBroker(BrokerContract):
        async def make_broker(self, **options):
            return OurBroker("https://...", **options)

The test methods are coroutines. They run under pytest-asyncio in `auto` mode, and in subclasses of
`unittest.IsolatedAsyncioTestCase`. `pytest.register_assert_rewrite("chatify_stream.testing")` makes
their failures more detailed.
"""

from __future__ import annotations

from .close import Closing
from .presence import Presence
from .publish import Publishing
from .read import Reading
from .subscribe import Subscribing
from .survey import Survey

__all__ = ["BrokerContract"]


class BrokerContract(Publishing, Subscribing, Reading, Presence, Survey, Closing):
    """The whole contract. Subclasses define `make_broker`, and set `durable` and `shared`."""
