"""The custom-channel protocol (PROTOCOL.md in this folder)."""
