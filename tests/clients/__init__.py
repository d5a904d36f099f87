"""Tests that drive a live node with the clients people use, unmodified.

test_js_client.py         @mattermost/client: js/talk.mjs tells of each step, the tests judge
test_mattermostdriver.py  mattermostdriver: REST and its own Websocket
"""
