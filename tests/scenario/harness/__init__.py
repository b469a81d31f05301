"""The black-box harness: scripted upstreams, scripted clients and the gateway between them."""
