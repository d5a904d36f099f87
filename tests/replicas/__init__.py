"""The API's, the WebSocket's and the clients' tests on a node that reads from replicas which are half a second late."""
