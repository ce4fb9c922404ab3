"""eBay: Sell Inventory, Fulfillment and Account, Taxonomy, Browse and Notification, over their REST APIs."""
