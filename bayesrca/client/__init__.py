"""Clients of `bayesrca serve`: the same analysis and attribution, computed elsewhere."""

from bayesrca.client.aio import AsyncClient
from bayesrca.client.channel import SERVICE_CONFIG
from bayesrca.client.sync import Client

__all__ = ["SERVICE_CONFIG", "AsyncClient", "Client"]
