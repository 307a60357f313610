"""What golden frames do not show: limits, refusals, projections of lists, every form of reply."""

import pytest

from paceline.dax.attribute_lists import encode_item, list_id
from paceline.dax.cbor import Reader
from paceline.dax.client.requests import to_request
from paceline.dax.client.results import decode_result
from paceline.dax.expressions import encode_condition, encode_projection
from paceline.dax.family import Family
from paceline.dax.keys import encode_key
from paceline.dax.methods import Method
from paceline.dax.options import Options, read_options
from paceline.dax.requests import (
    BatchGet,
    BatchGetItem,
    BatchWriteItem,
    DefineAttributeListId,
    GetItem,
    PutItem,
    Query,
    Scan,
    TransactGet,
    TransactGetItems,
    TransactWrite,
    TransactWriteItems,
    UpdateItem,
    encode_request,
    parse_request,
    read_method,
)
from paceline.dax.responses import MISS_REPLY, item_reply
from paceline.dax.server.params import to_params, widened
from paceline.dax.server.replies import encode_result
from paceline.errors import DynamoDBError, ProtocolError, RequestError
from paceline.types import KeyAttribute, KeySchema

SCHEMAS = {
    "s": KeySchema(KeyAttribute("pk", "S")),
    "sn": KeySchema(KeyAttribute("pk", "S"), KeyAttribute("sk", "N")),
}
LISTS: dict[int, tuple[str, ...]] = {}


def schema_of(table):
    if table not in SCHEMAS:
        raise DynamoDBError("ResourceNotFoundException", "no such table")
    return SCHEMAS[table]


def id_of(names):
    LISTS[list_id(names)] = names
    return list_id(names)


def names_of(identifier):
    return LISTS[identifier]


def params_of(request):
    return to_params(request, schema_of, names_of)[1]


def refused(request) -> str:
    with pytest.raises(RequestError) as caught:
        params_of(request)
    assert caught.value.name == "ValidationException"
    assert caught.value.status == 400
    return caught.value.message


def exchanged(operation, params, result):
    """Parameters through the client's and server's codec and the result back the same way."""
    sent = to_request(operation, params, schema_of, id_of)
    reader = Reader(encode_request(sent))
    request = parse_request(read_method(reader), reader)
    name, upstream = to_params(request, schema_of, names_of)
    assert name == operation
    reply = encode_result(request, upstream, result, schema_of, id_of)
    return upstream, decode_result(operation, params, reply[1:], schema_of, names_of)


# -- what clients do not mean ------------------------------------------------------------------

PROJECTION = encode_projection("a", None)


@pytest.mark.parametrize("make", [lambda o: Scan("sn", o), lambda o: Query("sn", None, o)])
@pytest.mark.parametrize(
    "options",
    [
        Options(select=1, projection=PROJECTION),
        Options(select=1, index_name="i"),
        Options(select=1, index_name="i", projection=PROJECTION),
    ],
)
def test_all_attributes_of_gos_client_for_sdk_v2_means_nothing(make, options):
    request = make(options)
    assert "Select" not in to_params(request, schema_of, names_of, Family.GO_V2)[1]
    for client in set(Family) - {Family.GO_V2}:
        assert to_params(request, schema_of, names_of, client)[1]["Select"] == "ALL_ATTRIBUTES"


def test_other_selections_of_gos_client_are_meant():
    for select, text in ((2, "ALL_PROJECTED_ATTRIBUTES"), (3, "COUNT")):
        request = Scan("sn", Options(select=select, index_name="i"))
        assert to_params(request, schema_of, names_of, Family.GO_V2)[1]["Select"] == text
    plain = Scan("sn", Options(select=1))
    assert to_params(plain, schema_of, names_of, Family.GO_V2)[1]["Select"] == "ALL_ATTRIBUTES"


@pytest.mark.parametrize("table", ["s", "sn"])
@pytest.mark.parametrize("index", [None, "i"])
def test_a_start_key_of_no_bytes_is_none(table, index):
    options = Options(exclusive_start_key=b"", index_name=index)
    assert "ExclusiveStartKey" not in params_of(Scan(table, options))
    assert "ExclusiveStartKey" not in params_of(Query(table, None, options))


@pytest.mark.parametrize("text", ["pk[0], a", "a, pk.b"])
def test_projections_that_dynamodb_refuses_are_not_widened(text):
    """It would take what leads into a key without the list indexes. Of paths that overlap or
    conflict this side says so itself."""
    projection = encode_projection(text, None)
    requests = [
        GetItem("s", b"k", Options(projection=projection)),
        Scan("s", Options(projection=projection)),
        BatchGetItem({"s": BatchGet(False, projection, (b"k",))}, Options()),
    ]
    for request in requests:
        params = params_of(request)
        part = params.get("RequestItems", {}).get("s", params)
        assert (
            encode_projection(part["ProjectionExpression"], part["ExpressionAttributeNames"])
            == projection
        )


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (Options(consumed_capacity=3), "returnConsumedCapacity"),
        (Options(consumed_capacity=-1), "returnConsumedCapacity"),
        (Options(collection_metrics=2), "returnItemCollectionMetrics"),
        (Options(return_values=0), "returnValues"),
        (Options(return_values=6), "returnValues"),
    ],
)
def test_numbers_that_stand_for_nothing(options, field):
    message = refused(UpdateItem("s", b"a", options))
    assert f"at '{field}' failed to satisfy constraint: Member must satisfy enum" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(select=5), "Value '5' at 'select'"),
        (Options(limit=0), "Value '0' at 'limit' failed to satisfy constraint: Member must have"),
        (Options(limit=-5), "value greater than or equal to 1"),
        (Options(segment=-1), "'segment'"),
        (Options(segment=1_000_000), "value less than or equal to 999999"),
        (Options(total_segments=0), "'totalSegments'"),
        (Options(total_segments=1_000_001), "value less than or equal to 1000000"),
        (Options(exclusive_start_key=b"\x00"), "The provided starting key is invalid"),
        (Options(exclusive_start_key=b"a", index_name="i"), "The provided starting key is invalid"),
        (Options(filter=b"\x00"), "alformed"),
        (Options(projection=b""), "alformed"),
    ],
)
def test_pages(options, message):
    assert message in refused(Scan("sn", options))


def test_keys_that_do_not_fit_the_schema():
    wanted = "The provided key element does not match the schema"
    assert refused(GetItem("sn", b"a")) == wanted
    assert refused(GetItem("s", b"\xff")) == wanted
    assert refused(PutItem("sn", b"a", b"\x01")) == wanted
    assert refused(BatchGetItem({"sn": BatchGet(False, None, (b"a",))})) == wanted
    assert refused(TransactGetItems((TransactGet("sn", b"a"),))) == wanted


def test_tables_that_do_not_exist():
    with pytest.raises(DynamoDBError, match="no such table"):
        params_of(GetItem("none", b"a"))


def test_attribute_lists_that_nobody_knows():
    assert "Attribute list 77 is unknown" in refused(PutItem("s", b"a", b"\x18\x4d\x01"))


@pytest.mark.parametrize("values", [b"", b"\x01\x01", b"\x61a", b"\x1c", b"\x20"])
def test_malformed_values(values):
    assert refused(PutItem("s", b"a", values)).startswith("Malformed request")


def test_a_key_attribute_among_the_values_never_replaces_the_key():
    identifier = id_of(("pk", "v"))
    values = encode_item({"pk": {"S": "x"}, "v": {"S": "y"}}, KeySchema(KeyAttribute("k", "S")),
                         lambda _: identifier)  # fmt: skip
    assert params_of(PutItem("s", b"a", values))["Item"] == {"pk": {"S": "a"}, "v": {"S": "y"}}


def test_batches_with_duplicates_in_any_spelling():
    key, same = bytes.fromhex("6161c1288010"), bytes.fromhex("6161c1288020")
    message = "Provided list of item keys contains duplicates"
    assert refused(BatchGetItem({"sn": BatchGet(False, None, (key, same))})) == message
    assert refused(BatchWriteItem({"sn": ((key, None), (same, b"\x01"))})) == message
    gets = (TransactGet("sn", key), TransactGet("sn", same))
    message = "Transaction request cannot include multiple operations on one item"
    assert refused(TransactGetItems(gets)) == message
    writes = (TransactWrite(7, "sn", key), TransactWrite(2, "sn", same, b"\x01"))
    assert refused(TransactWriteItems(writes)) == message


def test_equal_keys_in_two_tables_are_no_duplicates():
    SCHEMAS["s2"] = SCHEMAS["s"]
    params = params_of(
        BatchGetItem({t: BatchGet(True, None, (b"a",)) for t in ("s", "s2")}),
    )
    assert params == {
        "RequestItems": {
            t: {"Keys": [{"pk": {"S": "a"}}], "ConsistentRead": True} for t in ("s", "s2")
        }
    }


def test_sizes_of_batches():
    keys = tuple(b"%d" % n for n in range(101))
    assert len(params_of(BatchGetItem({"s": BatchGet(False, None, keys[:100])}))) == 1
    assert refused(BatchGetItem({"s": BatchGet(False, None, keys)})) == (
        "Too many items requested for the BatchGetItem call"
    )
    assert len(params_of(BatchWriteItem({"s": tuple((key, None) for key in keys[:25])}))) == 1
    assert refused(BatchWriteItem({"s": tuple((key, None) for key in keys[:26])})) == (
        "Too many items requested for the BatchWriteItem call"
    )
    for empty in (
        BatchGetItem({}),
        BatchGetItem({"s": BatchGet(False, None, ())}),
        BatchWriteItem({}),
        BatchWriteItem({"s": ()}),
        TransactGetItems(()),
        TransactWriteItems(()),
    ):
        assert "length greater than or equal to 1" in refused(empty)
    gets = tuple(TransactGet("s", key) for key in keys)
    assert "length less than or equal to 100" in refused(TransactGetItems(gets))
    writes = tuple(TransactWrite(7, "s", key) for key in keys)
    assert "length less than or equal to 100" in refused(TransactWriteItems(writes))


def test_operations_that_a_transaction_cannot_hold():
    assert "operation 3" in refused(TransactWriteItems((TransactWrite(3, "s", b"a"),)))
    bad = TransactWrite(7, "s", b"a", return_values_on_failure=5)
    assert "returnValuesOnConditionCheckFailure" in refused(TransactWriteItems((bad,)))


def test_a_query_without_key_condition_is_left_to_dynamodb():
    assert params_of(Query("s", None)) == {"TableName": "s"}


# -- options -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "options"),
    [
        ("f6", Options()),
        ("bfff", Options()),
        ("a0", Options()),
        ("bf0300ff", Options(consumed_capacity=0)),
        ("bf02f40300ff", Options(consumed_capacity=0, consistent_read=False)),
        ("bf0201ff", Options(consistent_read=True)),
        ("a20d020201", Options(consistent_read=True, limit=2)),
        ("bf0d010d02ff", Options(limit=2)),  # the last counts
        ("bf0441610441620d01ff", Options(condition=b"b", limit=1)),
        ("bf01a1622361616105a0ff", Options()),  # names of Python
        ("bf1863826161a00d07ff", Options(limit=7)),  # unknown key
        ("bf2000186400ff", Options()),
        ("bf0df6ff", Options()),
        ("bf0b436162630e00ff", Options(index_name="abc", scan_index_forward=False)),
    ],
)
def test_options(data, options):
    reader = Reader(bytes.fromhex(data))
    read = read_options(reader)
    assert reader.done()
    assert read == options
    assert read.raw.hex() == data


@pytest.mark.parametrize("data", ["80", "bf6161ff", "bf0d", "bf0d6161ff", "bf0202ff", "bf0b41ffff"])
def test_malformed_options(data):
    with pytest.raises(ProtocolError):
        read_options(Reader(bytes.fromhex(data)))


# -- projections -------------------------------------------------------------------------------


def test_projections_are_widened_to_before_the_first_index():
    paths = [("a", 0), ("a", 3, "b"), ("m", "x", 1), ("m", "y"), ("pk",)]
    assert widened(paths) == (("a",), ("m", "x"), ("m", "y"), ("pk",))
    assert widened([("m", "x", 0), ("m", 1)]) == (("m",),)


ITEM = {
    "pk": {"S": "k"},
    "l": {"L": [{"M": {}}, {"M": {"a": {"N": "1"}}}, {"M": {"a": {"N": "2"}, "b": {"S": "x"}}}]},
    "m": {"M": {"t": {"L": [{"S": "0"}, {"S": "1"}]}, "u": {"S": "v"}}},
}


def test_list_elements_keep_their_places_although_gaps_are_closed():
    """l[0].a is missing: from DynamoDB's own projection nobody could tell."""
    params = {
        "TableName": "s",
        "Key": {"pk": {"S": "k"}},
        "ProjectionExpression": "l[2].a, l[0].a, #m.t[1], l[1].a, l[7]",
        "ExpressionAttributeNames": {"#m": "m"},
    }
    upstream, result = exchanged("GetItem", params, {"Item": ITEM})
    assert upstream["ProjectionExpression"] == "#0, #1.#2"
    assert result["Item"] == {
        "l": {"L": [{"M": {"a": {"N": "1"}}}, {"M": {"a": {"N": "2"}}}]},
        "m": {"M": {"t": {"L": [{"S": "1"}]}}},
    }


def test_overlapping_paths_are_refused_as_written():
    whole, element = "82126161", "83126161d90cfc00"  # a, a[0]
    projection = bytes.fromhex("820182" + whole + element)
    message = refused(GetItem("s", b"k", Options(projection=projection)))
    assert "Two document paths overlap" in message


def test_an_item_without_any_of_the_paths_is_empty_but_there():
    params = {
        "TableName": "s",
        "Key": {"pk": {"S": "k"}},
        "ProjectionExpression": "nothing",
    }
    assert exchanged("GetItem", params, {"Item": {}})[1] == {"Item": {}}
    assert exchanged("GetItem", params, {})[1] == {}


# -- replies -----------------------------------------------------------------------------------


def get(**more):
    return {"TableName": "s", "Key": {"pk": {"S": "k"}}, **more}


def test_the_prebuilt_replies_are_the_encoded_ones():
    request = GetItem("s", b"k")
    values = encode_item(ITEM, SCHEMAS["s"], id_of)
    assert encode_result(request, {}, {"Item": ITEM}, schema_of, id_of) == item_reply(values)
    assert encode_result(request, {}, {}, schema_of, id_of) == MISS_REPLY
    assert encode_result(PutItem("s", b"k", b"\x01"), {}, {}, schema_of, id_of) == MISS_REPLY


CAPACITY = {
    "TableName": "s",
    "CapacityUnits": 2.5,
    "Table": {"CapacityUnits": 1.0},
    "GlobalSecondaryIndexes": {"g": {"CapacityUnits": 1.5}},
    "LocalSecondaryIndexes": {},
}
METRICS = {"ItemCollectionKey": {"pk": {"S": "k"}}, "SizeEstimateRangeGB": [0.0, 1.5]}


def test_capacity_is_told_only_when_asked_for():
    result = {"Item": ITEM, "ConsumedCapacity": CAPACITY}
    assert "ConsumedCapacity" not in exchanged("GetItem", get(), result)[1]
    asked = get(ReturnConsumedCapacity="INDEXES")
    assert exchanged("GetItem", asked, result)[1] == result
    assert exchanged("GetItem", asked, {"ConsumedCapacity": CAPACITY})[1] == {
        "ConsumedCapacity": CAPACITY
    }


@pytest.mark.parametrize("values", ["ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"])
def test_returned_values(values):
    attributes = {"m": ITEM["m"], "n": {"N": "1.5"}}
    if values.startswith("ALL"):
        attributes["pk"] = {"S": "k"}
    params = get(
        ReturnValues=values,
        ReturnItemCollectionMetrics="SIZE",
        UpdateExpression="SET n = :n",
        ExpressionAttributeValues={":n": {"N": "1.5"}},
    )
    result = {"Attributes": attributes, "ItemCollectionMetrics": METRICS}
    assert exchanged("UpdateItem", params, result)[1] == result
    assert exchanged("UpdateItem", params, {})[1] == {}


def test_an_old_item_of_key_attributes_only():
    params = get(ReturnValues="ALL_OLD")
    result = {"Attributes": {"pk": {"S": "k"}}}
    assert exchanged("DeleteItem", params, result)[1] == result


@pytest.mark.parametrize(
    ("request_", "result", "reply"),
    [
        (Query("s", None, Options()), {"Count": 0, "ScannedCount": 1}, "80 bf 0800 0a01 ff"),
        (
            UpdateItem("s", b"k", Options(return_values=5)),
            {"Attributes": {"n": {"N": "2"}}},
            "80 bf 02 4d {list} bf 0002 ff ff",
        ),
        (  # not indefinite, but not empty either: an empty map of unprocessed keys breaks SDK v1
            BatchGetItem({"s": BatchGet(False, None, (b"k",))}, Options()),
            {"Responses": {"s": []}, "UnprocessedKeys": {}},
            "80 82 a1 6173 80 a1 6173 80 80",
        ),
    ],
)
def test_maps_as_java_reads_them(request_, result, reply):
    names = tuple(result.get("Attributes", {}))
    wanted = bytes.fromhex(reply.format(list=f"1b{id_of(names):016x}"))
    got = encode_result(request_, {}, result, schema_of, id_of, Family.JAVA)
    assert got == wanted


def test_java_may_send_an_attribute_list_as_a_string_set():
    method = Method.DEFINE_ATTRIBUTE_LIST_ID
    for form in ("82 61 61 61 62", "d90cf9 82 61 61 61 62"):
        asked = parse_request(method, Reader(bytes.fromhex(form)))
        assert asked == DefineAttributeListId(("a", "b"))
    with pytest.raises(ProtocolError, match="string set"):
        parse_request(method, Reader(bytes.fromhex("d90cfa 80")))


def test_a_page_of_nothing():
    params = {
        "TableName": "sn",
        "KeyConditionExpression": "pk = :p",
        "ExpressionAttributeValues": {":p": {"S": "k"}},
    }
    result = {"Items": [], "Count": 0, "ScannedCount": 0}
    assert exchanged("Query", params, result)[1] == result


def test_a_batch_with_rest():
    params = {
        "RequestItems": {
            "s": {
                "Keys": [{"pk": {"S": "k"}}, {"pk": {"S": "j"}}],
                "ProjectionExpression": "#m.t[1], pk",
                "ExpressionAttributeNames": {"#m": "m"},
            },
            "sn": {"Keys": [{"pk": {"S": "k"}, "sk": {"N": "1.50"}}], "ConsistentRead": True},
        },
        "ReturnConsumedCapacity": "TOTAL",
    }
    result = {
        "Responses": {"s": [ITEM], "sn": []},
        "UnprocessedKeys": {"sn": {"Keys": [{"pk": {"S": "k"}, "sk": {"N": "1.5"}}]}},
        "ConsumedCapacity": [{"TableName": "s", "CapacityUnits": 1.0}],
    }
    decoded = exchanged("BatchGetItem", params, result)[1]
    assert decoded["Responses"] == {
        "s": [{"m": {"M": {"t": {"L": [{"S": "1"}]}}}, "pk": {"S": "k"}}],
        "sn": [],
    }
    assert decoded["UnprocessedKeys"] == {
        "sn": {"Keys": [{"pk": {"S": "k"}, "sk": {"N": "1.5"}}], "ConsistentRead": True}
    }
    assert decoded["ConsumedCapacity"] == result["ConsumedCapacity"]


def test_a_transaction_of_reads():
    params = {
        "TransactItems": [
            {"Get": {"TableName": "s", "Key": {"pk": {"S": "k"}}}},
            {"Get": {"TableName": "s", "Key": {"pk": {"S": "none"}}}},
            {
                "Get": {
                    "TableName": "s",
                    "Key": {"pk": {"S": "j"}},
                    "ProjectionExpression": "l[1].a",
                }
            },
        ],
        "ReturnConsumedCapacity": "TOTAL",
    }
    capacity = [{"TableName": "s", "CapacityUnits": 6.0, "ReadCapacityUnits": 6.0}]
    result = {"Responses": [{"Item": ITEM}, {}, {"Item": ITEM}], "ConsumedCapacity": capacity}
    decoded = exchanged("TransactGetItems", params, result)[1]
    assert decoded == {
        "Responses": [
            {"Item": ITEM},
            {},
            {"Item": {"l": {"L": [{"M": {"a": {"N": "1"}}}]}}},
        ],
        "ConsumedCapacity": capacity,
    }


# -- the client's refusals ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operation", "params", "message"),
    [
        ("GetItem", get(AttributesToGet=["a"]), "AttributesToGet"),
        ("GetItem", {"TableName": "s"}, "Key"),
        ("GetItem", {"TableName": "s", "Key": {}}, "does not match the schema"),
        ("GetItem", {"TableName": "s", "Key": {"pk": {"N": "1"}}}, "Type mismatch"),
        ("GetItem", get(ReturnConsumedCapacity="ALL"), "enum value set"),
        ("GetItem", get(ExpressionAttributeNames={"#a": "a"}), "#a"),
        ("PutItem", {"TableName": "s", "Item": {"pk": {"S": "k"}, "v": {"N": "x"}}}, "number"),
        ("PutItem", {"TableName": "s", "Item": {"v": {"N": "1"}}}, "missing the key pk"),
        ("TransactWriteItems", {"TransactItems": []}, "ClientRequestToken"),
        ("ListTables", {}, "ListTables"),
    ],
)
def test_parameters_that_cannot_be_sent(operation, params, message):
    with pytest.raises(RequestError, match=message):
        to_request(operation, params, schema_of, id_of)


def test_conditions_are_sent_without_placeholders():
    params = {
        "TableName": "s",
        "Item": {"pk": {"S": "k"}},
        "ConditionExpression": "#a < :b",
        "ExpressionAttributeNames": {"#a": "x"},
        "ExpressionAttributeValues": {":b": {"N": "1"}},
    }
    request = to_request("PutItem", params, schema_of, id_of)
    assert isinstance(request, PutItem)
    assert request.options.condition == encode_condition("x < :b", None, {":b": {"N": "1"}})
    assert request.key == encode_key(SCHEMAS["s"], params["Item"])
