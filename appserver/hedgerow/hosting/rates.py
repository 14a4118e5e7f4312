"""How many requests a second an app takes, of all clients and of each one: token buckets, a pure decision."""

from __future__ import annotations

from collections import OrderedDict

MAX_CLIENTS = 10_000  # of whom it is known how many they have sent; whoever has been silent longest is forgotten


class Bucket:
    """rate: tokens a second; it holds those of one second, at least one, and is full at first."""

    __slots__ = ("_level", "_now", "_rate", "_size")

    def __init__(self, rate: float, now: float) -> None:
        self._rate, self._size = rate, max(1.0, rate)
        self._level, self._now = self._size, now

    def missing_s(self, now: float) -> float:
        """In how many seconds there is a token; 0: there is one."""
        self._level = min(self._size, self._level + (now - self._now) * self._rate)
        self._now = now
        return max(0.0, (1.0 - self._level) / self._rate)

    def take(self) -> None:
        self._level -= 1.0


class Rates:
    """Of one app. rate, client_rate: requests a second, of all and of each client; 0: as many as come."""

    def __init__(self, rate: float, client_rate: float, now: float) -> None:
        self._all = Bucket(rate, now) if rate else None
        self._client_rate = client_rate
        self._clients: OrderedDict[str, Bucket] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """0: the request may go on. Else it is one too many, and in so many seconds it would not be."""
        buckets = [self._all] if self._all is not None else []
        if self._client_rate:
            buckets.append(self._of(client, now))
        after_s = max((bucket.missing_s(now) for bucket in buckets), default=0.0)
        if not after_s:
            for bucket in buckets:
                bucket.take()
        return after_s

    def _of(self, client: str, now: float) -> Bucket:
        bucket = self._clients.get(client)
        if bucket is None:
            if len(self._clients) >= MAX_CLIENTS:
                self._clients.popitem(last=False)
            bucket = self._clients[client] = Bucket(self._client_rate, now)
        self._clients.move_to_end(client)
        return bucket
