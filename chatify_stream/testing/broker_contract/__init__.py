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
from .dedupe import Repeating
from .durability import Durability
from .presence import Presence
from .publish import Publishing
from .read import Reading
from .retention import Retaining
from .room_list import Listing
from .subscribe import Subscribing
from .survey import Survey

__all__ = ["BrokerContract"]


class BrokerContract(
    Publishing,
    Repeating,
    Subscribing,
    Reading,
    Retaining,
    Presence,
    Listing,
    Survey,
    Closing,
    Durability,
):
    """The whole contract. Subclasses define `make_broker`, and set `durable` and `shared`."""
