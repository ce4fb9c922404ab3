"""Values and words of the business: money, ids, events, commands, decisions, errors. No I/O, only pydantic."""

from flipsync.domain import advertising as advertising
from flipsync.domain import called_off as called_off
from flipsync.domain import listing_care as listing_care
from flipsync.domain import payouts as payouts
from flipsync.domain import purchase_commands as purchase_commands
from flipsync.domain import purchase_events as purchase_events
from flipsync.domain import steering_commands as steering_commands
from flipsync.domain import steering_events as steering_events
