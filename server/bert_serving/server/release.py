"""The release of this package; the wire protocol has a number of its own (`wire.PROTOCOL_VERSION`)."""

RELEASE = '2.0.0'
