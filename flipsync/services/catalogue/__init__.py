"""Catalogue files in: Shopify, WooCommerce and generic CSV exports to product drafts. Pure: no database, no network."""

from flipsync.services.catalogue.model import Limits, ProductDraft, VariantDraft
from flipsync.services.catalogue.reader import Catalogue, read_catalogue
from flipsync.services.catalogue.report import ImportReport, RowProblem

__all__ = ["Catalogue", "ImportReport", "Limits", "ProductDraft", "RowProblem", "VariantDraft", "read_catalogue"]
