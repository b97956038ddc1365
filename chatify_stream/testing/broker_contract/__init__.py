"""The contract of brokers as tests, also for brokers of embedders:

    class TestOurBroker(BrokerContract):
        async def make_broker(self, **options):
            return OurBroker("https://...", **options)

The test methods are coroutines. They run under pytest-asyncio in `auto` mode, and in subclasses of
`unittest.IsolatedAsyncioTestCase`. `pytest.register_assert_rewrite("chatify_stream.testing")` makes
their failures more detailed.
"""

from .close import Closing
from .events import Events
from .log import Log

__all__ = ["BrokerContract"]


class BrokerContract(Log, Events, Closing):
    """The whole contract. Subclasses define `make_broker`, and set `durable` and `shared`."""
