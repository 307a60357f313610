"""Numbers of CBOR (RFC 8949) and of DAX's tags: docs/dax-protocol.md section 1."""

Buffer = bytes | bytearray | memoryview

UINT, NINT, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE = range(8)
"""Major types."""

TAG_POSITIVE_BIGNUM = 2
TAG_NEGATIVE_BIGNUM = 3
TAG_DECIMAL = 4
TAG_STRING_SET = 3321
TAG_NUMBER_SET = 3322
TAG_BINARY_SET = 3323
TAG_PATH_INDEX = 3324

FALSE_BYTE, TRUE_BYTE, NULL_BYTE, BREAK_BYTE = 0xF4, 0xF5, 0xF6, 0xFF
