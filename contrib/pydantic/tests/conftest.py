from tests.support.adapter_stores import store, url

__all__ = ["store", "url"]
