"""The contract with storefronts as an OpenAPI document, and as a page to read."""

from app.http.contract.document import build_document
from app.http.contract.page import as_page

__all__ = ["as_page", "build_document"]
