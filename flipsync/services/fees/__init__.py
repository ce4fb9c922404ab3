"""What channels, payment processors and carriers charge: dated, sourced tables, and the fees of an order by them.

`tariffs/*.csv` hold the figures, `engine` the fees and the net of one order, `schedules` the same tables as the price
floor needs them, `reconciliation` what the vendor really took, `landed_cost` what the goods cost us. Pure, no I/O but
reading the tables that come with the package.
"""

from flipsync.services.fees.engine import Prediction, Refunded, Sale, SoldItem, predict, predict_refund
from flipsync.services.fees.landed_cost import CostError, Receipt, StockCost, fifo, landed, specific, weighted_average
from flipsync.services.fees.profile import FeeProfile, default_profile
from flipsync.services.fees.reconciliation import Difference, Named, SettledLine, reconcile
from flipsync.services.fees.schedules import published_schedule, stripe_us
from flipsync.services.fees.tariff import Tariff, charge, fee_types, tariffs

__all__ = [
    "CostError",
    "Difference",
    "FeeProfile",
    "Named",
    "Prediction",
    "Receipt",
    "Refunded",
    "Sale",
    "SettledLine",
    "SoldItem",
    "StockCost",
    "Tariff",
    "charge",
    "default_profile",
    "fee_types",
    "fifo",
    "landed",
    "predict",
    "predict_refund",
    "published_schedule",
    "reconcile",
    "specific",
    "stripe_us",
    "tariffs",
    "weighted_average",
]
