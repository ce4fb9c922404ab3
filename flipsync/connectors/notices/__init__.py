"""Ways to a person outside the app: mail (SMTP, SendGrid, Mailgun), short messages (Twilio), chats and other hooks.

Written here and not taken from a library of such services, as three things have to be ours: what came of a message
(sent, refused, try again, nobody knows), which address a name was connected to, and that no redirect is followed. How
chats are written and called is apprise's way, and held against it in tests.
"""
