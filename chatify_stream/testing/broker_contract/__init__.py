"""What every broker has to do, as tests. An embedder's own broker, too:

    class TestOurBroker(BrokerContract):
        async def make_broker(self, **options):
            return OurBroker("https://...", **options)

The methods are asynchronous; with pytest-asyncio in its `auto` mode, or together with
`unittest.IsolatedAsyncioTestCase`, they run as they are. `pytest.register_assert_rewrite` makes
their failures tell more.
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
    """All of it. `make_broker` has to be given, and `durable` and `shared` if it is."""
