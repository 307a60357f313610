"""The protocol's methods, and how many values their requests and replies have.

docs/dax-protocol.md sections 3 and 4. Frames have no length: a request ends after its method's
number of arguments, a reply after its method's number of values.
"""

from enum import IntEnum
from typing import Final

SERVICE_ID: Final = 1
"""First value of every request."""

MAGIC: Final = "J7yne5G"
PREAMBLE_VALUES: Final = 5

ERROR_VALUES: Final = 3
"""Codes, message, details: in place of an empty array and a method's values."""


class Method(IntEnum):
    """Every method that a client sends; others are refused, since their end cannot be found."""

    AUTHORIZE_CONNECTION = 1489122155
    ENDPOINTS = 455855874
    DEFINE_KEY_SCHEMA = -742646399
    DEFINE_ATTRIBUTE_LIST_ID = -1230579644
    DEFINE_ATTRIBUTE_LIST = 670678385
    GET_ITEM = 263244906
    PUT_ITEM = -2106490455
    UPDATE_ITEM = 1425579023
    DELETE_ITEM = 1013539361
    QUERY = -931250863
    SCAN = -1875390620
    BATCH_GET_ITEM = -697851100
    BATCH_WRITE_ITEM = 116217951
    TRANSACT_GET_ITEMS = 1866287579
    TRANSACT_WRITE_ITEMS = -1160037738
    RAW_REQUEST = 0x7061_6365_6C69_6E65
    """Paceline's own, "paceline" in ASCII: AWS's ids have 32 bits."""


ARGUMENTS: Final[dict[Method, int]] = {
    Method.AUTHORIZE_CONNECTION: 5,
    Method.ENDPOINTS: 0,
    Method.DEFINE_KEY_SCHEMA: 1,
    Method.DEFINE_ATTRIBUTE_LIST_ID: 1,
    Method.DEFINE_ATTRIBUTE_LIST: 1,
    Method.GET_ITEM: 3,
    Method.PUT_ITEM: 4,
    Method.UPDATE_ITEM: 3,
    Method.DELETE_ITEM: 3,
    Method.QUERY: 3,
    Method.SCAN: 2,
    Method.BATCH_GET_ITEM: 2,
    Method.BATCH_WRITE_ITEM: 2,
    Method.TRANSACT_GET_ITEMS: 4,
    Method.TRANSACT_WRITE_ITEMS: 9,
    Method.RAW_REQUEST: 2,
}
"""Values that follow service and method id."""

REPLY_VALUES: Final[dict[Method, int]] = {
    **dict.fromkeys(Method, 1),
    Method.AUTHORIZE_CONNECTION: 0,  # no reply at all: a failure answers the request behind it
    Method.BATCH_GET_ITEM: 2,
    Method.BATCH_WRITE_ITEM: 3,
}
"""Values that follow the empty array of a successful reply."""


class TransactOperation(IntEnum):
    """Kinds of items in transactWriteItems."""

    PUT = 2
    DELETE = 7
    UPDATE = 9
    CONDITION_CHECK = 12
