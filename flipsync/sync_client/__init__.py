"""A device that works offline, as an example for whoever builds one: its file, and how it talks with the server.

    with DeviceFile(path) as device:
        device.do("stock.receive", variant_id=variant, quantity=2)    # kept before it returns, network or not
        async with httpx2.AsyncClient(base_url=..., auth=...) as http:
            told = await SyncClient(device, http).sync()              # raises Offline; nothing is lost, sync again
        device.on_shelf(variant), device.notices()

It speaks `/api/v1/sync` and knows nothing of the server's code but its way to make ids.
"""

from flipsync.sync_client.client import DeviceForgotten, Offline, Refused, SyncClient, Synced
from flipsync.sync_client.device_file import DeviceFile, Done

__all__ = ["DeviceFile", "DeviceForgotten", "Done", "Offline", "Refused", "SyncClient", "Synced"]
